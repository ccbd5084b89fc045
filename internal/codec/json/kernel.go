package json

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unsafe"

	"github.com/gorge-stream/gorge/internal/batch"
)

// The kernels. Each takes one step for all lines of a group: it compares the
// literal and reads the value behind it. A line of which it is not sure, for
// whatever reason, goes into g.left untouched, for repair to judge; so a kernel
// knows the frequent spellings only, and there is one place for all others.
//
// Bounds: a place in g.cur never passes the line's newline, since no literal
// holds one and no value does. A kernel reads at most 16 bytes of a literal and
// 25 of a number behind it, and codec.Pad bytes behind the block cover that;
// strings are read on only while the bytes before are within the line.

// load returns 8 bytes.
func load(p unsafe.Pointer) uint64 { return binary.LittleEndian.Uint64((*[8]byte)(p)[:]) }

// heads compares the heads of long literals and moves cur behind them. A line
// that differs is sent to its newline, where no literal matches, so that the
// kernel leaves it. The places before are kept in before.
func (g *group) heads(base unsafe.Pointer, st *step, n int, before []uint32) {
	words := st.headWords
	cur := g.cur[:n]
	copy(before, cur)
	for i, p := range cur {
		q := unsafe.Add(base, p)
		cur[i] = p + uint32(st.head)
		for j, w := range words {
			if w.differs(load(unsafe.Add(q, j*8))) != 0 {
				cur[i] = g.end[i]
				break
			}
		}
	}
}

// literals is the kernel of stepEnd.
func (g *group) literals(base unsafe.Pointer, st *step, n int) (left int) {
	w0, w1, size := st.w0, st.w1, st.size
	cur := g.cur[:n]
	for i, p := range cur {
		q := unsafe.Add(base, p)
		if w0.differs(load(q))|w1.differs(load(unsafe.Add(q, 8))) != 0 {
			g.left[left&(groupLines-1)] = uint8(i)
			left++
			continue
		}
		cur[i] = p + size
	}
	return left
}

// skipStrings is the kernel of stepSkipString for clean groups.
func (g *group) skipStrings(base unsafe.Pointer, st *step, n int) (left int) {
	w0, w1, size := st.w0, st.w1, st.size
	cur, end := g.cur[:n], g.end[:n]
	for i, p := range cur {
		q := unsafe.Add(base, p)
		if w0.differs(load(q))|w1.differs(load(unsafe.Add(q, 8))) != 0 {
			goto slow
		}
		p += size
		for {
			if m := quotes(load(unsafe.Add(base, p))); m != 0 {
				p += uint32(bits.TrailingZeros64(m)>>3) + 1
				break
			}
			if p += 8; p > end[i] {
				break
			}
		}
		if p > end[i] {
			goto slow
		}
		cur[i] = p
		continue
	slow:
		g.left[left&(groupLines-1)] = uint8(i)
		left++
	}
	return left
}

// skipStringsCarefully is skipStrings for any bytes.
func (g *group) skipStringsCarefully(base unsafe.Pointer, st *step, n int) (left int) {
	w0, w1, size := st.w0, st.w1, st.size
	cur := g.cur[:n]
	for i, p := range cur {
		q := unsafe.Add(base, p)
		if w0.differs(load(q))|w1.differs(load(unsafe.Add(q, 8))) != 0 {
			goto slow
		}
		p += size
		for {
			x := load(unsafe.Add(base, p))
			if m := specials(x); m != 0 {
				t := uint(bits.TrailingZeros64(m)) & 56
				if byte(x>>t) != '"' {
					goto slow // an escape, not ASCII, or the line's end
				}
				cur[i] = p + uint32(t>>3) + 1
				break
			}
			p += 8
		}
		continue
	slow:
		g.left[left&(groupLines-1)] = uint8(i)
		left++
	}
	return left
}

// strings is the kernel of stepString for clean groups: it knows strings that fit into a view.
func (g *group) strings(base unsafe.Pointer, st *step, n int, out []batch.View) (left int) {
	w0, w1, size := st.w0, st.w1, st.size
	cur, end := g.cur[:n], g.end[:n]
	out = out[:n]
	for i, p := range cur {
		var x, m uint64
		q := unsafe.Add(base, p)
		if w0.differs(load(q))|w1.differs(load(unsafe.Add(q, 8))) != 0 {
			goto slow
		}
		p += size
		x = load(unsafe.Add(base, p))
		if m = quotes(x); m != 0 {
			t := uint(bits.TrailingZeros64(m)) & 56
			if p += uint32(t>>3) + 1; p > end[i] {
				goto slow
			}
			x &= 1<<t - 1
			out[i] = batch.View{W0: uint64(t>>3) | x<<32, W1: x >> 32}
		} else {
			y := load(unsafe.Add(base, p+8))
			if m = quotes(y) & (1<<40 - 1); m == 0 {
				goto slow // longer than 12 bytes
			}
			t := uint(bits.TrailingZeros64(m)) & 56
			if p += uint32(t>>3) + 9; p > end[i] {
				goto slow
			}
			y &= 1<<t - 1
			out[i] = batch.View{W0: 8 + uint64(t>>3) | x<<32, W1: x>>32 | y<<32}
		}
		cur[i] = p
		continue
	slow:
		g.left[left&(groupLines-1)] = uint8(i)
		left++
	}
	return left
}

