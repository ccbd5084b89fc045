package expr

import (
	"fmt"
	"unsafe"

	"github.com/gorge-stream/gorge/internal/batch"
)

// kernel computes one expression for all rows of a batch. The result is the
// kernel's own scratch column, or a column of the batch; it is read-only and
// valid until the next batch. What stands under a null is undefined.
type kernel interface {
	eval(f *frame) *batch.Column
}

// frame is the batch under evaluation.
type frame struct {
	b   *batch.Batch
	n   int // rows
	cap int // rows to make room for
	seq uint64
	err error
	// texts is the most bytes of all texts that a kernel may make of the batch.
	texts int
}

// blockRows is the number of rows that a kernel's inner function sees at a
// time: as many as a word of a bitmap has bits.
const blockRows = 64

// maxKeptArena is the largest arena that a scratch column keeps for the next batch.
const maxKeptArena = 4 << 20

// maxTexts is the limit of frame.texts.
const maxTexts = 1 << 29

// scratch is the result column of a kernel, reused from batch to batch.
type scratch struct {
	kind batch.Kind
	col  *batch.Column
}

// begin returns the column, empty and with room for the rows of the frame.
func (s *scratch) begin(f *frame) *batch.Column {
	if s.col == nil || s.col.Cap() < f.n {
		s.col = batch.NewColumn(s.kind, max(f.cap, f.n))
	}
	if cap(s.col.Arena()) > maxKeptArena {
		s.col.SetArena(nil)
	}
	s.col.Reset()
	return s.col
}

// inherit makes a row of out null where one of the arguments is.
func inherit(out *batch.Column, n int, args ...*batch.Column) {
	for _, a := range args {
		if !a.HasNulls() {
			continue
		}
		dst, src := out.MakeNullable(), a.Validity()
		for w := range words(n) {
			dst[w] &= src[w]
		}
	}
}

// markNull makes rows of the block that starts at row lo null.
func markNull(out *batch.Column, lo int, bad uint64) {
	if bad != 0 {
		out.MakeNullable()[lo/blockRows] &^= bad
	}
}

// words returns the number of bitmap words of n rows.
func words(n int) int { return (n + blockRows - 1) / blockRows }

// validWord returns the validity bits of word w.
func validWord(c *batch.Column, w int) uint64 {
	if !c.HasNulls() {
		return ^uint64(0)
	}
	return c.Validity()[w]
}

// number is a value of 8 bytes that kernels compute with; timestamps are int64.
type number interface{ int64 | float64 }

// values returns the first n values of an Int64, Timestamp or Float64 column.
func values[T number](c *batch.Column, n int) []T {
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(c.Data()))), n)
}

// bit returns b as 0 or 1; it compiles to one instruction.
func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// flags are the results of a test for the rows of a block. Writing bytes and
// packing them into a word is faster than shifting bits into place one by one.
type flags [blockRows]bool

// word packs the flags, row i as bit i. The multiplication moves the lowest bits
// of eight bytes into the highest byte without a carry.
func (f *flags) word() (w uint64) {
	for i, eight := range (*[blockRows / 8]uint64)(unsafe.Pointer(f)) {
		w |= eight * 0x0102040810204080 >> 56 << (8 * i)
	}
	return w
}

// map1 computes numbers from numbers, a block at a time. The function returns
// the rows of the block that cannot be computed.
type map1[A, B number] struct {
	scratch
	a kernel
	f func(dst []B, a []A) (bad uint64)
}

func (k *map1[A, B]) eval(f *frame) *batch.Column {
	a := k.a.eval(f)
	out := k.begin(f)
	inherit(out, f.n, a)
	dst, x := values[B](out, f.n), values[A](a, f.n)
	for lo := 0; lo < f.n; lo += blockRows {
		hi := min(lo+blockRows, f.n)
		markNull(out, lo, k.f(dst[lo:hi], x[lo:hi]))
	}
	return out
}

// map2 computes numbers from two columns of numbers.
type map2[A, B, C number] struct {
	scratch
	a, b kernel
	f    func(dst []C, a []A, b []B) (bad uint64)
}

func (k *map2[A, B, C]) eval(f *frame) *batch.Column {
	a, b := k.a.eval(f), k.b.eval(f)
	out := k.begin(f)
	inherit(out, f.n, a, b)
	dst, x, y := values[C](out, f.n), values[A](a, f.n), values[B](b, f.n)
	for lo := 0; lo < f.n; lo += blockRows {
		hi := min(lo+blockRows, f.n)
		markNull(out, lo, k.f(dst[lo:hi], x[lo:hi], y[lo:hi]))
	}
	return out
}

