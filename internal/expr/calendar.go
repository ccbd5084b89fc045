package expr

import "github.com/gorge-stream/gorge/internal/batch"

// date is a day of the proleptic Gregorian calendar.
type date struct{ year, month, day int64 }

// The calendar repeats every 400 years. Counting years from March puts the leap
// day at the end, so that months have a regular length: 153 days are five of them.
const (
	daysPerEra = 146097
	marchZero  = 719468 // days from 0000-03-01 to 1970-01-01
)

// dateOf returns the date of a day counted from 1970-01-01.
func dateOf(day int64) date {
	day += marchZero
	era := floorDiv(day, daysPerEra)
	inEra := day - era*daysPerEra
	year := (inEra - inEra/1460 + inEra/36524 - inEra/146096) / 365
	inYear := inEra - (365*year + year/4 - year/100)
	m := (5*inYear + 2) / 153 // 0 is March
	d := date{year: year + era*400, month: m + 3, day: inYear - (153*m+2)/5 + 1}
	if d.month > 12 {
		d.month -= 12
		d.year++
	}
	return d
}

// number returns the days from 1970-01-01; the inverse of dateOf.
func (d date) number() int64 {
	y, m := d.year, d.month-3
	if m < 0 {
		y, m = y-1, m+12
	}
	era := floorDiv(y, 400)
	inEra := y - era*400
	inYear := (153*m+2)/5 + d.day - 1
	return era*daysPerEra + inEra*365 + inEra/4 - inEra/100 + inYear - marchZero
}

// formatTimestamp writes RFC 3339 in UTC, with as many decimals as needed. A
// year beyond four digits has a sign in front, as in ISO 8601.
func formatTimestamp(buf []byte, t int64) []byte {
	d := dateOf(floorDiv(t, dayMicros))
	rest := floorMod(t, dayMicros)
	switch year := d.year; {
	case year > 9999:
		buf = appendPadded(append(buf, '+'), year, 6)
	case year < 0:
		buf = appendPadded(append(buf, '-'), -year, 6)
	default:
		buf = appendPadded(buf, year, 4)
	}
	buf = appendPadded(append(buf, '-'), d.month, 2)
	buf = appendPadded(append(buf, '-'), d.day, 2)
	buf = appendPadded(append(buf, 'T'), rest/hourMicros, 2)
	buf = appendPadded(append(buf, ':'), rest/minuteMicros%60, 2)
	buf = appendPadded(append(buf, ':'), rest/secondMicros%60, 2)
	if micros := rest % secondMicros; micros != 0 {
		buf = appendPadded(append(buf, '.'), micros, 6)
		for buf[len(buf)-1] == '0' {
			buf = buf[:len(buf)-1]
		}
	}
	return append(buf, 'Z')
}

// appendPadded writes a positive number with at least width digits.
func appendPadded(buf []byte, v int64, width int) []byte {
	var digits [20]byte
	i := len(digits)
	for v > 0 || len(digits)-i < width {
		i--
		digits[i] = byte('0' + v%10)
		v /= 10
	}
	return append(buf, digits[i:]...)
}

// textToTimestamp reads what formatTimestamp writes and the usual shorter forms.
func textToTimestamp(cols []*batch.Column, i int) (int64, bool) {
	return parseTimestamp(cols[0].Bytes(i))
}

// clock reads a timestamp from the front of a text.
type clock struct {
	rest []byte
	ok   bool
}

// number reads exactly n digits.
func (c *clock) number(n int) int64 {
	if !c.ok || digits(c.rest, 0) < n {
		c.ok = false
		return 0
	}
	v, _ := parseInt(c.rest[:n])
	c.rest = c.rest[n:]
	return v
}

// skip reads one of the characters if it comes next.
func (c *clock) skip(chars string) bool {
	for i := range len(chars) {
		if len(c.rest) > 0 && c.rest[0] == chars[i] {
			c.rest = c.rest[1:]
			return true
		}
	}
	return false
}

func (c *clock) expect(char string) { c.ok = c.skip(char) && c.ok }

// parseTimestamp reads YYYY-MM-DD, then optionally T or a space and HH:MM, :SS,
// a fraction (beyond microseconds cut off) and Z or a zone as +HH:MM; without a zone it is UTC.
func parseTimestamp(b []byte) (int64, bool) {
	c := &clock{rest: b, ok: true}
	d := c.date()
	if !c.ok || d.month < 1 || d.month > 12 || d.day < 1 || dateOf(d.number()) != d {
		return 0, false
	}
	var micros int64
	if len(c.rest) > 0 {
		c.ok = c.skip("Tt ")
		micros = c.timeOfDay()
		micros -= c.zone()
	}
	if !c.ok || len(c.rest) > 0 {
		return 0, false
	}
	days, rest := d.number()+floorDiv(micros, dayMicros), floorMod(micros, dayMicros)
	if days < 0 { // count down from the next midnight: the first day of time begins before it
		days, rest = days+1, rest-dayMicros
	}
	midnight, ok := mulInt(days, dayMicros)
	t := midnight + rest
	return t, ok && t >= midnight == (rest >= 0)
}

func (c *clock) date() (d date) {
	switch {
	case c.skip("+"):
		d.year = c.number(6)
	case c.skip("-"):
		d.year = -c.number(6)
	default:
		d.year = c.number(4)
	}
	c.expect("-")
	d.month = c.number(2)
	c.expect("-")
	d.day = c.number(2)
	return d
}

func (c *clock) timeOfDay() int64 {
	hour := c.number(2)
	c.expect(":")
	minute := c.number(2)
	var second, micros int64
	if c.skip(":") {
		second = c.number(2)
		if c.skip(".,") {
			micros = c.fraction()
		}
	}
	c.ok = c.ok && hour < 24 && minute < 60 && second < 60
	return hour*hourMicros + minute*minuteMicros + second*secondMicros + micros
}

// fraction reads digits behind the point of a second as microseconds.
func (c *clock) fraction() int64 {
	n := digits(c.rest, 0)
	c.ok = c.ok && n > 0
	var v int64
	for i := range 6 {
		v *= 10
		if i < n {
			v += int64(c.rest[i] - '0')
		}
	}
	c.rest = c.rest[n:]
	return v
}

// zone reads the distance to UTC in microseconds.
func (c *clock) zone() int64 {
	if len(c.rest) == 0 || c.skip("Zz") {
		return 0
	}
	sign := int64(1)
	if c.skip("-") {
		sign = -1
	} else {
		c.expect("+")
	}
	hour := c.number(2)
	c.skip(":")
	minute := c.number(2)
	c.ok = c.ok && hour < 24 && minute < 60
	return sign * (hour*hourMicros + minute*minuteMicros)
}
