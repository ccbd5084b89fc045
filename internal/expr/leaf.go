package expr

import (
	"slices"

	"github.com/gorge-stream/gorge/internal/batch"
)

// columnKernel is a column of the batch as it is.
type columnKernel struct{ index int }

func (k *columnKernel) eval(f *frame) *batch.Column { return f.b.Col(k.index) }

// widenKernel is an Int32 or Float32 column in 64 bits.
type widenKernel struct {
	scratch
	index int
}

func (k *widenKernel) eval(f *frame) *batch.Column {
	in := f.b.Col(k.index)
	out := k.begin(f)
	inherit(out, f.n, in)
	if k.kind == batch.Int64 {
		dst := out.Int64s()
		for i, v := range in.Int32s()[:f.n] {
			dst[i] = int64(v)
		}
	} else {
		dst := out.Float64s()
		for i, v := range in.Float32s()[:f.n] {
			dst[i] = float64(v)
		}
	}
	return out
}

// constant is a column that has the same value in every row, or null.
type constant struct {
	scratch
	value any
}

func (k *constant) eval(f *frame) *batch.Column {
	if k.col != nil && k.col.Cap() >= f.n {
		return k.col
	}
	out := k.begin(f)
	n := out.Cap()
	switch v := k.value.(type) {
	case nil:
		clear(out.MakeNullable())
		clear(out.Data())
	case bool:
		bits := out.Bits()
		for w := range bits {
			bits[w] = -bit(v)
		}
	case int64:
		fill(out.Int64s()[:n], v)
	case float64:
		fill(out.Float64s()[:n], v)
	case string:
		if out.SetText(0, v); n > 0 {
			fill(out.Views()[:n], out.Views()[0])
		}
	}
	return out
}

func fill[T any](dst []T, v T) {
	for i := range dst {
		dst[i] = v
	}
}

// valueAt returns row i of a column as int64, float64, string, bool, or nil for null.
func valueAt(c *batch.Column, i int) any {
	if c.IsNull(i) {
		return nil
	}
	switch c.Kind() {
	case batch.Bool:
		return c.Bool(i)
	case batch.Int64, batch.Timestamp:
		return c.Int64s()[i]
	case batch.Float64:
		return c.Float64s()[i]
	default:
		return string(c.Bytes(i))
	}
}

// shared is an expression that stands in several places: it is computed once per batch.
type shared struct {
	kernel
	seq uint64
	col *batch.Column
}

func (k *shared) eval(f *frame) *batch.Column {
	if k.seq != f.seq {
		k.col, k.seq = k.kernel.eval(f), f.seq
	}
	return k.col
}

// selectKernel chooses per row between two columns: a where the condition is true,
// b where it is false or null.
type selectKernel struct {
	scratch
	cond, a, b kernel
}

func (k *selectKernel) eval(f *frame) *batch.Column {
	cond, a, b := k.cond.eval(f), k.a.eval(f), k.b.eval(f)
	out := k.begin(f)
	if a.HasNulls() || b.HasNulls() {
		valid := out.MakeNullable()
		for w := range words(f.n) {
			t := trueWord(cond, w)
			valid[w] = validWord(a, w)&t | validWord(b, w)&^t
		}
	}
	pick(f, out, a, b, func(w int) uint64 { return trueWord(cond, w) })
	return out
}

// trueWord returns the rows of word w that are true: neither false nor null.
func trueWord(c *batch.Column, w int) uint64 { return c.Bits()[w] & validWord(c, w) }

// coalesce2 is a where it is not null, else b.
type coalesce2 struct {
	scratch
	a, b kernel
}

func (k *coalesce2) eval(f *frame) *batch.Column {
	a := k.a.eval(f)
	if !a.HasNulls() {
		return a
	}
	b := k.b.eval(f)
	out := k.begin(f)
	if b.HasNulls() {
		valid, va, vb := out.MakeNullable(), a.Validity(), b.Validity()
		for w := range words(f.n) {
			valid[w] = va[w] | vb[w]
		}
	}
	pick(f, out, a, b, func(w int) uint64 { return a.Validity()[w] })
	return out
}

// pick writes the value of a where the mask of the word has a one, else that of b.
func pick(f *frame, out, a, b *batch.Column, mask func(w int) uint64) {
	switch {
	case out.Kind() == batch.Bool:
		dst, x, y := out.Bits(), a.Bits(), b.Bits()
		for w := range words(f.n) {
			m := mask(w)
			dst[w] = x[w]&m | y[w]&^m
		}
	case out.Kind().Views():
		pickText(f, out, a, b, mask)
	default:
		dst, x, y := values[int64](out, f.n), values[int64](a, f.n), values[int64](b, f.n)
		for lo := 0; lo < f.n; lo += blockRows {
			m := mask(lo / blockRows)
			for i := lo; i < min(lo+blockRows, f.n); i++ {
				keep := -int64(m & 1)
				m >>= 1
				dst[i] = x[i]&keep | y[i]&^keep
			}
		}
	}
}

func pickText(f *frame, out, a, b *batch.Column, mask func(w int) uint64) {
	dst := out.Views()
	var m uint64
	for i := range f.n {
		if i%blockRows == 0 {
			m = mask(i / blockRows)
		}
		from := b
		if m&1 != 0 {
			from = a
		}
		m >>= 1
		switch v := from.Views()[i]; {
		case out.IsNull(i):
			dst[i] = batch.View{}
		case v.Inline():
			dst[i] = v
		default:
			if !putText(f, out, i, from.Bytes(i)) {
				return
			}
		}
	}
}

// anyNullable reports whether one of the operands may be null.
func anyNullable(args []operand) bool {
	return slices.ContainsFunc(args, func(a operand) bool { return a.typ.Nullable })
}
