package operator

import (
	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
)

// RunningConfig is what a Running is built from.
type RunningConfig struct {
	Keys       *state.KeyEncoder
	Aggregates *Aggregates
	State      state.Backend
	// Out has the columns of the input in their order, then one per aggregate.
	Out *batch.Pool
	// Inputs is the index in the input of each passed-on column of Out.
	Inputs []int
	// TTL is how long in event time, in microseconds, a key's statistics outlive its
	// last row: a row that comes later starts them anew; 0: for ever.
	TTL int64
}

// Running adds to each row the statistics of all rows of its key so far, this
// one included. Records are the accumulators and, with a TTL, the event time of
// the key's last row. All state is in one pane.
type Running struct {
	RunningConfig
	refs    []record.Ref
	seen    map[record.Ref]struct{}
	expires batch.Time // watermark at which to look for expired keys next
	newest  int        // word of the last event time
	initial []uint64   // words of the accumulators without rows
}

var _ Operator = (*Running)(nil)

// RunningInit returns the initial words of the records.
func RunningInit(a *Aggregates, ttl int64) []uint64 {
	w := a.Set.Init()
	if ttl > 0 {
		w = append(w, 1<<63) // batch.MinTime
	}
	return w
}

// NewRunning makes the operator; it owns the state backend, whose layout is RunningInit's.
func NewRunning(c RunningConfig) *Running {
	return &Running{RunningConfig: c, seen: map[record.Ref]struct{}{}, newest: c.Aggregates.Set.Words(), initial: c.Aggregates.Set.Init(), expires: batch.MinTime}
}

// ProcessBatch updates and emits the rows.
func (r *Running) ProcessBatch(b *batch.Batch, out Output) error {
	defer b.Release()
	n := b.Len()
	p, err := r.State.Pane(0)
	if err != nil {
		return err
	}
	if cap(r.refs) < n {
		r.refs = make([]record.Ref, b.Cap())
	}
	refs := r.refs[:n]
	if err := p.Locate(r.Keys.Encode(b), refs); err != nil {
		return err
	}
	cols, err := r.Aggregates.Eval(b)
	if err != nil {
		return err
	}
	o := r.Out.Get()
	o.Before = b.Before
	r.update(p.Block(), refs, cols, b, o)
	for i, in := range r.Inputs {
		passOn(o, i, b, in, true)
	}
	o.SetLen(n)
	return out.Emit(Main, o)
}

// update goes through the rows in stretches in which no key comes twice: within
// one all rows are updated and all results taken column at a time.
func (r *Running) update(block record.Block, refs []record.Ref, cols []*batch.Column, b, o *batch.Batch) {
	clear(r.seen)
	from, times := 0, b.Times()
	for i := 0; i <= len(refs); i++ {
		if i < len(refs) {
			if _, twice := r.seen[refs[i]]; !twice {
				r.seen[refs[i]] = struct{}{}
				continue
			}
			clear(r.seen)
			r.seen[refs[i]] = struct{}{}
		}
		part := refs[from:i]
		if r.TTL > 0 {
			r.expire(block, part, times[from:i], b.Before)
		}
		r.Aggregates.Set.Update(block, part, cols, times, from)
		for c := range r.Aggregates.count {
			r.Aggregates.Set.Result(c, block, part, o.Col(len(r.Inputs)+c), from)
		}
		from = i
	}
}

// expire starts the statistics of a key anew when its row comes more than TTL after
// its last one, and notes the time of the row. A late row comes at the watermark before
// it: what OnWatermark may have dropped is gone, so that it does not show when that looks.
func (r *Running) expire(block record.Block, refs []record.Ref, times []batch.Time, watermark batch.Time) {
	for i, ref := range refs {
		t := block.Int(ref, r.newest)
		now := max(times[i], watermark)
		if *t != batch.MinTime && now > *t && uint64(now)-uint64(*t) > uint64(r.TTL) {
			for w, v := range r.initial {
				*block.Word(ref, w) = v
			}
		}
		*t = max(*t, times[i])
	}
}

// OnWatermark drops the state of keys without rows for longer than TTL, looking
// once per quarter of it.
func (r *Running) OnWatermark(t batch.Time, _ Output) error {
	// Before MinTime + TTL nothing can be old, and t-TTL would wrap around.
	if r.TTL == 0 || t == batch.MaxTime || t < r.expires || t < batch.MinTime+r.TTL {
		return nil
	}
	r.expires = t + min(r.TTL/4, batch.MaxTime-max(t, 0))
	p, err := r.State.Pane(0)
	if err != nil {
		return err
	}
	block, oldest := p.Block(), t-r.TTL
	return p.Retain(func(ref record.Ref) bool { return *block.Int(ref, r.newest) >= oldest })
}

// Close frees the state.
func (r *Running) Close() { r.State.Close() }
