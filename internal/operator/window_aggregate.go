package operator

import (
	"fmt"
	"slices"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
	"github.com/gorge-stream/gorge/internal/window"
)

// WindowConfig is what a WindowAggregate is built from.
type WindowConfig struct {
	Keys       *state.KeyEncoder
	KeyCount   int // key columns: the first columns of Out
	Assigner   window.Assigner
	Trigger    window.Trigger
	Aggregates *Aggregates
	State      state.Backend
	// Out has the key columns, window_start, window_end, one column per
	// aggregate, and the hidden time column if the schema has one.
	Out *batch.Pool
	// In is for splitting a batch by window and for late rows.
	In *batch.Pool
	// Partial is the index of the column of partial accumulators that a Combine
	// operator made, or -1 when the input is rows.
	Partial int
	// LateOutput: late rows go to the Late port; else they are dropped.
	LateOutput bool
	// Late counts late rows, whatever happens to them.
	Late *Counter
}

// WindowAggregate aggregates rows per key and window and emits a window's
// results when the watermark reaches its end. Results come in the order of
// window ends, and within a window in the order of the state's scan.
type WindowAggregate struct {
	WindowConfig
	refs []record.Ref
	sel  []uint32
	late []uint32
	keys state.Keys
	part state.Keys // of a stretch
	// keyCols is scratch of fillKeys.
	keyCols []*batch.Column
}

var _ Operator = (*WindowAggregate)(nil)

// NewWindowAggregate makes the operator; it owns the state backend.
func NewWindowAggregate(c WindowConfig) *WindowAggregate {
	return &WindowAggregate{WindowConfig: c}
}

// ProcessBatch adds the rows to their panes. The usual batch lies in one pane
// and is added as it is; a mixed one is split by pane.
func (w *WindowAggregate) ProcessBatch(b *batch.Batch, out Output) error {
	defer b.Release()
	times := b.Times()
	if len(times) == 0 {
		return nil
	}
	lo, hi := times[0], times[0]
	for _, t := range times {
		lo, hi = min(lo, t), max(hi, t)
	}
	pane := w.Assigner.Pane(lo)
	if pane.Holds(hi) {
		if w.Assigner.Last(pane).End <= b.Before {
			return w.emitLate(b, nil, out)
		}
		return w.add(pane, b)
	}
	return w.split(b, times, hi, out)
}

// split adds the rows pane by pane in ascending order, skipping empty stretches of time.
func (w *WindowAggregate) split(b *batch.Batch, times []batch.Time, hi batch.Time, out Output) error {
	w.late = w.late[:0]
	from := batch.MinTime
	for {
		next, found := batch.MaxTime, false
		for _, t := range times {
			if t >= from && t <= next {
				next, found = t, true
			}
		}
		if !found {
			break
		}
		pane := w.Assigner.Pane(next)
		w.sel = w.sel[:0]
		for i, t := range times {
			if pane.Holds(t) {
				w.sel = append(w.sel, uint32(i))
			}
		}
		if w.Assigner.Last(pane).End <= b.Before {
			w.late = append(w.late, w.sel...)
		} else if err := w.addRows(pane, b, w.sel); err != nil {
			return err
		}
		if pane.Holds(hi) {
			break
		}
		from = pane.End
	}
	if len(w.late) > 0 {
		slices.Sort(w.late) // the order of the input, however the batch was cut
		return w.emitLate(b, w.late, out)
	}
	return nil
}

func (w *WindowAggregate) addRows(pane window.Window, b *batch.Batch, sel []uint32) error {
	part := w.In.Get()
	defer part.Release()
	part.Before = b.Before
	part.AppendRows(b, sel)
	return w.add(pane, part)
}

// add updates the accumulators of a pane with all rows of b.
func (w *WindowAggregate) add(pane window.Window, b *batch.Batch) error {
	p, err := w.State.Pane(pane.Start)
	if err != nil {
		return err
	}
	n := b.Len()
	if cap(w.refs) < n {
		w.refs = make([]record.Ref, max(b.Cap(), w.Out.Cap()))
	}
	var cols []*batch.Column
	if w.Partial < 0 {
		if cols, err = w.Aggregates.Eval(b); err != nil {
			return err
		}
	}
	keys := w.Keys.Encode(b)
	for from := 0; from < n; from += stretch {
		to := min(from+stretch, n)
		refs := w.refs[from:to]
		w.part = state.Keys{Views: keys.Views[from:to], Hashes: keys.Hashes[from:to], Arena: keys.Arena, Long: keys.Long}
		if err := p.Locate(&w.part, refs); err != nil {
			return err
		}
		if w.Partial < 0 {
			w.Aggregates.Set.Update(p.Block(), refs, cols, b.Times(), from)
			continue
		}
		if err := w.merge(p, b, refs, from); err != nil {
			return err
		}
	}
	return nil
}

