package batch

import (
	"math/bits"
	"unsafe"
)

// AppendRows appends the rows sel of src, which has the same kinds column by
// column, and returns how many fitted.
func (b *Batch) AppendRows(src *Batch, sel []uint32) int {
	if room := b.Cap() - b.n; len(sel) > room {
		sel = sel[:room]
	}
	for i := range b.cols {
		b.cols[i].Gather(b.n, &src.cols[i], sel)
	}
	b.n += len(sel)
	return len(sel)
}

// Gather writes the rows sel of src to the rows at, at+1, ... of c. Both columns have the same kind.
func (c *Column) Gather(at int, src *Column, sel []uint32) {
	switch c.kind {
	case Bool:
		s := src.Bits()
		d := c.Bits()
		for j, i := range sel {
			k := at + j
			d[k>>6] = d[k>>6]&^(1<<(uint(k)&63)) | s[i>>6]>>(i&63)&1<<(uint(k)&63)
		}
	case Int32, Float32:
		gather(at, sel, unsafe.Slice((*uint32)(c.ptr()), c.cap), unsafe.Slice((*uint32)(src.ptr()), src.cap))
	case Int64, Float64, Timestamp:
		gather(at, sel, unsafe.Slice((*uint64)(c.ptr()), c.cap), unsafe.Slice((*uint64)(src.ptr()), src.cap))
	case String, Binary:
		if len(src.arena) == 0 {
			gather(at, sel, c.Views(), src.Views())
		} else {
			c.gatherLong(at, src, sel)
		}
	}
	switch {
	case src.nulls:
		v := c.MakeNullable()
		for j, i := range sel {
			k := at + j
			v[k>>6] = v[k>>6]&^(1<<(uint(k)&63)) | src.valid[i>>6]>>(i&63)&1<<(uint(k)&63)
		}
	case c.nulls: // the bits behind the last row mean nothing
		for j := range sel {
			k := at + j
			c.valid[k>>6] |= 1 << (uint(k) & 63)
		}
	}
}

func gather[T any](at int, sel []uint32, dst, src []T) {
	dst = dst[at:]
	dst = dst[:len(sel)]
	for j, i := range sel {
		dst[j] = src[i]
	}
}

func (c *Column) gatherLong(at int, src *Column, sel []uint32) {
	s, d := src.Views(), c.Views()
	for j, i := range sel {
		v := s[i]
		switch {
		case src.IsNull(int(i)):
			v = View{} // what stands under a null need not lie in the arena
		case !v.Inline():
			b := v.Bytes(src.arena)
			v = LongView(b, len(c.arena))
			c.arena = append(c.arena, b...)
		}
		d[at+j] = v
	}
}

// CopyFrom replaces the first n rows of c by those of src, which has the same
// kind. What stands under a null of src may be anything; texts become empty there.
func (c *Column) CopyFrom(src *Column, n int) {
	if c.kind == Bool {
		copy(c.Bits(), src.Bits()[:(n+63)/64])
	} else {
		w := c.kind.Width()
		copy(c.data[:n*w], src.data[:n*w])
	}
	c.arena = append(c.arena[:0], src.arena...)
	c.nulls = src.nulls
	if src.nulls {
		copy(c.valid, src.valid[:(n+63)/64])
		if c.kind.Views() {
			c.zeroNulls(n)
		}
	}
}

// zeroNulls makes the texts of the null rows among the first n empty.
func (c *Column) zeroNulls(n int) {
	views := c.Views()
	for w := range (n + 63) / 64 {
		for null := ^c.valid[w]; null != 0; null &= null - 1 {
			if i := w*64 + bits.TrailingZeros64(null); i < n {
				views[i] = View{}
			}
		}
	}
}

// Swap exchanges the buffers of two columns of the same kind and capacity:
// the way to pass a column on without a copy when its batch has a sole holder.
func (c *Column) Swap(o *Column) {
	if c.kind != o.kind || c.cap != o.cap {
		panic("batch: swap of unlike columns")
	}
	*c, *o = *o, *c
}
