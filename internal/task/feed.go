package task

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/exchange"
	"github.com/gorge-stream/gorge/internal/watermark"
)

// alignLag is how many blocks old the knowledge is by which the next split is
// chosen: the choice must not depend on how far other tasks are with decoding.
// It bounds the number of tasks that can decode one source at a time.
const alignLag = 32

// maxOpen is the most splits of a source that are read at the same time.
const maxOpen = 64

// LeaseKind is what a lease is for.
type LeaseKind uint8

// The kinds of leases. Each takes a number of the sequence; of the leases of one
// barrier, which every task gets, only one does.
const (
	LeaseBlock   LeaseKind = iota // a block to decode
	LeaseEnd                      // a split has ended, or with Split -1 the last one and so the whole source
	LeaseTick                     // nothing to decode: time has passed, or the input has run dry
	LeaseBarrier                  // a barrier to pass
)

// Lease is one number of the sequence of a source, given to one task, which must
// fold it in due course and end it with a mark.
type Lease struct {
	Kind  LeaseKind
	Seq   uint64
	Split int
	Dry   bool
	// Block is the number of the block among the blocks.
	Block uint64
	// Barrier is the barrier; Numbered tells the one task that folds it and sends it on.
	Barrier  exchange.Barrier
	Numbered bool
	// Waited is for how long the task waited: for others that read, and for input.
	Waited time.Duration
}

// Feed hands the blocks of one source to the source tasks, numbers them, and
// folds their event times into the watermark in the order of the numbers.
//
// A barrier takes a number too, so that every block comes before or after it; at
// its lease the feed notes where the splits stand, and when it is folded the
// state of the watermark there. Each task passes the barrier between its blocks.
// Behind the end of the source the feed goes on with barriers until the last one.
type Feed struct {
	FeedConfig
	idle time.Duration

	// token is the right to read: whoever has it owns all of reading.
	token   chan struct{}
	splits  []*openSplit      // owned by the holder of token
	noted   checkpoint.Source // what was noted at its lease
	blocks  uint64            // leased so far
	opened  int
	current []int // indexes of the splits being read
	next    uint64
	dry     bool // the input has run dry and a tick has said so
	ended   bool
	drained bool
	waited  time.Duration // of the lease under way
	tick    time.Time     // when to say that time has passed without a block; zero before the waiting

	running context.Context //nolint:containedctx // a switch rather than a scope: it ends with Stop
	stop    context.CancelFunc

	mu     sync.Mutex // guards what follows
	turn   *sync.Cond // waits for folded
	folded uint64     // numbers below it are folded
	known  uint64     // blocks below it are folded
	log    [alignLag]foldEntry
	gen    *watermark.Generator
	err    error
	// barrier is the last one that was injected, with Epoch 0 for none; wake ends the
	// waiting for input, and is nil when nobody waits.
	barrier exchange.Barrier
	wake    context.CancelFunc
	// passed is the epoch of the last barrier that each task got, numbered that of
	// the last one that took a number; news is closed when the next one does.
	passed   []uint64
	numbered uint64
	news     chan struct{}
}

type foldEntry struct {
	split   int
	largest batch.Time
}

type openSplit struct {
	connector.Split
	at      connector.Position
	reader  connector.SplitReader
	dry     bool
	again   uint64     // number at which a dry split is looked at again in any case
	largest batch.Time // as of alignLag blocks ago
	blocks  uint64
	ended   bool
}

// FeedConfig is what a Feed is built from.
type FeedConfig struct {
	Source connector.Source
	Splits []connector.Split
	Time   watermark.Config
	Now    func() int64 // processing time in microseconds since 1970
	Tasks  int          // that read the source
	// OnEnd is called once, when nothing more will be read; OnBarrier for each barrier
	// that was folded, with where the source stands there. Both must be quick and not call the feed.
	OnEnd     func()
	OnBarrier func(epoch uint64, at checkpoint.Source)
}

// NewFeed makes a feed over the splits.
func NewFeed(c FeedConfig) *Feed {
	f := &Feed{
		FeedConfig: c, idle: time.Duration(c.Time.IdleAfter) * time.Microsecond,
		token:  make(chan struct{}, 1),
		passed: make([]uint64, c.Tasks), news: make(chan struct{}),
		gen: watermark.NewGenerator(c.Time, len(c.Splits)),
	}
	f.running, f.stop = context.WithCancel(context.Background())
	f.turn = sync.NewCond(&f.mu)
	for _, s := range c.Splits {
		f.splits = append(f.splits, &openSplit{Split: s, largest: batch.MinTime})
	}
	f.token <- struct{}{}
	return f
}

// Stop ends the input: no new blocks are read, except those that a source with
// connector.Drainer has already accepted.
func (f *Feed) Stop() { f.stop() }