// stretch is the rows that are located and updated at a time: their records stay
// in the cache next to the core from the one to the other.
const stretch = 1024

// emitLate counts late rows and passes them on; nil rows means all.
func (w *WindowAggregate) emitLate(b *batch.Batch, rows []uint32, out Output) error {
	n := len(rows)
	if rows == nil {
		n = b.Len()
	}
	w.Late.Add(int64(n))
	if !w.LateOutput {
		return nil
	}
	if rows == nil {
		b.Retain()
		return out.Emit(Late, b)
	}
	l := w.In.Get()
	l.Before = b.Before
	l.AppendRows(b, rows)
	return out.Emit(Late, l)
}

// OnWatermark emits every window that the trigger fires, in the order of their ends.
func (w *WindowAggregate) OnWatermark(t batch.Time, out Output) error {
	for {
		ids := w.State.Panes()
		if len(ids) == 0 {
			return nil
		}
		win := w.Assigner.Pane(ids[0])
		if w.Trigger.OnWatermark(win, t) != window.FirePurge {
			return nil
		}
		if err := w.fire(ids[0], win, out); err != nil {
			return err
		}
		w.State.Drop(ids[0])
	}
}

func (w *WindowAggregate) fire(id int64, win window.Window, out Output) error {
	p, err := w.State.Pane(id)
	if err != nil {
		return err
	}
	if cap(w.refs) < w.Out.Cap() {
		w.refs = make([]record.Ref, w.Out.Cap())
	}
	for cursor := uint64(0); ; {
		var n int
		if n, cursor = p.Scan(cursor, w.refs[:w.Out.Cap()]); n == 0 {
			return nil
		}
		o := w.Out.Get()
		// The results are not late for any window that holds them, and tasks behind
		// an exchange take those of all senders window by window.
		o.Before = win.End - 1
		w.fill(o, p, w.refs[:n], win)
		if err := out.Emit(Main, o); err != nil {
			return err
		}
	}
}

// fillKeys writes the key columns of the records.
func (w *WindowAggregate) fillKeys(o *batch.Batch, p state.Pane, refs []record.Ref) {
	if w.KeyCount == 0 {
		return
	}
	w.keys.Views, w.keys.Long = w.keys.Views[:0], false
	p.Keys(refs, &w.keys)
	w.keyCols = w.keyCols[:0]
	for i := range w.KeyCount {
		w.keyCols = append(w.keyCols, o.Col(i))
	}
	w.Keys.Decode(&w.keys, w.keyCols, 0)
}

// fill writes the result rows of the records.
func (w *WindowAggregate) fill(o *batch.Batch, p state.Pane, refs []record.Ref, win window.Window) {
	w.fillKeys(o, p, refs)
	start, end := o.Col(w.KeyCount).Int64s(), o.Col(w.KeyCount+1).Int64s()
	for i := range refs {
		start[i], end[i] = win.Start, win.End
	}
	at := w.KeyCount + 2
	for i := range w.Aggregates.count {
		w.Aggregates.Set.Result(i, p.Block(), refs, o.Col(at+i), 0)
	}
	// The result stands for all of its window: its event time is the last instant in it.
	if s := o.Schema(); s.Time == at+w.Aggregates.count {
		t := o.Col(s.Time).Int64s()
		for i := range refs {
			t[i] = win.End - 1
		}
	}
	o.SetLen(len(refs))
}

// Close frees the state.
func (w *WindowAggregate) Close() { w.State.Close() }

// merge adds partial accumulators, one row of b each from row first on.
func (w *WindowAggregate) merge(p state.Pane, b *batch.Batch, refs []record.Ref, first int) error {
	col := b.Col(w.Partial)
	words := w.Aggregates.Set.Words()
	for i, r := range refs {
		v := col.Bytes(first + i)
		if len(v) < partialWords(words)*8 {
			return fmt.Errorf("partial accumulators of %d bytes for %d words", len(v), words)
		}
		w.Aggregates.Set.Merge(p.Block(), r, partialBlock(v, words), 0)
	}
	return nil
}
