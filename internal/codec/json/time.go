package json

import (
	"encoding/binary"
	"time"
)

// The first and last microsecond of the years 0 to 9999.
const (
	minTime = -62_167_219_200_000_000
	maxTime = 253_402_300_799_999_999
)

// dayMemo remembers the last date read: timestamps of a stream mostly share it.
type dayMemo struct {
	text0, text1 uint64 // "2006-01-02"
	micros       int64  // of its midnight
}

// parseTime reads an RFC 3339 timestamp as microseconds. Digits below the
// microsecond are dropped. A blank may stand for the T, as RFC 3339 allows.
func (m *dayMemo) parseTime(s []byte) (int64, bool) {
	if len(s) < len("2006-01-02T15:04:05Z") || s[10]|0x20 != 't' && s[10] != ' ' {
		return 0, false
	}
	t0, t1 := binary.LittleEndian.Uint64(s), uint64(s[8])|uint64(s[9])<<8
	if t0 != m.text0 || t1 != m.text1 {
		day, ok := parseDate(s)
		if !ok {
			return 0, false
		}
		*m = dayMemo{t0, t1, day * 86_400_000_000}
	}
	h, mi, sec := pair(s, 11), pair(s, 14), pair(s, 17)
	if h > 23 || mi > 59 || sec > 59 || s[13] != ':' || s[16] != ':' {
		return 0, false
	}
	v := m.micros + int64((h*60+mi)*60+sec)*1_000_000
	i := 19
	if s[i] == '.' {
		unit := int64(1_000_000)
		for i++; i < len(s) && s[i]-'0' <= 9; i++ {
			unit /= 10
			v += int64(s[i]-'0') * unit
		}
		if i == 20 {
			return 0, false
		}
	}
	switch {
	case i+1 == len(s) && s[i]|0x20 == 'z':
		return v, true
	case i+6 == len(s) && (s[i] == '+' || s[i] == '-') && s[i+3] == ':':
		h, mi := pair(s, i+1), pair(s, i+4)
		if h > 23 || mi > 59 {
			return 0, false
		}
		offset := int64(h*60+mi) * 60_000_000
		if s[i] == '-' {
			offset = -offset
		}
		return v - offset, true
	}
	return 0, false
}

// pair returns the value of two digits, or at least 100.
func pair(s []byte, i int) uint {
	a, b := uint(s[i]-'0'), uint(s[i+1]-'0')
	if a > 9 || b > 9 {
		return 100
	}
	return a*10 + b
}

// parseDate returns the day since 1970 of "2006-01-02".
func parseDate(s []byte) (int64, bool) {
	c, y, m, d := pair(s, 0), pair(s, 2), pair(s, 5), pair(s, 8)
	if c > 99 || y > 99 || m < 1 || m > 12 || d < 1 || d > 31 || s[4] != '-' || s[7] != '-' {
		return 0, false
	}
	t := time.Date(int(c*100+y), time.Month(m), int(d), 0, 0, 0, 0, time.UTC)
	if t.Day() != int(d) {
		return 0, false // the month is shorter
	}
	return t.Unix() / 86_400, true
}
