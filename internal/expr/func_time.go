package expr

import (
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
)

var timeFunctions = []function{
	{name: "truncate", sig: "(t timestamp, unit const string) timestamp?", cost: 5, build: buildTruncate, doc: "The start of the interval that holds t: a length such as '10s', counted from 1970, or second, minute, hour, day, week (from Monday), month, quarter or year in UTC.", example: "truncate(timestamp('2026-01-31T12:34:56Z'), '10m')", result: "2026-01-31T12:30:00Z"},
	{name: "date_trunc", sig: "(unit const string, t timestamp) timestamp?", cost: 5, build: buildDateTrunc, doc: "truncate with the arguments in the order of SQL.", example: "date_trunc('month', timestamp('2026-01-31T12:34:56Z'))", result: "2026-01-01T00:00:00Z"},
	{name: "year", sig: "(t timestamp) int", cost: 8, build: calendar(func(d date) int64 { return d.year }), doc: "The year, in UTC.", example: "year(timestamp('2026-01-31'))", result: "2026"},
	{name: "month", sig: "(t timestamp) int", cost: 8, build: calendar(func(d date) int64 { return d.month }), doc: "The month, 1 to 12, in UTC.", example: "month(timestamp('2026-01-31'))", result: "1"},
	{name: "day", sig: "(t timestamp) int", cost: 8, build: calendar(func(d date) int64 { return d.day }), doc: "The day of the month, 1 to 31, in UTC.", example: "day(timestamp('2026-01-31'))", result: "31"},
	{name: "hour", sig: "(t timestamp) int", cost: 4, build: timePart(func(t int64) int64 { return floorMod(floorDiv(t, hourMicros), 24) }), doc: "The hour, 0 to 23, in UTC.", example: "hour(timestamp('2026-01-31T12:34:56Z'))", result: "12"},
	{name: "minute", sig: "(t timestamp) int", cost: 4, build: timePart(func(t int64) int64 { return floorMod(floorDiv(t, minuteMicros), 60) }), doc: "The minute, 0 to 59.", example: "minute(timestamp('2026-01-31T12:34:56Z'))", result: "34"},
	{name: "second", sig: "(t timestamp) int", cost: 4, build: timePart(func(t int64) int64 { return floorMod(floorDiv(t, secondMicros), 60) }), doc: "The second, 0 to 59.", example: "second(timestamp('2026-01-31T12:34:56Z'))", result: "56"},
	{name: "weekday", sig: "(t timestamp) int", cost: 4, build: timePart(func(t int64) int64 { return floorMod(floorDiv(t, dayMicros)+thursday, 7) + 1 }), doc: "The day of the week in UTC, from 1 for Monday to 7 for Sunday.", example: "weekday(timestamp('2026-01-31'))", result: "6"},
	{name: "epoch_ms", sig: "(t timestamp) int", cost: 2, build: timePart(func(t int64) int64 { return floorDiv(t, 1000) }), doc: "Whole milliseconds since 1970.", example: "epoch_ms(timestamp('1970-01-01T00:00:01.5Z'))", result: "1500"},
	{name: "from_epoch_ms", sig: "(ms int) timestamp?", cost: 2, build: buildFromEpochMillis, doc: "The timestamp so many milliseconds after 1970.", example: "from_epoch_ms(1500)", result: "1970-01-01T00:00:01.5Z"},
	{name: "duration", sig: "(text const string) int", cost: 1, build: buildDuration, doc: "A length of time in microseconds, written with units as in '500ms', '1h30m' or '7d', to add to a timestamp or compare a difference with.", example: "duration('1m30s')", result: "90000000"},
}

const (
	secondMicros = 1_000_000
	minuteMicros = 60 * secondMicros
	hourMicros   = 60 * minuteMicros
	dayMicros    = 24 * hourMicros
	weekMicros   = 7 * dayMicros

	thursday = 3 // 1970 began on it; Monday is 0
)

// floorDiv divides downwards; b is positive.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// floorMod is the remainder of floorDiv, 0 to b-1.
func floorMod(a, b int64) int64 {
	r := a % b
	if r < 0 {
		r += b
	}
	return r
}

