package csv

import (
	"encoding/binary"
	"time"
)

// The first and last microsecond of the years 0 to 9999.
const (
	minTime = -62_167_219_200_000_000
	maxTime = 253_402_300_799_999_999
)

const (
	second = 1_000_000
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

// dayMemo remembers the last date read: neighbouring records mostly share it.
type dayMemo struct {
	known    bool
	lo       uint64 // the first 8 bytes of "2006-01-02"
	hi       uint16 // the last 2
	midnight int64  // its start in microseconds
}

// date returns the midnight of the "2006-01-02" at the start of s.
func (m *dayMemo) date(s []byte) (int64, bool) {
	lo, hi := binary.LittleEndian.Uint64(s), binary.LittleEndian.Uint16(s[8:])
	if m.known && lo == m.lo && hi == m.hi {
		return m.midnight, true
	}
	century, ok1 := twoDigits(s, 0)
	year, ok2 := twoDigits(s, 2)
	month, ok3 := twoDigits(s, 5)
	dom, ok4 := twoDigits(s, 8)
	if !(ok1 && ok2 && ok3 && ok4) || s[4] != '-' || s[7] != '-' || month < 1 || month > 12 || dom < 1 {
		return 0, false
	}
	t := time.Date(century*100+year, time.Month(month), dom, 0, 0, 0, 0, time.UTC)
	if t.Day() != dom {
		return 0, false // the month has no such day
	}
	*m = dayMemo{true, lo, hi, t.Unix() * second}
	return m.midnight, true
}

// parseTime reads a timestamp as V6 of the package doc has it, as microseconds.
func (m *dayMemo) parseTime(s []byte) (int64, bool) {
	if len(s) < 10 {
		return 0, false
	}
	v, ok := m.date(s)
	if !ok || len(s) == 10 {
		return v, ok
	}
	if s[10] != 'T' && s[10] != ' ' && s[10] != 't' {
		return 0, false
	}
	clock, rest, ok := parseClock(s[11:])
	if !ok {
		return 0, false
	}
	offset, ok := parseZone(rest)
	return v + clock - offset, ok
}

// parseClock reads "15:04", "15:04:05" or "15:04:05.999" and returns what stands behind it.
func parseClock(s []byte) (v int64, rest []byte, ok bool) {
	if len(s) < 5 || s[2] != ':' {
		return 0, nil, false
	}
	h, ok1 := twoDigits(s, 0)
	m, ok2 := twoDigits(s, 3)
	if !ok1 || !ok2 || h > 23 || m > 59 {
		return 0, nil, false
	}
	v = int64(h)*hour + int64(m)*minute
	if s = s[5:]; len(s) == 0 || s[0] != ':' {
		return v, s, true
	}
	if len(s) < 3 {
		return 0, nil, false
	}
	sec, ok := twoDigits(s, 1)
	if !ok || sec > 59 {
		return 0, nil, false
	}
	v += int64(sec) * second
	if s = s[3:]; len(s) == 0 || s[0] != '.' {
		return v, s, true
	}
	i := 1
	for unit := int64(second / 10); i < len(s) && s[i]-'0' <= 9; i++ {
		v += int64(s[i]-'0') * unit
		unit /= 10
	}
	return v, s[i:], i > 1
}

// parseZone reads "", "Z", "+05:30", "+0530" or "+05" as microseconds.
func parseZone(s []byte) (int64, bool) {
	switch {
	case len(s) == 0 || len(s) == 1 && s[0]|0x20 == 'z':
		return 0, true
	case s[0] != '+' && s[0] != '-':
		return 0, false
	}
	east := s[0] == '+'
	s = s[1:]
	h, ok := 0, false
	if len(s) >= 2 {
		h, ok = twoDigits(s, 0)
	}
	m := 0
	switch {
	case !ok || h > 23:
		return 0, false
	case len(s) == 2:
	case len(s) == 4:
		m, ok = twoDigits(s, 2)
	case len(s) == 5 && s[2] == ':':
		m, ok = twoDigits(s, 3)
	default:
		return 0, false
	}
	v := int64(h)*hour + int64(m)*minute
	if !east {
		v = -v
	}
	return v, ok && m <= 59
}

// twoDigits reads the two digits at i.
func twoDigits(s []byte, i int) (int, bool) {
	a, b := s[i]-'0', s[i+1]-'0'
	return int(a)*10 + int(b), a <= 9 && b <= 9
}
