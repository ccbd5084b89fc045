package batch

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// arrowTypes are the types that leave the engine. Strings and binary leave as
// plain utf8 and binary, because not every reader of Arrow streams knows views.
var arrowTypes = [...]arrow.DataType{
	Bool:      arrow.FixedWidthTypes.Boolean,
	Int32:     arrow.PrimitiveTypes.Int32,
	Int64:     arrow.PrimitiveTypes.Int64,
	Float32:   arrow.PrimitiveTypes.Float32,
	Float64:   arrow.PrimitiveTypes.Float64,
	String:    arrow.BinaryTypes.String,
	Binary:    arrow.BinaryTypes.Binary,
	Timestamp: arrow.FixedWidthTypes.Timestamp_us,
}

// ArrowSchema returns the Arrow schema of the visible columns of s.
func ArrowSchema(s *Schema) *arrow.Schema {
	fields := make([]arrow.Field, 0, len(s.Fields))
	for _, f := range s.Fields {
		if f.Name != "" {
			fields = append(fields, arrow.Field{Name: f.Name, Type: arrowTypes[f.Kind], Nullable: f.Nullable})
		}
	}
	return arrow.NewSchema(fields, nil)
}

// ToArrow returns the visible columns of b as an Arrow record batch of schema,
// which is ArrowSchema(b.Schema()). Fixed-width values, booleans and validity
// bits are shared, not copied: the record batch holds b until it is released
// itself, and from then on b is read-only (rule B3). Text and bytes are copied
// into memory of mem. It refuses a column of more than 2 GiB of text.
func ToArrow(mem memory.Allocator, schema *arrow.Schema, b *Batch) (arrow.RecordBatch, error) {
	cols := make([]arrow.Array, 0, len(b.cols))
	defer func() {
		for _, c := range cols {
			c.Release()
		}
	}()
	for i := range b.cols {
		if b.schema.Fields[i].Name == "" {
			continue
		}
		c, err := b.arrowColumn(mem, i)
		if err != nil {
			return nil, err
		}
		cols = append(cols, c)
	}
	return array.NewRecordBatch(schema, cols, int64(b.n)), nil
}

// lender is the "allocator" of buffers that belong to a batch: freeing one gives up a reference.
type lender struct{ b *Batch }

func (l lender) Allocate(int) []byte           { panic("batch: a lent buffer does not grow") }
func (l lender) Reallocate(int, []byte) []byte { panic("batch: a lent buffer does not grow") }
func (l lender) Free([]byte)                   { l.b.Release() }

// lend makes an Arrow buffer of memory that belongs to b.
func (b *Batch) lend(p []byte) *memory.Buffer {
	b.Retain()
	return memory.NewBufferWithAllocator(p, lender{b})
}

func (b *Batch) arrowColumn(mem memory.Allocator, i int) (arrow.Array, error) {
	c := &b.cols[i]
	buffers := make([]*memory.Buffer, 1, 3)
	if c.nulls {
		bits := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(c.valid))), len(c.valid)*8)
		buffers[0] = b.lend(bits[:(b.n+7)/8])
	}
	defer func() {
		for _, x := range buffers {
			if x != nil {
				x.Release()
			}
		}
	}()
	switch {
	case c.kind.Views():
		offsets, values, err := c.plain(mem, b.n)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", b.schema.Fields[i].Name, err)
		}
		buffers = append(buffers, offsets, values)
	case c.kind == Bool:
		buffers = append(buffers, b.lend(c.data[:(b.n+7)/8]))
	default:
		buffers = append(buffers, b.lend(c.data[:b.n*c.kind.Width()]))
	}
	data := array.NewData(arrowTypes[c.kind], b.n, buffers, nil, c.CountNulls(b.n), 0)
	defer data.Release()
	return array.MakeFromData(data), nil
}

// plain copies the first n views as offsets and bytes; a null has length 0.
func (c *Column) plain(mem memory.Allocator, n int) (offsets, values *memory.Buffer, err error) {
	total := 0
	views := c.Views()[:n]
	for i := range views {
		if !c.IsNull(i) {
			total += views[i].Len()
		}
	}
	if total > math.MaxInt32 {
		return nil, nil, fmt.Errorf("%d bytes of text do not fit into one Arrow array", total)
	}
	offsets, values = memory.NewResizableBuffer(mem), memory.NewResizableBuffer(mem)
	offsets.Resize((n + 1) * 4)
	values.Resize(total)
	ends := unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(offsets.Bytes()))), n+1)
	at, dst := 0, values.Bytes()
	ends[0] = 0
	for i := range views {
		if !c.IsNull(i) {
			at += copy(dst[at:], views[i].Bytes(c.arena))
		}
		ends[i+1] = int32(at)
	}
	return offsets, values, nil
}