// timePart builds a function of one timestamp.
func timePart(f func(t int64) int64) func(c *call) kernel {
	return func(c *call) kernel {
		return &map1[int64, int64]{c.result(), c.args[0].kernel, func(d, a []int64) uint64 {
			d = d[:len(a)]
			for i, t := range a {
				d[i] = f(t)
			}
			return 0
		}}
	}
}

func calendar(part func(d date) int64) func(c *call) kernel {
	return timePart(func(t int64) int64 { return part(dateOf(floorDiv(t, dayMicros))) })
}

func buildFromEpochMillis(c *call) kernel {
	return &map1[int64, int64]{c.result(), c.args[0].kernel, func(d, a []int64) (bad uint64) {
		d = d[:len(a)]
		for i, ms := range a {
			v, ok := mulInt(ms, 1000)
			d[i] = v
			bad |= bit(!ok) << (uint(i) & 63)
		}
		return bad
	}}
}

func buildDuration(c *call) kernel {
	v, ok := parseDuration(c.args[0].value.(string))
	if !ok {
		c.bad(0, "%q is not a length of time", c.args[0].value).hint("write it with units: '500ms', '10s', '1h30m', '7d'")
		return nil
	}
	return literal(c.e, v, batch.Int64).kernel
}

// parseDuration reads a duration with units, of which d and w may stand in front, as microseconds.
func parseDuration(s string) (int64, bool) {
	var days int64
	for _, unit := range []struct {
		letter byte
		micros int64
	}{{'w', weekMicros}, {'d', dayMicros}} {
		n := digits([]byte(s), 0)
		if n == 0 || n > 6 || n == len(s) || s[n] != unit.letter {
			continue
		}
		v, _ := parseInt([]byte(s[:n]))
		days += v * unit.micros
		if s = s[n+1:]; s == "" {
			return days, true
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d%time.Microsecond != 0 || days > 0 && d < 0 {
		return 0, false
	}
	return days + d.Microseconds(), true
}

func buildDateTrunc(c *call) kernel {
	c.args[0], c.args[1] = c.args[1], c.args[0]
	return buildTruncate(c)
}

// buildTruncate makes the kernel of a unit. Only near the ends of time the start
// of an interval does not fit.
func buildTruncate(c *call) kernel {
	start, ok := truncation(c.args[1].value.(string))
	if !ok {
		c.bad(1, "%q is no unit of time", c.args[1].value).
			hint("a length such as '10s' or '1h', or second, minute, hour, day, week, month, quarter, year")
		return nil
	}
	return &map1[int64, int64]{c.result(), c.args[0].kernel, func(d, a []int64) (bad uint64) {
		d = d[:len(a)]
		for i, t := range a {
			v := start(t)
			d[i] = v
			bad |= bit(v > t) << (uint(i) & 63) // it wrapped around
		}
		return bad
	}}
}

// truncation returns the function that finds the start of a unit. Its result
// wraps around when it lies before the beginning of time.
func truncation(unit string) (start func(t int64) int64, ok bool) {
	switch unit {
	case "second":
		return every(secondMicros, 0), true
	case "minute":
		return every(minuteMicros, 0), true
	case "hour":
		return every(hourMicros, 0), true
	case "day":
		return every(dayMicros, 0), true
	case "week":
		return every(weekMicros, 4*dayMicros), true // the first Monday is 1970-01-05
	case "month":
		return months(1), true
	case "quarter":
		return months(3), true
	case "year":
		return months(12), true
	}
	micros, ok := parseDuration(unit)
	if !ok || micros <= 0 {
		return nil, false
	}
	return every(micros, 0), true
}

// every truncates to a multiple of a length, counted from an offset. It remembers
// the last interval: the next row is mostly in the same.
func every(micros, offset int64) func(t int64) int64 {
	last := -floorMod(-offset, micros)
	return func(t int64) int64 {
		if uint64(t-last) < uint64(micros) {
			return last
		}
		start := t - floorMod(floorMod(t, micros)-offset, micros)
		if start <= t { // else it wrapped around
			last = start
		}
		return start
	}
}

// months truncates to a multiple of so many months of a year.
func months(n int64) func(t int64) int64 {
	return func(t int64) int64 {
		d := dateOf(floorDiv(t, dayMicros))
		first := date{d.year, d.month - (d.month-1)%n, 1}
		return first.number() * dayMicros
	}
}