// Next leases the next block to one of the tasks and reads it into b, waiting
// while there is none. The error ends the job. Behind the last barrier a task
// must not call it again.
func (f *Feed) Next(ctx context.Context, task int, b *connector.Block) (Lease, error) {
	start := time.Now()
	for {
		numbered := f.nextNumbered()
		if l, ok := f.atBarrier(task, false); ok {
			return l, nil
		}
		select {
		case <-f.token:
			defer func() { f.token <- struct{}{} }()
			f.waited = time.Since(start)
			return f.read(ctx, task, b)
		case <-numbered: // whoever has the token may keep it until this task has passed
		case <-ctx.Done():
			return Lease{}, ErrStopped
		}
	}
}

// read leases the next block or barrier, waiting while there is none.
func (f *Feed) read(ctx context.Context, task int, b *connector.Block) (Lease, error) {
	for {
		if l, ok := f.atBarrier(task, true); ok {
			return l, nil
		}
		if f.ended {
			if err := f.waitBarrier(ctx, task); err != nil {
				return Lease{}, err
			}
			continue
		}
		if f.stopped() && !f.draining() || f.allEnded() {
			return f.end(), nil
		}
		if err := f.align(); err != nil {
			return Lease{}, err
		}
		l, ok, err := f.poll(ctx, b)
		if err != nil || ok {
			return l, err
		}
		if !f.dry {
			f.dry = true
			return f.number(Lease{Kind: LeaseTick, Split: -1, Dry: true}), nil
		}
		start := time.Now()
		tick, err := f.wait(ctx, task)
		f.waited += time.Since(start)
		if err != nil {
			return Lease{}, err
		}
		if tick {
			f.tick = time.Time{}
			return f.number(Lease{Kind: LeaseTick, Split: -1}), nil
		}
	}
}

// allEnded reports whether every split has ended.
func (f *Feed) allEnded() bool {
	if len(f.current) > 0 {
		return false
	}
	for _, s := range f.splits[f.opened:] {
		if !s.ended {
			return false
		}
	}
	return true
}

func (f *Feed) stopped() bool { return f.running.Err() != nil }

// draining tells a source that it is to accept no more, once, and reports
// whether it hands out the rest and then ends by itself.
func (f *Feed) draining() bool {
	d, ok := f.Source.(connector.Drainer)
	if ok && !f.drained {
		f.drained = true
		d.Drain()
		for _, s := range f.splits {
			s.dry = false
		}
	}
	return ok
}

func (f *Feed) number(l Lease) Lease {
	l.Seq, l.Waited = f.next, f.waited
	f.next++
	return l
}

func (f *Feed) end() Lease {
	f.ended = true
	f.OnEnd()
	return f.number(Lease{Kind: LeaseEnd, Split: -1})
}

