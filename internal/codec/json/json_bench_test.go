package json

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/codec/codectest"
	"github.com/gorge-stream/gorge/internal/spec"
)

var telemetryColumns = []codec.Column{
	{Name: "device_id", Kind: batch.String},
	{Name: "ts", Kind: batch.Timestamp, Wire: spec.WireMillis},
	{Name: "temperature", Kind: batch.Float64},
}

// telemetry makes n lines of about 120 bytes, like a fleet of sensors.
func telemetry(n int, change func(i int, r *rand.Rand, line string) string) []byte {
	r := rand.New(rand.NewPCG(1, 7))
	var b []byte
	for i := range n {
		d := r.IntN(500_000)
		line := fmt.Sprintf(`{"device_id":"dev-%07d","ts":%d,"temperature":%s,"humidity":%s,"air_quality":%d,"site":"site-%03d"}`,
			d, 1_760_000_000_000+int64(i), cents(1500+r.IntN(2000)), cents(2000+r.IntN(6000)), r.IntN(500), d%200)
		if change != nil {
			line = change(i, r, line)
		}
		b = append(append(b, line...), '\n')
	}
	return b
}

func cents(v int) string { return strconv.FormatFloat(float64(v)/100, 'f', 2, 64) }

// discard is a sink that reuses one batch.
type discard struct {
	b    *batch.Batch
	rows int
	bad  int
}

func (d *discard) Next() *batch.Batch {
	for i := range d.b.Schema().Fields {
		d.b.Col(i).Reset()
	}
	return d.b
}
func (d *discard) Done(b *batch.Batch) error    { d.rows += b.Len(); return nil }
func (d *discard) Bad(r *codec.BadRecord) error { d.bad++; return nil }

