package operator

import (
	"unsafe"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
)

// CombineSchema returns the schema between Combine and WindowAggregate: the key
// columns, the start of the pane as event time, and the partial accumulators:
// the words of the record as bytes, at least 16 so that they lie in the arena.
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
}

var _ Operator = (*Combine)(nil)

// NewCombine makes the operator; Out has the schema of CombineSchema. It owns the state backend.
func NewCombine(c WindowConfig) *Combine { return &Combine{NewWindowAggregate(c)} }

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
			words.SetBytes(i, partialBytes(p.Block(), r, w.Aggregates.Set.Words()))
		}
		o.SetLen(n)
		if err := out.Emit(Main, o); err != nil {
			return err
		}
	}
}

// Close frees the state.
func (c *Combine) Close() { c.agg.Close() }

// partialBytes returns the words of a record as bytes, padded to 16. The words
// behind a record of one word belong to its slot's neighbour or the padding of
// the table: they are cut off by merge, which knows the number of words.
func partialBytes(b record.Block, r record.Ref, words int) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(b.Word(r, 0))), max(words, 2)*8)
}

// partialBlock returns the partial accumulators of a column as records: the ref
// of row i is the offset of its view / 8.
func partialBlock(c *batch.Column) record.Block {
	return record.Block{Base: unsafe.Pointer(unsafe.SliceData(c.Arena()))}
}