// align learns the event time of the block alignLag before the one to be read,
// waiting until it is known.
func (f *Feed) align() error {
	if f.blocks < alignLag {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.known+alignLag <= f.blocks && f.err == nil {
		f.turn.Wait()
	}
	if f.err != nil {
		return f.err
	}
	if e := f.log[f.blocks%alignLag]; e.split >= 0 {
		s := f.splits[e.split]
		s.largest = max(s.largest, e.largest)
	}
	return nil
}

// choose returns the split that is furthest behind in event time, unread ones
// first, opening more up to maxOpen; -1 when all are dry or ended. While others
// have data a dry one is looked at again every alignLag blocks.
func (f *Feed) choose(ctx context.Context) (int, error) {
	for len(f.current) < maxOpen && f.opened < len(f.splits) {
		s := f.splits[f.opened]
		if s.ended {
			f.opened++
			continue
		}
		r, err := f.Source.Open(ctx, s.Split, s.at)
		if err != nil {
			return 0, err
		}
		s.reader = r
		f.current = append(f.current, f.opened)
		f.opened++
	}
	best := -1
	for _, i := range f.current {
		s := f.splits[i]
		if s.dry && f.next < s.again {
			continue
		}
		if best < 0 || s.before(f.splits[best]) {
			best = i
		}
	}
	return best, nil
}

func (s *openSplit) before(o *openSplit) bool {
	if (s.blocks == 0) != (o.blocks == 0) {
		return s.blocks == 0
	}
	return s.largest < o.largest
}

// poll reads a block from the first split that has one.
func (f *Feed) poll(ctx context.Context, b *connector.Block) (Lease, bool, error) {
	for {
		i, err := f.choose(ctx)
		if err != nil || i < 0 {
			return Lease{}, false, err
		}
		s := f.splits[i]
		err = s.reader.Poll(ctx, b)
		switch {
		case err == nil:
			s.blocks++
			f.blocks++
			f.dry, f.tick = false, time.Time{}
			return f.number(Lease{Kind: LeaseBlock, Split: i, Block: f.blocks - 1}), true, nil
		case errors.Is(err, connector.ErrNoData):
			s.dry, s.again = true, f.next+alignLag
			f.mu.Lock()
			f.gen.Dry(i, f.Now())
			f.mu.Unlock()
		case errors.Is(err, io.EOF):
			return f.endSplit(i)
		case ctx.Err() != nil:
			return Lease{}, false, ErrStopped
		default:
			return Lease{}, false, fmt.Errorf("read %s: %w", s.ID, err)
		}
	}
}

func (f *Feed) endSplit(i int) (Lease, bool, error) {
	s := f.splits[i]
	s.at = s.reader.Position()
	err := s.reader.Close()
	s.reader, s.ended = nil, true
	for k, c := range f.current {
		if c == i {
			f.current = append(f.current[:k], f.current[k+1:]...)
			break
		}
	}
	if err != nil {
		return Lease{}, false, fmt.Errorf("close %s: %w", s.ID, err)
	}
	if f.allEnded() {
		return f.end(), true, nil // the watermark of the end, which ends the tasks, comes once
	}
	return f.number(Lease{Kind: LeaseEnd, Split: i}), true, nil
}

// wait blocks until the source may have data or a barrier was injected (false),
// or it is time to look whether splits have become idle (true). Barriers, which may
// come more often, do not put that time off.
func (f *Feed) wait(ctx context.Context, task int) (tick bool, err error) {
	w, cancel := context.WithCancel(ctx)
	defer cancel()
	if !f.sleep(task, cancel) {
		return false, nil
	}
	defer f.awake()
	if f.idle > 0 {
		if f.tick.IsZero() {
			f.tick = time.Now().Add(f.idle)
		}
		defer time.AfterFunc(time.Until(f.tick), cancel).Stop()
	}
	if !f.drained {
		defer context.AfterFunc(f.running, cancel)()
	}
	err = f.Source.Wait(w)
	for _, i := range f.current {
		f.splits[i].dry = false
	}
	switch {
	case ctx.Err() != nil:
		return false, ErrStopped
	case f.stopped() || err == nil || f.hasBarrier(task):
		return false, nil
	case w.Err() != nil:
		return true, nil
	}
	return false, err
}

// Fold waits for the turn of the lease and folds in the largest event time of
// its block, MinTime for none. It returns the watermark before the block and behind it.
func (f *Feed) Fold(l Lease, largest batch.Time) (before, after batch.Time, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.await(l); err != nil {
		return 0, 0, err
	}
	now := f.Now()
	before = f.gen.Current(now)
	switch {
	case l.Kind == LeaseBlock:
		f.gen.Observe(l.Split, largest, now)
		f.log[l.Block%alignLag] = foldEntry{l.Split, largest}
		f.known++
	case l.Kind == LeaseEnd && l.Split >= 0:
		f.gen.End(l.Split)
	case l.Kind == LeaseEnd:
		for i := range f.splits {
			f.gen.End(i)
		}
	}
	after = f.gen.Current(now)
	if l.Kind == LeaseBarrier {
		f.OnBarrier(l.Barrier.Epoch, f.cut())
	}
	f.folded++
	f.turn.Broadcast()
	return before, after, nil
}

func (f *Feed) await(l Lease) error {
	for f.folded != l.Seq && f.err == nil {
		f.turn.Wait()
	}
	return f.err
}

// Refuse is what a task does instead of Fold with a lease that it cannot end. It
// waits for the turn of the lease and returns err, or ErrStopped when an earlier
// one has failed: which error ends a job does not depend on scheduling.
func (f *Feed) Refuse(l Lease, err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if earlier := f.await(l); earlier != nil {
		return earlier
	}
	return err
}

// Status returns the state of the splits, and their names.
func (f *Feed) Status() ([]connector.Split, []watermark.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.Now()
	names, out := make([]connector.Split, len(f.splits)), make([]watermark.Status, len(f.splits))
	for i, s := range f.splits {
		names[i], out[i] = s.Split, f.gen.Status(i, now)
	}
	return names, out
}

// Fail ends the waiting of every task that uses the feed.
func (f *Feed) Fail(err error) {
	f.mu.Lock()
	if f.err == nil {
		f.err = err
	}
	f.mu.Unlock()
	f.turn.Broadcast()
}

// Close closes the readers and the source, after all tasks have ended.
func (f *Feed) Close() error {
	f.stop()
	var errs []error
	for _, s := range f.splits {
		if s.reader != nil {
			errs = append(errs, s.reader.Close())
		}
	}
	return errors.Join(append(errs, f.Source.Close())...)
}
