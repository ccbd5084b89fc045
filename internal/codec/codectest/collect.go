package codectest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
)

// Collect is a codec.Sink that keeps everything. Rows must be called once at
// the end: it releases the batches.
type Collect struct {
	// BadRecords are the refused records in order, their bytes copied.
	BadRecords []codec.BadRecord
	// FailDone and FailBad, when set, are returned by the next Done and Bad.
	FailDone, FailBad error

	pool    *batch.Pool
	batches []*batch.Batch
	held    *batch.Batch
}

var _ codec.Sink = (*Collect)(nil)

// NewCollect makes a sink whose batches have the schema and capacity.
func NewCollect(schema *batch.Schema, capacity int) *Collect {
	return &Collect{pool: batch.NewPool(schema, capacity)}
}

// Next gives an empty batch. It panics when the one before was not handed over.
func (c *Collect) Next() *batch.Batch {
	if c.held != nil {
		panic("codectest: Next before Done")
	}
	c.held = c.pool.Get()
	return c.held
}

// Done keeps the batch.
func (c *Collect) Done(b *batch.Batch) error {
	if b != c.held {
		panic("codectest: Done of a batch that Next did not give")
	}
	c.held = nil
	c.batches = append(c.batches, b)
	return c.FailDone
}

// Bad keeps a copy of the record.
func (c *Collect) Bad(r *codec.BadRecord) error {
	k := *r
	k.Bytes = bytes.Clone(r.Bytes)
	c.BadRecords = append(c.BadRecords, k)
	return c.FailBad
}

// Batches returns how many batches were handed over since the last call of Rows.
func (c *Collect) Batches() int { return len(c.batches) }

// Rows returns the rows of all batches as Go values and releases the batches.
func (c *Collect) Rows() [][]any {
	var out [][]any
	for _, b := range c.batches {
		out = append(out, Rows(b)...)
		b.Release()
	}
	c.batches = nil
	return out
}

// Rows returns the rows of b as Go values: nil for null, otherwise bool, int32,
// int64 (also of timestamps), float32, float64, string or []byte, copied.
func Rows(b *batch.Batch) [][]any {
	out := make([][]any, b.Len())
	for i := range out {
		out[i] = make([]any, len(b.Schema().Fields))
		for j := range out[i] {
			out[i][j] = Value(b.Col(j), i)
		}
	}
	return out
}

// Value returns row i of c as a Go value; see Rows.
func Value(c *batch.Column, i int) any {
	if c.IsNull(i) {
		return nil
	}
	switch c.Kind() {
	case batch.Bool:
		return c.Bool(i)
	case batch.Int32:
		return c.Int32s()[i]
	case batch.Int64, batch.Timestamp:
		return c.Int64s()[i]
	case batch.Float32:
		return c.Float32s()[i]
	case batch.Float64:
		return c.Float64s()[i]
	case batch.String:
		return string(c.Bytes(i))
	case batch.Binary:
		return append([]byte{}, c.Bytes(i)...)
	}
	return errors.New("unknown kind")
}

// SetRow writes the Go values of a row into row i of b; see Rows.
func SetRow(b *batch.Batch, i int, row []any) {
	for j, v := range row {
		c := b.Col(j)
		switch v := v.(type) {
		case nil:
			c.SetNull(i)
		case bool:
			c.SetBool(i, v)
		case int32:
			c.Int32s()[i] = v
		case int64:
			c.Int64s()[i] = v
		case float32:
			c.Float32s()[i] = v
		case float64:
			c.Float64s()[i] = v
		case string:
			c.SetText(i, v)
		case []byte:
			c.SetBytes(i, v)
		default:
			panic(fmt.Sprintf("codectest: %T is no value of a column", v))
		}
	}
}

// EqualRows says where two lists of rows differ, or "". Floats are compared by their bits.
func EqualRows(got, want [][]any) string {
	for i := range min(len(got), len(want)) {
		if len(got[i]) != len(want[i]) {
			return fmt.Sprintf("row %d: got %d columns, want %d", i, len(got[i]), len(want[i]))
		}
		for j := range got[i] {
			if !equalValue(got[i][j], want[i][j]) {
				return fmt.Sprintf("row %d column %d: got %#v, want %#v", i, j, got[i][j], want[i][j])
			}
		}
	}
	if len(got) != len(want) {
		return fmt.Sprintf("got %d rows, want %d", len(got), len(want))
	}
	return ""
}

func equalValue(a, b any) bool {
	switch x := a.(type) {
	case float64:
		y, ok := b.(float64)
		return ok && math.Float64bits(x) == math.Float64bits(y)
	case float32:
		y, ok := b.(float32)
		return ok && math.Float32bits(x) == math.Float32bits(y)
	}
	return reflect.DeepEqual(a, b)
}

// Schema returns the schema of batches with the columns, without an event time.
func Schema(columns []codec.Column) *batch.Schema {
	s := &batch.Schema{Time: -1}
	for _, c := range columns {
		s.Fields = append(s.Fields, batch.Field{Name: c.Name, Kind: c.Kind, Nullable: c.Nullable})
	}
	return s
}

// Block returns a copy of data with codec.Pad bytes of the value pad behind it.
func Block(data []byte, pad byte) []byte {
	b := make([]byte, 0, len(data)+codec.Pad)
	b = append(b, data...)
	return append(b, bytes.Repeat([]byte{pad}, codec.Pad)...)[:len(data)]
}