// stringsCarefully is strings for any bytes.
func (g *group) stringsCarefully(base unsafe.Pointer, st *step, n int, out []batch.View) (left int) {
	w0, w1, size := st.w0, st.w1, st.size
	cur := g.cur[:n]
	out = out[:n]
	for i, p := range cur {
		var x, m uint64
		q := unsafe.Add(base, p)
		if w0.differs(load(q))|w1.differs(load(unsafe.Add(q, 8))) != 0 {
			goto slow
		}
		p += size
		x = load(unsafe.Add(base, p))
		if m = specials(x); m != 0 {
			t := uint(bits.TrailingZeros64(m)) & 56
			if byte(x>>t) != '"' {
				goto slow // an escape, not ASCII, or the line's end
			}
			p += uint32(t>>3) + 1
			x &= 1<<t - 1
			out[i] = batch.View{W0: uint64(t>>3) | x<<32, W1: x >> 32}
		} else {
			y := load(unsafe.Add(base, p+8))
			if m = specials(y) & (1<<40 - 1); m == 0 {
				goto slow // longer than 12 bytes
			}
			t := uint(bits.TrailingZeros64(m)) & 56
			if byte(y>>t) != '"' {
				goto slow
			}
			p += uint32(t>>3) + 9
			y &= 1<<t - 1
			out[i] = batch.View{W0: 8 + uint64(t>>3) | x<<32, W1: x>>32 | y<<32}
		}
		cur[i] = p
		continue
	slow:
		g.left[left&(groupLines-1)] = uint8(i)
		left++
	}
	return left
}

// The words true and false as the kernel of booleans sees them.
const (
	wordTrue  = 't' | 'r'<<8 | 'u'<<16 | 'e'<<24
	wordFalse = 'f' | 'a'<<8 | 'l'<<16 | 's'<<24 | 'e'<<32
)

// bools is the kernel of stepBool.
func (g *group) bools(base unsafe.Pointer, st *step, n int, out []uint64, row int) (left int) {
	w0, w1, size := st.w0, st.w1, st.size
	cur := g.cur[:n]
	for i, p := range cur {
		var x, bit uint64
		q := unsafe.Add(base, p)
		if w0.differs(load(q))|w1.differs(load(unsafe.Add(q, 8))) != 0 {
			goto slow
		}
		x = load(unsafe.Add(q, size))
		switch {
		case x&(1<<32-1) == wordTrue:
			p += 4
			bit = 1
		case x&(1<<40-1) == wordFalse:
			p += 5
		default:
			goto slow
		}
		{
			w, at := &out[uint(row+i)>>6], uint(row+i)&63
			*w = *w&^(1<<at) | bit<<at
		}
		cur[i] = p + size
		continue
	slow:
		g.left[left&(groupLines-1)] = uint8(i)
		left++
	}
	return left
}

// skipNumbers is the kernel of stepSkipNumber: it knows whole numbers of up to 15
// digits and those with a fraction of up to 7 characters.
func (g *group) skipNumbers(base unsafe.Pointer, st *step, n int) (left int) {
	w0, w1, size, next := st.w0, st.w1, st.size, st.next
	cur := g.cur[:n]
	for i, p := range cur {
		var x, m uint64
		var t uint
		q := unsafe.Add(base, p)
		if w0.differs(load(q))|w1.differs(load(unsafe.Add(q, 8))) != 0 {
			goto slow
		}
		p += size
		if *(*byte)(unsafe.Add(base, p)) == '-' {
			p++
		}
		x = load(unsafe.Add(base, p))
		m = nondigits(x)
		if m != 0 {
			t = uint(bits.TrailingZeros64(m)) & 56
			if t == 0 || byte(x) == '0' && t > 8 {
				goto slow
			}
			if byte(x>>t) == '.' {
				if m &= m - 1; m == 0 {
					goto slow
				}
				f := uint(bits.TrailingZeros64(m)) & 56
				if f-t < 16 {
					goto slow
				}
				t = f
			}
		} else {
			if byte(x) == '0' {
				goto slow
			}
			p += 8
			x = load(unsafe.Add(base, p))
			if m = nondigits(x); m == 0 {
				goto slow
			}
			t = uint(bits.TrailingZeros64(m)) & 56
		}
		if byte(x>>t) != next {
			goto slow
		}
		cur[i] = p + uint32(t>>3)
		continue
	slow:
		g.left[left&(groupLines-1)] = uint8(i)
		left++
	}
	return left
}

