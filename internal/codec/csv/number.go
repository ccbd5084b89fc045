package csv

import (
	"math"
	"math/bits"
	"strconv"
	"unsafe"
)

// number is a decimal as written: its value is mant * 10^exp, or a little more
// in absolute value when cut.
type number struct {
	mant uint64 // at most 19 digits
	exp  int
	neg  bool
	cut  bool // digits other than 0 were left out of mant
}

// maxExp bounds exponents as read, so that sums of them do not overflow.
const maxExp = 1 << 40

// shortInt reads a whole number of up to 18 digits written plainly: nearly all of them.
func shortInt(s []byte) (int64, bool) {
	digits := s
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	v := int64(0)
	for _, c := range digits {
		if c -= '0'; c > 9 {
			return 0, false
		}
		v = v*10 + int64(c)
	}
	if len(digits) < len(s) {
		v = -v
	}
	return v, true
}

// parseNumber reads a decimal number: an optional sign, digits with at most one
// point and at least one digit, an optional exponent.
func parseNumber(s []byte) (n number, ok bool) {
	i := 0
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		n.neg = s[0] == '-'
		i = 1
	}
	digits := 0
	point := -1
	for ; i < len(s); i++ {
		c := s[i] - '0'
		if c <= 9 {
			digits++
			if n.mant < 1e18 {
				n.mant = n.mant*10 + uint64(c)
				if point >= 0 {
					n.exp--
				}
			} else {
				n.cut = n.cut || c != 0
				if point < 0 {
					n.exp++
				}
			}
			continue
		}
		if s[i] != '.' || point >= 0 {
			break
		}
		point = i
	}
	if digits == 0 {
		return n, false
	}
	if i == len(s) {
		return n, true
	}
	e, ok := exponent(s[i:])
	n.exp += e
	return n, ok
}

// exponent reads "e", an optional sign and digits.
func exponent(s []byte) (e int, ok bool) {
	if s[0]|0x20 != 'e' {
		return 0, false
	}
	s = s[1:]
	neg := false
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		neg = s[0] == '-'
		s = s[1:]
	}
	if len(s) == 0 {
		return 0, false
	}
	for _, c := range s {
		if c -= '0'; c > 9 {
			return 0, false
		}
		if e < maxExp {
			e = e*10 + int(c)
		}
	}
	if neg {
		e = -e
	}
	return e, true
}

// exactTens are the powers of ten that a float64 holds exactly.
var exactTens = func() (t [23]float64) {
	for i := range t {
		t[i] = math.Pow10(i)
	}
	return t
}()

// float returns the float of the size nearest to n, whose text is s; ok is false when it is too large.
func (n number) float(s []byte, size int) (v float64, ok bool) {
	// one operation on two exact operands is rounded once, hence right; for
	// float32 that would be rounding twice
	if size == 64 && !n.cut && n.mant < 1<<53 && n.exp >= -22 && n.exp <= 22 {
		v = float64(int64(n.mant))
		if n.exp < 0 {
			v /= exactTens[-n.exp]
		} else {
			v *= exactTens[n.exp]
		}
		if n.neg {
			v = -v
		}
		return v, true
	}
	v, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(s), len(s)), size)
	return v, err == nil
}

// notFinite reads NaN and the infinities.
func notFinite(s []byte) (float64, bool) {
	if fold(s, "nan") {
		return math.NaN(), true
	}
	sign := 1
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		sign = int(',') - int(s[0]) // '+' and '-' are the neighbours of ','
		s = s[1:]
	}
	return math.Inf(sign), fold(s, "inf") || fold(s, "infinity")
}

// wholeness is how a number relates to int64.
type wholeness uint8

const (
	isWhole  wholeness = iota
	isBroken           // has a fraction; the result is rounded towards minus infinity
	isHuge             // does not fit
)

// scaled returns n * 10^scale as a whole number.
func (n number) scaled(scale int) (int64, wholeness) {
	if n.mant == 0 {
		return 0, isWhole // nothing was cut off a zero
	}
	q, rest := n.mant, n.cut
	switch e := n.exp + scale; {
	case e < -19:
		q, rest = 0, true
	case e < 0:
		p := tens[-e]
		rest = rest || q%p != 0
		q /= p
	case e > 19:
		return 0, isHuge
	case e > 0:
		hi, lo := bits.Mul64(q, tens[e])
		if hi != 0 {
			return 0, isHuge
		}
		q = lo
	}
	w := isWhole
	if rest {
		w = isBroken
	}
	if !n.neg {
		if q > math.MaxInt64 {
			return 0, isHuge
		}
		return int64(q), w
	}
	if rest {
		q++
	}
	if q > 1<<63 {
		return 0, isHuge
	}
	return -int64(q), w
}

var tens = func() (t [20]uint64) {
	t[0] = 1
	for i := 1; i < len(t); i++ {
		t[i] = t[i-1] * 10
	}
	return t
}()
