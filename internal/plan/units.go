package plan

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// durationUnits, largest first. A month or a year has no fixed length.
var durationUnits = []struct {
	name string
	unit time.Duration
}{
	{"w", 7 * 24 * time.Hour},
	{"d", 24 * time.Hour},
	{"h", time.Hour},
	{"m", time.Minute},
	{"s", time.Second},
	{"ms", time.Millisecond},
	{"us", time.Microsecond},
	{"ns", time.Nanosecond},
}

var (
	errDuration = errors.New("write a number with a unit (ns, us, ms, s, m, h, d, w), for example 500ms, 2s, 1h30m or 30d")
	errSize     = errors.New("write bytes or a number with a unit (KB, MB, GB, TB, KiB, MiB, GiB, TiB), for example 64KiB")
)

// parseDuration reads "500ms", "2s", "1h30m", "30d", "-5m" and "0".
func parseDuration(s string) (time.Duration, error) {
	rest, negative := strings.CutPrefix(s, "-")
	if rest == "0" {
		return 0, nil
	}
	var sum float64
	for rest != "" {
		digits := strings.IndexFunc(rest, func(c rune) bool { return (c < '0' || c > '9') && c != '.' })
		if digits <= 0 {
			return 0, errDuration
		}
		n, err := strconv.ParseFloat(rest[:digits], 64)
		if err != nil {
			return 0, errDuration
		}
		rest = rest[digits:]
		letters := strings.IndexFunc(rest, func(c rune) bool { return c < 'a' || c > 'z' })
		if letters < 0 {
			letters = len(rest)
		}
		unit := time.Duration(0)
		for _, u := range durationUnits {
			if u.name == rest[:letters] {
				unit = u.unit
			}
		}
		if unit == 0 {
			return 0, errDuration
		}
		sum += n * float64(unit)
		rest = rest[letters:]
	}
	if s == "" || s == "-" || sum >= math.MaxInt64 {
		return 0, errDuration
	}
	if negative {
		sum = -sum
	}
	return time.Duration(sum), nil
}

// formatDuration writes d as a file would: "30d", "1h30m", "10s".
func formatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	if d < 0 {
		b.WriteByte('-')
		d = -d
	}
	for _, u := range durationUnits {
		if u.name == "w" { // weeks are read, but days are what people compare
			continue
		}
		if n := int64(d / u.unit); n > 0 {
			b.WriteString(strconv.FormatInt(n, 10) + u.name)
			d %= u.unit
		}
	}
	return b.String()
}

var sizeUnits = map[string]float64{
	"": 1, "b": 1,
	"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}

// parseSize reads "64KiB", "10MB", "1.5 GiB" and plain bytes; case does not matter.
func parseSize(s string) (int64, error) {
	digits := strings.IndexFunc(s, func(c rune) bool { return (c < '0' || c > '9') && c != '.' })
	if digits < 0 {
		digits = len(s)
	}
	n, err := strconv.ParseFloat(s[:digits], 64)
	unit, ok := sizeUnits[strings.ToLower(strings.TrimSpace(s[digits:]))]
	if err != nil || !ok || n*unit >= math.MaxInt64 {
		return 0, errSize
	}
	return int64(n * unit), nil
}
