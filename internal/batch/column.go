package batch

import (
	"fmt"
	"math/bits"
	"unsafe"
)

// Column is the values of one field for the rows of a batch. Its buffers have
// the capacity of the batch; only the first rows of them mean something.
type Column struct {
	kind  Kind
	cap   int
	data  []byte   // cap values, 64-byte aligned and padded
	valid []uint64 // one bit a row, cap bits rounded up; meaningful only when nulls
	nulls bool     // some row may be null
	arena []byte   // bytes of long views
}

const align = 64

func alignedBytes(n int) []byte {
	n = (n + align - 1) &^ (align - 1)
	b := make([]byte, n+2*align)
	p := uintptr(unsafe.Pointer(&b[0]))
	o := int((p+align-1)&^(align-1) - p)
	return b[o : o+n : o+n+align]
}

func newColumn(kind Kind, capacity int) Column {
	n := capacity * kind.Width()
	if kind == Bool {
		n = (capacity + 63) / 64 * 8
	}
	return Column{kind: kind, cap: capacity, data: alignedBytes(n), valid: make([]uint64, (capacity+63)/64)}
}

// NewColumn makes a column outside any batch, for scratch results; capacity is in rows.
func NewColumn(kind Kind, capacity int) *Column {
	c := newColumn(kind, capacity)
	return &c
}

// Reset empties the column: no nulls, empty arena, bits cleared. Values keep what they had.
func (c *Column) Reset() {
	c.nulls = false
	c.arena = c.arena[:0]
}

// Kind returns the type of the values.
func (c *Column) Kind() Kind { return c.kind }

// Cap returns the rows that the column has room for.
func (c *Column) Cap() int { return c.cap }

func (c *Column) ptr() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(c.data)) }

func (c *Column) must(ok bool) {
	if !ok {
		panic(fmt.Sprintf("batch: wrong accessor for a column of kind %s", c.kind))
	}
}

// Int64s returns the values of an Int64 or Timestamp column, one per row of capacity.
func (c *Column) Int64s() []int64 {
	c.must(c.kind == Int64 || c.kind == Timestamp)
	return unsafe.Slice((*int64)(c.ptr()), c.cap)
}

// Int32s returns the values of an Int32 column.
func (c *Column) Int32s() []int32 {
	c.must(c.kind == Int32)
	return unsafe.Slice((*int32)(c.ptr()), c.cap)
}

// Float64s returns the values of a Float64 column.
func (c *Column) Float64s() []float64 {
	c.must(c.kind == Float64)
	return unsafe.Slice((*float64)(c.ptr()), c.cap)
}

// Float32s returns the values of a Float32 column.
func (c *Column) Float32s() []float32 {
	c.must(c.kind == Float32)
	return unsafe.Slice((*float32)(c.ptr()), c.cap)
}

// Views returns the views of a String or Binary column.
func (c *Column) Views() []View {
	c.must(c.kind.Views())
	return unsafe.Slice((*View)(c.ptr()), c.cap)
}

// Bits returns the values of a Bool column, bit i&63 of word i>>6 for row i.
// Bits behind the last row are undefined.
func (c *Column) Bits() []uint64 {
	c.must(c.kind == Bool)
	return unsafe.Slice((*uint64)(c.ptr()), (c.cap+63)/64)
}

// Data returns the raw fixed-width buffer.
func (c *Column) Data() []byte { return c.data }

// Arena returns the bytes of the long views.
func (c *Column) Arena() []byte { return c.arena }

// HasNulls reports whether a row may be null. When it is false, Validity is not to be read.
func (c *Column) HasNulls() bool { return c.nulls }

// Validity returns the validity bits (1 = present), or nil when no row is null.
func (c *Column) Validity() []uint64 {
	if !c.nulls {
		return nil
	}
	return c.valid
}

// MakeNullable returns the validity bits for writing. The first call since
// Reset sets all bits to present.
func (c *Column) MakeNullable() []uint64 {
	if !c.nulls {
		for i := range c.valid {
			c.valid[i] = ^uint64(0)
		}
		c.nulls = true
	}
	return c.valid
}

// IsNull reports whether row i is null.
func (c *Column) IsNull(i int) bool { return c.nulls && c.valid[i>>6]>>(uint(i)&63)&1 == 0 }

// SetNull makes row i null and its value zero.
func (c *Column) SetNull(i int) {
	c.MakeNullable()[i>>6] &^= 1 << (uint(i) & 63)
	c.SetZero(i)
}

// SetZero sets the value of row i to zero, false or empty.
func (c *Column) SetZero(i int) {
	switch c.kind {
	case Bool:
		c.SetBool(i, false)
	case Int32, Float32:
		*(*uint32)(unsafe.Add(c.ptr(), i*4)) = 0
	case Int64, Float64, Timestamp:
		*(*uint64)(unsafe.Add(c.ptr(), i*8)) = 0
	case String, Binary:
		*(*View)(unsafe.Add(c.ptr(), i*16)) = View{}
	}
}

// CountNulls returns how many of the first n rows are null.
func (c *Column) CountNulls(n int) int {
	if !c.nulls {
		return 0
	}
	k := n
	for i := range n >> 6 {
		k -= bits.OnesCount64(c.valid[i])
	}
	if r := uint(n) & 63; r != 0 {
		k -= bits.OnesCount64(c.valid[n>>6] & (1<<r - 1))
	}
	return k
}

// Bool returns the value of row i of a Bool column.
func (c *Column) Bool(i int) bool { return c.Bits()[i>>6]>>(uint(i)&63)&1 != 0 }

// SetBool sets row i of a Bool column.
func (c *Column) SetBool(i int, v bool) {
	w := c.Bits()
	if v {
		w[i>>6] |= 1 << (uint(i) & 63)
	} else {
		w[i>>6] &^= 1 << (uint(i) & 63)
	}
}

// Bytes returns the bytes of row i of a String or Binary column; read-only, valid as long as the batch.
func (c *Column) Bytes(i int) []byte { return c.Views()[i].Bytes(c.arena) }

// Text is Bytes as a string that shares the memory: copy it to keep it.
func (c *Column) Text(i int) string {
	b := c.Bytes(i)
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// MaxArena is the most bytes that the arena of one column can hold.
const MaxArena = 1 << 31

// SetBytes copies b into row i of a String or Binary column. It panics beyond
// MaxArena: whoever fills a batch bounds the bytes of it long before.
func (c *Column) SetBytes(i int, b []byte) {
	v := &c.Views()[i]
	if len(b) <= InlineMax {
		*v = InlineView(b)
		return
	}
	if len(c.arena)+len(b) > MaxArena {
		panic("batch: arena over 2 GiB")
	}
	*v = LongView(b, len(c.arena))
	c.arena = append(c.arena, b...)
}

// SetText is SetBytes for a string.
func (c *Column) SetText(i int, s string) {
	c.SetBytes(i, unsafe.Slice(unsafe.StringData(s), len(s)))
}

// GrowArena makes room for n more bytes and returns the arena; the caller
// appends to it and gives it back by SetArena.
func (c *Column) GrowArena(n int) []byte {
	if cap(c.arena)-len(c.arena) < n {
		a := make([]byte, len(c.arena), max(2*cap(c.arena), len(c.arena)+n))
		copy(a, c.arena)
		c.arena = a
	}
	return c.arena
}

// SetArena replaces the arena; views already written must stay valid in it.
func (c *Column) SetArena(a []byte) { c.arena = a }
