package operator

import (
	"unsafe"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
)

// CombineSchema returns the schema between Combine and WindowAggregate: the key
// columns, the start of the pane as event time, and the partial accumulators as
// bytes: see appendPartial.
func CombineSchema(in *batch.Schema, keys []int) *batch.Schema {
	s := &batch.Schema{}
	for _, k := range keys {
		s.Fields = append(s.Fields, in.Fields[k])
	}
	s.Time = len(s.Fields)
	s.Fields = append(s.Fields, batch.Field{Kind: batch.Timestamp}, batch.Field{Kind: batch.Binary})
	return s
}

// Combine is the first half of a WindowAggregate, before the exchange: it
// aggregates the rows of one block and emits the accumulators at the end of it.
// What it emits depends on the block alone, so results stay independent of
// scheduling. Late rows are judged here, where the rows still are.
type Combine struct {
	agg *WindowAggregate
	row []byte
}

var _ Operator = (*Combine)(nil)

// NewCombine makes the operator; Out has the schema of CombineSchema. It owns the state backend.
func NewCombine(c WindowConfig) *Combine { return &Combine{agg: NewWindowAggregate(c)} }

// ProcessBatch adds the rows to the panes of the block.
func (c *Combine) ProcessBatch(b *batch.Batch, out Output) error { return c.agg.ProcessBatch(b, out) }

// OnWatermark emits the accumulators of the block that ends here.
func (c *Combine) OnWatermark(_ batch.Time, out Output) error {
	w := c.agg
	for ids := w.State.Panes(); len(ids) > 0; ids = w.State.Panes() {
		p, err := w.State.Pane(ids[0])
		if err != nil {
			return err
		}
		if err := c.emit(p, ids[0], out); err != nil {
			return err
		}
		w.State.Drop(ids[0])
	}
	return nil
}

func (c *Combine) emit(p state.Pane, start batch.Time, out Output) error {
	w := c.agg
	if cap(w.refs) < w.Out.Cap() {
		w.refs = make([]record.Ref, w.Out.Cap())
	}
	for cursor := uint64(0); ; {
		var n int
		if n, cursor = p.Scan(cursor, w.refs[:w.Out.Cap()]); n == 0 {
			return nil
		}
		o := w.Out.Get()
		w.fillKeys(o, p, w.refs[:n])
		times, words := o.Col(w.KeyCount).Int64s(), o.Col(w.KeyCount+1)
		for i, r := range w.refs[:n] {
			times[i] = start
			c.row = appendPartial(c.row[:0], p.Block(), r, w.Aggregates.Set.Words())
			words.SetBytes(i, c.row)
		}
		o.SetLen(n)
		if err := out.Emit(Main, o); err != nil {
			return err
		}
	}
}

// Close frees the state.
func (c *Combine) Close() { c.agg.Close() }

// partialWords returns the words of a partial with that many accumulator words:
// at least two, so that its bytes are not inline but in the arena, where they are aligned.
func partialWords(words int) int { return max(words, 2) }

// appendPartial appends the words of a record, filled up to partialWords, and
// behind them the arena that they refer to: all of it, because only the kernels
// know which bytes are the record's. Combine is for few keys, so it is small.
func appendPartial(dst []byte, b record.Block, r record.Ref, words int) []byte {
	from := len(dst)
	dst = append(dst, unsafe.Slice((*byte)(unsafe.Pointer(b.Word(r, 0))), words*8)...)
	for len(dst) < from+partialWords(words)*8 {
		dst = append(dst, 0)
	}
	return append(dst, *b.Arena...)
}

// partialBlock returns what appendPartial wrote as a block whose record has the ref 0.
func partialBlock(partial []byte, words int) record.Block {
	arena := partial[partialWords(words)*8:]
	return record.Block{Base: unsafe.Pointer(unsafe.SliceData(partial)), Arena: &arena}
}
