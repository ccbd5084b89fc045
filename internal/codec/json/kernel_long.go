package json

import (
	"math"
	"math/bits"
	"unsafe"

	"github.com/gorge-stream/gorge/internal/batch"
)

// The second tier: what the kernels leave is mostly long strings, characters
// outside ASCII and long numbers. These functions go through g.left once more,
// take such lines out of it, and return how many are still in it.

// longStrings knows strings without escapes.
func (d *decoder) longStrings(g *group, st *step, left, row int) (still int) {
	base, c := d.scan.base, d.dst[st.col]
	out, arena := c.Views(), c.Arena()
	for _, i := range g.left[:left] {
		p, end := g.cur[i], g.end[i]
		q := unsafe.Add(base, p)
		if st.w0.differs(load(q))|st.w1.differs(load(unsafe.Add(q, 8))) == 0 {
			line := d.block[p+st.size : end]
			if n, escaped := d.text(line, 0); n >= 0 && !escaped {
				if n <= batch.InlineMax {
					out[row+int(i)] = batch.InlineView(line[:n])
				} else {
					out[row+int(i)] = batch.LongView(line[:n], len(arena))
					arena = append(arena, line[:n]...)
				}
				g.cur[i] = p + st.size + uint32(n) + 1
				continue
			}
		}
		g.left[still] = i
		still++
	}
	c.SetArena(arena)
	return still
}

// skipAnyStrings knows all strings.
func (d *decoder) skipAnyStrings(g *group, st *step, left int) (still int) {
	base := d.scan.base
	for _, i := range g.left[:left] {
		p, end := g.cur[i], g.end[i]
		q := unsafe.Add(base, p)
		if st.w0.differs(load(q))|st.w1.differs(load(unsafe.Add(q, 8))) == 0 {
			if n, _ := d.text(d.block[p+st.size:end], 0); n >= 0 {
				g.cur[i] = p + st.size + uint32(n) + 1
				continue
			}
		}
		g.left[still] = i
		still++
	}
	return still
}

// plain is a number without exponent of up to 19 digits: mant / 10^frac.
type plain struct {
	mant uint64
	frac uint32
	neg  bool
}

// plainNumber reads the number at place p of the block, which next must follow,
// and returns the place behind it, or 0 if it is no plain number.
func plainNumber(base unsafe.Pointer, p uint32, next byte) (v plain, end uint32) {
	q := unsafe.Add(base, p)
	if *(*byte)(q) == '-' {
		v.neg = true
		q = unsafe.Add(q, 1)
		p++
	}
	first := *(*byte)(q)
	mant, n := plainDigits(q, 0)
	if n == 0 || n > 1 && first == '0' || n > 19 {
		return v, 0
	}
	if *(*byte)(unsafe.Add(q, n)) == '.' {
		n++
		whole := n
		var k uint32
		mant, k = plainDigits(unsafe.Add(q, n), mant)
		n += k
		if v.frac = n - whole; k == 0 || n > 20 {
			return v, 0
		}
	}
	if *(*byte)(unsafe.Add(q, n)) != next {
		return v, 0
	}
	v.mant = mant
	return v, p + n
}

// plainDigits appends the digits at q to mant and returns how many there are;
// with more than 19 in all it may stop early and mant is of no use.
func plainDigits(q unsafe.Pointer, mant uint64) (uint64, uint32) {
	n := uint32(0)
	for {
		x := load(unsafe.Add(q, n))
		m := nondigits(x)
		if m != 0 {
			t := uint(bits.TrailingZeros64(m)) & 56
			return mant*tens[t>>3] + parse8(x<<1<<(63-t)), n + uint32(t>>3)
		}
		mant = mant*1e8 + parse8(x)
		if n += 8; n > 19 {
			return mant, n
		}
	}
}

// longFloats knows plain numbers.
func (g *group) longFloats(base unsafe.Pointer, st *step, left int, out []float64) (still int) {
	for _, i := range g.left[:left] {
		p := g.cur[i]
		q := unsafe.Add(base, p)
		if st.w0.differs(load(q))|st.w1.differs(load(unsafe.Add(q, 8))) == 0 {
			if v, end := plainNumber(base, p+st.size, st.next); end != 0 {
				f := quotient(v.mant, int(v.frac))
				if v.neg {
					f = -f
				}
				out[i] = f
				g.cur[i] = end
				continue
			}
		}
		g.left[still] = i
		still++
	}
	return still
}

