package json

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"unsafe"
)

// decimal is a number as written: (-1)^neg * (mant + r) * 10^exp, where 0 <= r < 1
// and r > 0 exactly when inexact. mant has at most 19 digits.
type decimal struct {
	mant    uint64
	exp     int
	neg     bool
	inexact bool
}

// maxExp bounds exponents, so that they can be added; no record has as many digits.
const maxExp = 1 << 40

// number checks the number at i, which begins with '-' or a digit, and returns
// where it ends. If d is not nil it is set to the value.
func (p *parser) number(line []byte, i int, d *decimal) int {
	var sink decimal
	if d == nil {
		d = &sink
	}
	*d = decimal{}
	if line[i] == '-' {
		d.neg = true
		i++
	}
	from := i
	i = d.digits(line, i)
	if i == from {
		return p.expected(line, i, "a digit")
	}
	if line[from] == '0' && i-from > 1 {
		return p.fail("syntax", from, "a number must not begin with 0 and another digit")
	}
	if i < len(line) && line[i] == '.' {
		i++
		from = i
		before := d.exp // digits of the whole part that did not fit
		d.exp = 0
		i = d.digits(line, i)
		if i == from {
			return p.expected(line, i, "a digit")
		}
		d.exp += before - (i - from)
	}
	if i < len(line) && line[i]|0x20 == 'e' {
		i++
		neg := false
		if i < len(line) && (line[i] == '+' || line[i] == '-') {
			neg = line[i] == '-'
			i++
		}
		from = i
		e := 0
		for ; i < len(line) && line[i]-'0' <= 9; i++ {
			if e < maxExp {
				e = e*10 + int(line[i]-'0')
			}
		}
		if i == from {
			return p.expected(line, i, "a digit")
		}
		if neg {
			e = -e
		}
		d.exp += e
	}
	return i
}

// digits adds the digits at i to the mantissa and returns where they end. Those
// that do not fit are counted in exp.
func (d *decimal) digits(line []byte, i int) int {
	for d.mant < 1e10 && i+8 <= len(line) {
		x := binary.LittleEndian.Uint64(line[i:])
		if nondigits(x) != 0 {
			break
		}
		d.mant = d.mant*1e8 + parse8(x)
		i += 8
	}
	for ; i < len(line) && line[i]-'0' <= 9; i++ {
		if d.mant < 1e18 {
			d.mant = d.mant*10 + uint64(line[i]-'0')
		} else {
			d.exp++
			d.inexact = d.inexact || line[i] != '0'
		}
	}
	return i
}

// parse8 returns the value of 8 digits, the first in the lowest byte.
func parse8(x uint64) uint64 {
	x = (x & 0x0F0F0F0F0F0F0F0F) * (10<<8 + 1) >> 8
	x = (x & 0x00FF00FF00FF00FF) * (100<<16 + 1) >> 16
	return (x & 0x0000FFFF0000FFFF) * (10000<<32 + 1) >> 32
}

// nondigits finds bytes that are no digits; see quotes.
func nondigits(x uint64) uint64 {
	t := x ^ '0'*ones
	return (t + (0x80-10)*ones | t) & highs
}

var tens = [20]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19}

// floatTens are the powers of ten that a float64 holds exactly.
var floatTens = [23]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// float64 returns the float64 nearest to d, whose text is given; ok is false when it is too large.
func (d *decimal) float64(text []byte) (v float64, ok bool) {
	switch {
	case d.inexact:
		ok = false
	case d.exp >= -19 && d.exp <= 0:
		v, ok = quotient(d.mant, -d.exp), true
	case d.mant < 1<<53 && d.exp > 0 && d.exp <= 22:
		v, ok = float64(int64(d.mant))*floatTens[d.exp], true // exact factors, rounded once
	}
	if ok {
		if d.neg {
			v = -v
		}
		return v, true
	}
	v, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(text), len(text)), 64)
	return v, err == nil
}

// quotient returns the float64 nearest to mant / 10^frac, where frac is at most 19.
func quotient(mant uint64, frac int) float64 {
	if mant < 1<<53 {
		return float64(int64(mant)) / floatTens[frac] // of exact operands, rounded once
	}
	// Divide with 62 bits of quotient or more, mark in the last bit whether there is
	// a rest, and let the conversion round to 53 bits.
	divisor := tens[frac]
	up, down := bits.LeadingZeros64(mant), bits.LeadingZeros64(divisor)
	mant <<= up
	q, rest := bits.Div64(mant>>1, mant<<63, divisor<<down) // mant * 2^63 / divisor
	if rest != 0 {
		q |= 1
	}
	v := float64(int64(q>>1 | q&1))
	return v * math.Float64frombits(uint64(1023-62+down-up)<<52)
}

// float32 is float64 for the nearest float32.
func (d *decimal) float32(text []byte) (v float32, ok bool) {
	if w, ok := d.float64(text); ok {
		if v, ok := narrow(w); ok {
			return v, true
		}
	}
	w, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(text), len(text)), 32)
	return float32(w), err == nil
}

// narrow rounds to float32; ok is false when that might not give the float32
// nearest to the decimal that v is the nearest float64 of: when v lies halfway
// between two float32 the decimal may lie on either side.
func narrow(v float64) (w float32, ok bool) {
	b := math.Float64bits(v)
	const low, high = 1023 - 126, 1023 + 127 // exponents of normal float32, biased
	if e := b >> 52 & 0x7FF; e-low >= high-low && b<<1 != 0 || b&(1<<29-1) == 1<<28 {
		return 0, false
	}
	return float32(v), true
}

// whole is how a decimal relates to whole numbers.
type whole uint8

const (
	isWhole  whole = iota
	isBroken       // has a fraction; the result is rounded towards minus infinity
	isHuge         // does not fit into int64
)

// scaled returns d * 10^scale as a whole number.
func (d *decimal) scaled(scale int) (int64, whole) {
	if d.mant == 0 {
		return 0, isWhole // then no digit was left out
	}
	q, broken := d.mant, d.inexact
	switch e := d.exp + scale; {
	case e > 0:
		if e > 19 {
			return 0, isHuge
		}
		hi, lo := bits.Mul64(q, tens[e])
		if hi != 0 {
			return 0, isHuge
		}
		q = lo
	case e < -19:
		q, broken = 0, true
	case e < 0:
		r := q % tens[-e]
		q /= tens[-e]
		broken = broken || r != 0
	}
	if broken && d.neg {
		q++
	}
	if d.neg && q == 1<<63 {
		return math.MinInt64, wholeness(broken)
	}
	if q > math.MaxInt64 {
		return 0, isHuge
	}
	if d.neg {
		return -int64(q), wholeness(broken)
	}
	return int64(q), wholeness(broken)
}

func wholeness(broken bool) whole {
	if broken {
		return isBroken
	}
	return isWhole
}
