package task

import (
	"context"
	"slices"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/exchange"
	"github.com/gorge-stream/gorge/internal/failpoint"
	"github.com/gorge-stream/gorge/internal/watermark"
)

// Inject makes every task pass a barrier behind its block under way. Each task
// must have passed the barrier before.
func (f *Feed) Inject(b exchange.Barrier) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.barrier = b
	if f.wake != nil {
		f.wake()
	}
}

// hasBarrier reports whether there is a barrier that the task has not got yet.
func (f *Feed) hasBarrier(task int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.barrier.Epoch != f.passed[task]
}

// sleep makes Inject call wake, unless there is a barrier for the task already.
func (f *Feed) sleep(task int, wake context.CancelFunc) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.barrier.Epoch != f.passed[task] {
		return false
	}
	f.wake = wake
	return true
}

func (f *Feed) awake() {
	f.mu.Lock()
	f.wake = nil
	f.mu.Unlock()
}

// waitBarrier blocks until there is a barrier for the task.
func (f *Feed) waitBarrier(ctx context.Context, task int) error {
	w, cancel := context.WithCancel(ctx)
	defer cancel()
	if f.sleep(task, cancel) {
		<-w.Done()
		f.awake()
	}
	if ctx.Err() != nil {
		return ErrStopped
	}
	return nil
}

// atBarrier leases the barrier to a task that has not got it yet. The first task
// that comes with the token gets the number; the others need no token, which is
// with somebody who waits for input, or for the next barrier.
func (f *Feed) atBarrier(task int, token bool) (Lease, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.barrier
	if b.Epoch == f.passed[task] || !token && f.numbered != b.Epoch {
		return Lease{}, false
	}
	f.passed[task] = b.Epoch
	l := Lease{Kind: LeaseBarrier, Split: -1, Barrier: b}
	if f.numbered != b.Epoch {
		f.numbered = b.Epoch
		close(f.news)
		f.news = make(chan struct{})
		f.note()
		l.Numbered = true
		l = f.number(l)
	}
	return l, true
}

// nextNumbered returns a channel that is closed when the next barrier takes its number.
func (f *Feed) nextNumbered() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.news
}

// note notes where the splits stand: behind the last block that was leased.
func (f *Feed) note() {
	f.noted = checkpoint.Source{Blocks: f.blocks}
	for _, s := range f.splits {
		at := s.at
		if s.reader != nil {
			at = s.reader.Position()
		}
		f.noted.Splits = append(f.noted.Splits, checkpoint.Split{
			ID: s.ID, Position: append([]byte(nil), at...), Ended: s.ended, Blocks: s.blocks, Largest: s.largest,
		})
	}
}

// cut completes what was noted, when all blocks before the barrier are folded. The
// caller holds mu.
func (f *Feed) cut() checkpoint.Source {
	if failpoint.Bug("task-positions-of-later-blocks") {
		f.note()
	}
	out := f.noted
	for n := out.Blocks - min(out.Blocks, alignLag); n < out.Blocks; n++ {
		e := f.log[n%alignLag]
		r := checkpoint.RecentBlock{Largest: e.largest}
		if e.split >= 0 {
			r.Split = f.splits[e.split].ID
		}
		out.Recent = append(out.Recent, r)
	}
	g := f.gen.Save()
	out.Watermark = g.Mark
	for i := range out.Splits {
		out.Splits[i].Newest = g.Newest[i]
	}
	return out
}

// Restore puts a feed that nobody has read from where a checkpoint says.
func (f *Feed) Restore(at checkpoint.Source) error {
	byID := map[string]int{}
	for i, s := range f.splits {
		byID[s.ID] = i
	}
	g := watermark.Saved{Mark: at.Watermark, Newest: make([]batch.Time, len(f.splits)), Ended: make([]bool, len(f.splits))}
	for i := range g.Newest {
		g.Newest[i] = batch.MinTime
	}
	for _, s := range at.Splits {
		i, ok := byID[s.ID]
		if !ok && s.Ended {
			continue
		}
		if !ok {
			return diag.New("run/split-gone", "source %s: %s is gone, and the checkpoint has read only a part of it", at.Name, s.ID).
				WithHint("put it back, or start anew with --fresh")
		}
		o := f.splits[i]
		o.ended, o.blocks, o.largest = s.Ended, s.Blocks, s.Largest
		if len(s.Position) > 0 {
			o.at = connector.Position(s.Position)
		}
		g.Newest[i], g.Ended[i] = s.Newest, s.Ended
	}
	if g.Mark == batch.MaxTime && slices.Contains(g.Ended, false) {
		g.Mark = f.reopened(at)
	}
	f.gen.Restore(g)
	f.blocks, f.known = at.Blocks, at.Blocks
	first := at.Blocks - uint64(len(at.Recent))
	for k, r := range at.Recent {
		e := foldEntry{split: -1, largest: r.Largest}
		if i, ok := byID[r.Split]; ok {
			e.split = i
		}
		f.log[(first+uint64(k))%alignLag] = e
	}
	return nil
}

// reopened returns the watermark of a source that had come to its end and has new
// splits: that of the rows it has had. At the end of time all that follows is late.
func (f *Feed) reopened(at checkpoint.Source) batch.Time {
	newest := batch.MinTime
	for _, s := range at.Splits {
		newest = max(newest, s.Newest)
	}
	return f.Time.Behind(newest)
}