// test1 computes one bit per number.
type test1[A number] struct {
	scratch
	a kernel
	f func(a []A) uint64
}

func (k *test1[A]) eval(f *frame) *batch.Column {
	a := k.a.eval(f)
	out := k.begin(f)
	inherit(out, f.n, a)
	x, bits := values[A](a, f.n), out.Bits()
	for lo := 0; lo < f.n; lo += blockRows {
		bits[lo/blockRows] = k.f(x[lo:min(lo+blockRows, f.n)])
	}
	return out
}

// test2 computes one bit per pair of numbers.
type test2[A number] struct {
	scratch
	a, b kernel
	f    func(a, b []A) uint64
}

func (k *test2[A]) eval(f *frame) *batch.Column {
	a, b := k.a.eval(f), k.b.eval(f)
	out := k.begin(f)
	inherit(out, f.n, a, b)
	x, y, bits := values[A](a, f.n), values[A](b, f.n), out.Bits()
	for lo := 0; lo < f.n; lo += blockRows {
		hi := min(lo+blockRows, f.n)
		bits[lo/blockRows] = k.f(x[lo:hi], y[lo:hi])
	}
	return out
}

// rows is what row functions of one kernel share: the arguments' columns.
type rows struct {
	scratch
	args []kernel
	cols []*batch.Column
}

func (r *rows) begin(f *frame) *batch.Column {
	for i, a := range r.args {
		r.cols[i] = a.eval(f)
	}
	out := r.scratch.begin(f)
	inherit(out, f.n, r.cols...)
	return out
}

func newRows(c *call) rows {
	r := rows{scratch: scratch{kind: c.kind}, cols: make([]*batch.Column, len(c.args))}
	for _, a := range c.args {
		r.args = append(r.args, a.kernel)
	}
	return r
}

// rowNumber computes a number per row, for functions of texts and rare
// conversions. The function is not called for rows with a null argument; ok is
// false where there is no result.
type rowNumber[T number] struct {
	rows
	f func(cols []*batch.Column, i int) (v T, ok bool)
}

func (k *rowNumber[T]) eval(f *frame) *batch.Column {
	out := k.begin(f)
	dst := values[T](out, f.n)
	for i := range f.n {
		if out.IsNull(i) {
			continue
		}
		v, ok := k.f(k.cols, i)
		if dst[i] = v; !ok {
			out.SetNull(i)
		}
	}
	return out
}

// rowBool is rowNumber for booleans.
type rowBool struct {
	rows
	f func(cols []*batch.Column, i int) (v, ok bool)
}

func (k *rowBool) eval(f *frame) *batch.Column {
	out := k.begin(f)
	bits := out.Bits()
	var word, bad uint64
	for i := range f.n {
		at := uint(i) % blockRows
		if !out.IsNull(i) {
			v, ok := k.f(k.cols, i)
			word |= bit(v) << at
			bad |= bit(!ok) << at
		}
		if at == blockRows-1 || i == f.n-1 {
			bits[i/blockRows] = word
			markNull(out, i&^(blockRows-1), bad)
			word, bad = 0, 0
		}
	}
	return out
}

// rowText is rowNumber for texts. The result of the function is copied: it may
// share memory with an argument or be a buffer of the function's own.
type rowText struct {
	rows
	f func(cols []*batch.Column, i int) (v []byte, ok bool)
}

func (k *rowText) eval(f *frame) *batch.Column {
	out := k.begin(f)
	for i := range f.n {
		if out.IsNull(i) {
			continue
		}
		v, ok := k.f(k.cols, i)
		if !ok {
			out.SetNull(i)
			continue
		}
		if !putText(f, out, i, v) {
			return out
		}
	}
	return out
}

// putText sets a text unless the column holds too many bytes; then the frame has an error.
func putText(f *frame, out *batch.Column, i int, v []byte) bool {
	if len(v) > batch.InlineMax && len(out.Arena())+len(v) > f.texts {
		if f.err == nil {
			f.err = fmt.Errorf("the texts that an expression makes of one batch take more than %d bytes", f.texts)
		}
		for j := i; j < f.n; j++ {
			out.SetNull(j)
		}
		return false
	}
	out.SetBytes(i, v)
	return true
}