// ints is the kernel of stepInt: it knows whole numbers of up to 15 digits.
func (g *group) ints(base unsafe.Pointer, st *step, n int, out []int64) (left int) {
	w0, w1, size, next := st.w0, st.w1, st.size, st.next
	cur := g.cur[:n]
	out = out[:n]
	for i, p := range cur {
		var x, m uint64
		var t uint
		var v, sign int64
		q := unsafe.Add(base, p)
		if w0.differs(load(q))|w1.differs(load(unsafe.Add(q, 8))) != 0 {
			goto slow
		}
		p += size
		if *(*byte)(unsafe.Add(base, p)) == '-' {
			p++
			sign = -1
		}
		x = load(unsafe.Add(base, p))
		m = nondigits(x)
		if m != 0 {
			t = uint(bits.TrailingZeros64(m)) & 56
			if t == 0 || byte(x) == '0' && t > 8 || byte(x>>t) != next {
				goto slow
			}
			v = int64(parse8(x << ((64 - t) & 63)))
		} else {
			p += 8
			y := load(unsafe.Add(base, p))
			if m = nondigits(y); m == 0 || byte(x) == '0' {
				goto slow
			}
			t = uint(bits.TrailingZeros64(m)) & 56
			if byte(y>>t) != next {
				goto slow
			}
			v = int64(parse8(x)*tens[t>>3] + parse8(y<<1<<(63-t)))
		}
		v = (v ^ sign) - sign
		if uint64(v-st.low) > st.span {
			goto slow
		}
		out[i] = v * st.factor
		cur[i] = p + uint32(t>>3)
		continue
	slow:
		g.left[left&(groupLines-1)] = uint8(i)
		left++
	}
	return left
}

// floats is the kernel of stepFloat: it knows numbers of up to 7 characters.
func (g *group) floats(base unsafe.Pointer, st *step, n int, out []float64) (left int) {
	w0, w1, size, next := st.w0, st.w1, st.size, st.next
	cur := g.cur[:n]
	out = out[:n]
	for i, p := range cur {
		var x, m, neg uint64
		var t uint
		var v float64
		q := unsafe.Add(base, p)
		if w0.differs(load(q))|w1.differs(load(unsafe.Add(q, 8))) != 0 {
			goto slow
		}
		p += size
		if *(*byte)(unsafe.Add(base, p)) == '-' {
			p++
			neg = 1 << 63
		}
		x = load(unsafe.Add(base, p))
		m = nondigits(x)
		if m == 0 {
			goto slow
		}
		t = uint(bits.TrailingZeros64(m)) & 56
		if t == 0 || byte(x) == '0' && t > 8 {
			goto slow
		}
		if byte(x>>t) == '.' {
			if m &= m - 1; m == 0 {
				goto slow
			}
			f := uint(bits.TrailingZeros64(m)) & 56
			if f-t < 16 || byte(x>>f) != next {
				goto slow
			}
			whole := uint64(1)<<t - 1
			y := x&whole | x>>8&^whole // without the point
			v = float64(int64(parse8(y<<((72-f)&63)))) / floatTens[((f-t)>>3-1)&7]
			t = f
		} else {
			if byte(x>>t) != next {
				goto slow
			}
			v = float64(int64(parse8(x << ((64 - t) & 63))))
		}
		out[i] = math.Float64frombits(math.Float64bits(v) | neg)
		cur[i] = p + uint32(t>>3)
		continue
	slow:
		g.left[left&(groupLines-1)] = uint8(i)
		left++
	}
	return left
}

// narrowInts copies values that fit; those of lines in g.left may be anything.
func narrowInts(out []int32, in []int64) {
	for i, v := range in[:len(out)] {
		out[i] = int32(v)
	}
}

// narrowFloats rounds d.floats to float32 and sets lines back to d.before where
// that might not be the nearest to what is written.
func (d *decoder) narrowFloats(g *group, left int, out []float32) int {
	for i := range out {
		v, ok := narrow(d.floats[i])
		if !ok && g.cur[i] != d.before[i] {
			g.cur[i] = d.before[i]
			g.left[left] = uint8(i)
			left++
		}
		out[i] = v
	}
	return left
}
