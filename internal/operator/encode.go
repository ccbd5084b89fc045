package operator

import (
	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
)

// ChunkSchema is the schema of encoded rows: chunks of bytes, whole rows each.
var ChunkSchema = &batch.Schema{Time: -1, Fields: []batch.Field{{Name: "payload", Kind: batch.Binary}}}

// Encode turns each batch of rows into one chunk of bytes of a format. It runs
// in the task that makes the rows, so that encoding uses every core although one
// task writes.
type Encode struct {
	enc codec.Encoder
	out *batch.Pool
	buf []byte
}

var _ Operator = (*Encode)(nil)

// NewEncode makes the operator; the pool has ChunkSchema.
func NewEncode(enc codec.Encoder, out *batch.Pool) *Encode { return &Encode{enc: enc, out: out} }

// ProcessBatch emits the encoded rows.
func (e *Encode) ProcessBatch(b *batch.Batch, out Output) error {
	n := b.Len()
	buf, err := e.enc.Encode(e.buf[:0], b, 0, n)
	b.Release()
	if err != nil {
		return err
	}
	e.buf = buf
	o := e.out.Get()
	o.Col(0).SetBytes(0, buf)
	o.SetLen(1)
	return out.Emit(Main, o)
}

// OnWatermark does nothing: no rows are kept back.
func (e *Encode) OnWatermark(batch.Time, Output) error { return nil }

// Close does nothing.
func (e *Encode) Close() {}
