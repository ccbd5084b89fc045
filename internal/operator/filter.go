package operator

import (
	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/expr"
)

// Filter keeps the rows for which an expression is true: not false, not null.
type Filter struct {
	where   *expr.Program
	out     *batch.Pool
	sel     []uint32
	dropped *Counter
}

var _ Operator = (*Filter)(nil)

// NewFilter makes a filter of batches of the pool's schema; it counts the rows that it drops.
func NewFilter(where *expr.Program, out *batch.Pool, dropped *Counter) *Filter {
	return &Filter{where: where, out: out, dropped: dropped}
}

// ProcessBatch passes a batch on whole when every row is kept, else a copy of the kept rows.
func (f *Filter) ProcessBatch(b *batch.Batch, out Output) error {
	sel, err := f.where.Filter(b, f.sel[:0])
	f.sel = sel
	if err != nil {
		b.Release()
		return err
	}
	f.dropped.Add(int64(b.Len() - len(sel)))
	if len(sel) == b.Len() {
		return out.Emit(Main, b)
	}
	if len(sel) == 0 {
		b.Release()
		return nil
	}
	kept := f.out.Get()
	kept.Before = b.Before
	kept.AppendRows(b, sel)
	b.Release()
	return out.Emit(Main, kept)
}

// OnWatermark does nothing: a filter keeps no rows back.
func (f *Filter) OnWatermark(batch.Time, Output) error { return nil }

// Close does nothing.
func (f *Filter) Close() {}