// longInts knows plain numbers without fraction.
func (g *group) longInts(base unsafe.Pointer, st *step, left int, out []int64) (still int) {
	for _, i := range g.left[:left] {
		p := g.cur[i]
		q := unsafe.Add(base, p)
		if st.w0.differs(load(q))|st.w1.differs(load(unsafe.Add(q, 8))) == 0 {
			v, end := plainNumber(base, p+st.size, st.next)
			if n, ok := st.integer(v); end != 0 && ok {
				out[i] = n
				g.cur[i] = end
				continue
			}
		}
		g.left[still] = i
		still++
	}
	return still
}

// integer returns the value of the column for v, if v is whole and in range.
func (st *step) integer(v plain) (int64, bool) {
	if v.frac != 0 || v.mant > math.MaxInt64 {
		return 0, false
	}
	n := int64(v.mant)
	if v.neg {
		n = -n
	}
	if st.nanos {
		micros := n / 1000
		if n%1000 < 0 {
			micros--
		}
		return micros, true // all of int64 is within the years 0 to 9999
	}
	return n * st.factor, uint64(n-st.low) <= st.span
}

// skipLongNumbers knows plain numbers.
func (g *group) skipLongNumbers(base unsafe.Pointer, st *step, left int) (still int) {
	for _, i := range g.left[:left] {
		p := g.cur[i]
		q := unsafe.Add(base, p)
		if st.w0.differs(load(q))|st.w1.differs(load(unsafe.Add(q, 8))) == 0 {
			if _, end := plainNumber(base, p+st.size, st.next); end != 0 {
				g.cur[i] = end
				continue
			}
		}
		g.left[still] = i
		still++
	}
	return still
}

// times is the kernel of stepTime: it knows timestamps in UTC with up to 6 digits of a fraction, of the day in m.
func (g *group) times(base unsafe.Pointer, st *step, n int, out []int64, m *dayMemo) (left int) {
	w0, w1, size := st.w0, st.w1, st.size
	cur := g.cur[:n]
	out = out[:n]
	for i, p := range cur {
		var clock, fraction uint64
		q := unsafe.Add(base, p)
		if w0.differs(load(q))|w1.differs(load(unsafe.Add(q, 8))) != 0 {
			goto slow
		}
		q = unsafe.Add(q, size)
		clock = load(unsafe.Add(q, 11)) // "15:04:05"
		if load(q) != m.text0 || load(unsafe.Add(q, 8))&0xFFFFFF != m.text1|'T'<<16 || clock&0x0000FF0000FF0000 != 0x00003A00003A0000 {
			goto slow
		}
		clock ^= 0x00000A00000A0000 // ':' becomes '0'
		if nondigits(clock) != 0 {
			goto slow
		}
		clock &= 0x0F * ones
		clock = clock*10 + clock>>8 // tens and units in the bytes 0, 3 and 6
		{
			h, mi, s := clock&0xFF, clock>>24&0xFF, clock>>48&0xFF
			if h > 23 || mi > 59 || s > 59 {
				goto slow
			}
			clock = (h*60+mi)*60 + s
		}
		p += size + 19
		fraction = load(unsafe.Add(q, 19))
		if byte(fraction) == '.' {
			f := load(unsafe.Add(q, 20))
			t := uint(bits.TrailingZeros64(nondigits(f))) & 120
			if t == 0 || t > 48 {
				goto slow
			}
			fraction = load(unsafe.Add(q, 20+t>>3))
			p += 1 + uint32(t>>3)
			clock = clock*1_000_000 + parse8(f<<((64-t)&63))*tens[6-t>>3]
		} else {
			clock *= 1_000_000
		}
		if fraction&0xFFFF != 'Z'|'"'<<8 {
			goto slow
		}
		out[i] = m.micros + int64(clock)
		cur[i] = p + 2
		continue
	slow:
		g.left[left&(groupLines-1)] = uint8(i)
		left++
	}
	return left
}