var variants = []struct {
	name    string
	columns []codec.Column
	change  func(i int, r *rand.Rand, line string) string
}{
	{"telemetry", telemetryColumns, nil},
	{"unclean", telemetryColumns, func(i int, r *rand.Rand, l string) string {
		return strings.Replace(l, `"site-1`, `"cité-1`, 1)
	}},
	{"long strings", telemetryColumns, func(i int, r *rand.Rand, l string) string {
		return strings.Replace(l, `"dev-`, `"building/7/floor/3/room/17/dev-`, 1)
	}},
	{"20-byte strings", telemetryColumns, func(i int, r *rand.Rand, l string) string {
		return strings.Replace(l, `"dev-`, `"room-017/dev-`, 1)
	}},
	{"long names", []codec.Column{{Name: "device_id_of_the_vendor", Kind: batch.String}, telemetryColumns[1], {Name: "temperature_celsius", Kind: batch.Float64}}, func(i int, r *rand.Rand, l string) string {
		return strings.NewReplacer(`"device_id"`, `"device_id_of_the_vendor"`, `"temperature"`, `"temperature_celsius"`, `"humidity"`, `"relative_humidity_percent"`).Replace(l)
	}},
	{"17-digit floats", telemetryColumns, func(i int, r *rand.Rand, l string) string {
		return strings.Replace(l, `"temperature":`, `"temperature":`+strconv.FormatFloat(10+r.Float64(), 'f', -1, 64)+`,"t":`, 1)
	}},
	{"12-digit floats", telemetryColumns, func(i int, r *rand.Rand, l string) string {
		return strings.Replace(l, `"temperature":`, `"temperature":`+strconv.FormatFloat(10+r.Float64(), 'f', 10, 64)+`,"t":`, 1)
	}},
	{"long skipped numbers", telemetryColumns, func(i int, r *rand.Rand, l string) string {
		return strings.Replace(l, `"humidity":`, `"humidity":`+strconv.FormatFloat(10+r.Float64(), 'f', -1, 64)+`,"t":`, 1)
	}},
	{"escapes in 10%", telemetryColumns, func(i int, r *rand.Rand, l string) string {
		if r.IntN(10) == 0 {
			return strings.Replace(l, `"dev-`, `"d\u0065v-`, 1)
		}
		return l
	}},
	{"nulls in 30%", []codec.Column{telemetryColumns[0], telemetryColumns[1], {Name: "temperature", Kind: batch.Float64, Nullable: true}}, func(i int, r *rand.Rand, l string) string {
		if r.IntN(10) < 3 {
			at := strings.Index(l, `,"humidity"`)
			return l[:strings.Index(l, `"temperature":`)] + `"temperature":null` + l[at:]
		}
		return l
	}},
	{"missing in 30%", []codec.Column{telemetryColumns[0], telemetryColumns[1], {Name: "temperature", Kind: batch.Float64, Nullable: true}}, func(i int, r *rand.Rand, l string) string {
		if r.IntN(10) < 3 {
			at := strings.Index(l, `,"humidity"`)
			return l[:strings.Index(l, `,"temperature":`)] + l[at:]
		}
		return l
	}},
	{"null in the first line", telemetryColumns, func(i int, r *rand.Rand, l string) string {
		if i == 0 {
			return l[:strings.Index(l, `"humidity":`)] + `"humidity":null,"air_quality":null,"site":null}`
		}
		return l
	}},
	{"two members of one name", telemetryColumns, func(i int, r *rand.Rand, l string) string {
		return strings.Replace(l, `"ts":`, `"ts":1,"ts":`, 1)
	}},
	{"sparse", telemetryColumns, func(i int, r *rand.Rand, l string) string {
		extra := ""
		for k := range 100 {
			if i == 0 || r.IntN(100) < 2 {
				extra += fmt.Sprintf(`,"extra_%d":%d`, k, i)
			}
		}
		return l[:len(l)-1] + extra + "}"
	}},
	{"other order in 10%", telemetryColumns, reorder(1)},
	{"other order in 50%", telemetryColumns, reorder(5)},
	{"any order", telemetryColumns, func(i int, r *rand.Rand, l string) string {
		parts := strings.Split(l[1:len(l)-1], ",")
		r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		return "{" + strings.Join(parts, ",") + "}"
	}},
	{"bad 1%", telemetryColumns, func(i int, r *rand.Rand, l string) string {
		if r.IntN(100) == 0 {
			return l[:len(l)/2]
		}
		return l
	}},
	{"nested skipped", telemetryColumns, func(i int, r *rand.Rand, l string) string {
		return strings.Replace(l, `"humidity":`, `"tags":{"a":1,"b":[true,"x"]},"humidity":`, 1)
	}},
	{"rfc3339", []codec.Column{telemetryColumns[0], {Name: "time", Kind: batch.Timestamp}, telemetryColumns[2]}, func(i int, r *rand.Rand, l string) string {
		return strings.Replace(l, `"ts":`, fmt.Sprintf(`"time":"2026-01-31T09:%02d:%02d.%03dZ","ts":`, r.IntN(60), r.IntN(60), r.IntN(1000)), 1)
	}},
	{"all columns, bool, int32, float32", []codec.Column{telemetryColumns[0], telemetryColumns[1], {Name: "temperature", Kind: batch.Float32}, {Name: "humidity", Kind: batch.Float64},
		{Name: "air_quality", Kind: batch.Int32}, {Name: "site", Kind: batch.String}, {Name: "ok", Kind: batch.Bool}}, func(i int, r *rand.Rand, l string) string {
		return l[:len(l)-1] + `,"ok":` + strconv.FormatBool(r.IntN(2) == 0) + "}"
	}},
}

func reorder(tenths int) func(i int, r *rand.Rand, l string) string {
	return func(i int, r *rand.Rand, l string) string {
		if r.IntN(10) < tenths {
			at := strings.Index(l, `,"ts"`)
			return "{" + l[at+1:len(l)-1] + "," + l[1:at] + "}"
		}
		return l
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, v := range variants {
		b.Run(v.name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			const n = 2000 // about a block of the engine
			block := codectest.Block(telemetry(n, v.change), 0)
			d := newDecoder("lines", v.columns, codec.Limits{})
			s := &discard{b: batch.NewPool(codectest.Schema(v.columns), 1024).Get()}
			defer s.b.Release()
			b.SetBytes(int64(len(block)))
			best := time.Duration(1 << 62)
			for b.Loop() {
				from := cpuTime()
				if err := d.Decode(block, s); err != nil {
					b.Fatal(err)
				}
				best = min(best, cpuTime()-from)
			}
			b.ReportMetric(float64(best.Nanoseconds())/n, "ns/row")
			if s.rows+s.bad != b.N*n && s.rows+s.bad != (b.N+1)*n {
				b.Fatalf("%d rows and %d bad records", s.rows, s.bad)
			}
		})
	}
}
