package workload

import (
	"slices"
	"strconv"
)

// LineBytes is about what one event takes as JSON.
const LineBytes = 124

// maxLine bounds the bytes of one event in any of the forms.
const maxLine = 256

const pairs = "00010203040506070809101112131415161718192021222324252627282930313233343536373839" +
	"40414243444546474849505152535455565758596061626364656667686970717273747576777879" +
	"8081828384858687888990919293949596979899"

// AppendDevice appends the id of device d: "dev-" and at least 7 digits.
func AppendDevice(dst []byte, d uint32) []byte {
	dst = append(dst, "dev-"...)
	if d >= 10_000_000 {
		return strconv.AppendUint(dst, uint64(d), 10)
	}
	a, b, c := d/100_000*2, d/1000%100*2, d/10%100*2
	return append(dst, pairs[a], pairs[a+1], pairs[b], pairs[b+1], pairs[c], pairs[c+1], '0'+byte(d%10))
}

// AppendSite appends the name of the site of device d: "site-" and 3 digits.
func AppendSite(dst []byte, d uint32) []byte {
	s := d % Sites
	return append(dst, 's', 'i', 't', 'e', '-', '0'+byte(s/100), pairs[s%100*2], pairs[s%100*2+1])
}

// appendHundredths appends v/100 with two decimals.
func appendHundredths(dst []byte, v int32) []byte {
	if v < 0 {
		dst = append(dst, '-')
		v = -v
	}
	if v >= 1000 && v < 10_000 {
		i, f := v/100*2, v%100*2
		return append(dst, pairs[i], pairs[i+1], '.', pairs[f], pairs[f+1])
	}
	dst = strconv.AppendInt(dst, int64(v/100), 10)
	f := v % 100 * 2
	return append(dst, '.', pairs[f], pairs[f+1])
}

// AppendJSON appends the events as NDJSON; with labels each line says whether
// it is an anomaly.
func AppendJSON(dst []byte, e *Events, labels bool) []byte {
	dst = slices.Grow(dst, e.N*LineBytes+maxLine)
	for i := range e.N {
		dst = append(dst, `{"device_id":"`...)
		dst = AppendDevice(dst, e.Device[i])
		dst = append(dst, `","ts":`...)
		dst = strconv.AppendInt(dst, e.Millis[i], 10)
		dst = append(dst, `,"temperature":`...)
		dst = appendHundredths(dst, e.Temperature[i])
		dst = append(dst, `,"humidity":`...)
		dst = appendHundredths(dst, e.Humidity[i])
		dst = append(dst, `,"air_quality":`...)
		dst = strconv.AppendInt(dst, int64(e.AirQuality[i]), 10)
		dst = append(dst, `,"site":"`...)
		dst = AppendSite(dst, e.Device[i])
		if labels {
			dst = append(dst, `","anomaly":`...)
			dst = strconv.AppendBool(dst, e.Marks[i]&Anomaly != 0)
			dst = append(dst, "}\n"...)
		} else {
			dst = append(dst, "\"}\n"...)
		}
	}
	return dst
}

// CSVHeader is the first line of the events as CSV.
func CSVHeader(labels bool) string {
	if labels {
		return "device_id,ts,temperature,humidity,air_quality,site,anomaly\n"
	}
	return "device_id,ts,temperature,humidity,air_quality,site\n"
}

// AppendCSV appends the events as lines of CSV, without the header.
func AppendCSV(dst []byte, e *Events, labels bool) []byte {
	dst = slices.Grow(dst, e.N*LineBytes+maxLine)
	for i := range e.N {
		dst = AppendDevice(dst, e.Device[i])
		dst = append(dst, ',')
		dst = strconv.AppendInt(dst, e.Millis[i], 10)
		dst = append(dst, ',')
		dst = appendHundredths(dst, e.Temperature[i])
		dst = append(dst, ',')
		dst = appendHundredths(dst, e.Humidity[i])
		dst = append(dst, ',')
		dst = strconv.AppendInt(dst, int64(e.AirQuality[i]), 10)
		dst = append(dst, ',')
		dst = AppendSite(dst, e.Device[i])
		if labels {
			dst = append(dst, ',')
			dst = strconv.AppendBool(dst, e.Marks[i]&Anomaly != 0)
		}
		dst = append(dst, '\n')
	}
	return dst
}
