package generate

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
	"github.com/gorge-stream/gorge/internal/workload"
)

// splitID is the name of the one split.
const splitID = "events"

// source is constant after construction but for what mu guards.
type source struct {
	config workload.Config
	live   bool  // the first event carries the time of the opening
	paced  bool  // by the clock
	events int64 // 0: without end
	block  int   // events of a block
	maker  maker
	name   string
	now    func() time.Time
	nap    func(time.Duration)
	log    *slog.Logger

	mu  sync.Mutex
	due time.Time // guarded by mu: when the next block of the open reader is due
}

var _ connector.Source = (*source)(nil)

func newSource(set *spec.Values, env connector.SourceEnv, now func() time.Time, nap func(time.Duration)) (connector.Source, error) {
	c, live, err := configure(set)
	if err != nil {
		return nil, err
	}
	s := &source{
		config: c, live: live, paced: set.Int("rate") > 0, events: set.Int("events"), name: env.Name, now: now, nap: nap, log: env.Log,
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.maker, s.block, err = newMaker(env, set.Bool("labels"))
	if err != nil {
		return nil, err
	}
	if s.paced {
		// A block is what becomes due within a quarter of a millisecond, so that no event waits longer for its neighbours.
		s.block = max(1, min(s.block, int(c.Rate/4000)))
	}
	return s, nil
}

// Splits returns the one split.
func (s *source) Splits(context.Context) ([]connector.Split, error) {
	return []connector.Split{{ID: splitID, Bounded: s.events > 0}}, nil
}

// Open starts at an event. Without a position and without a setting, a paced source starts now.
func (s *source) Open(_ context.Context, split connector.Split, at connector.Position) (connector.SplitReader, error) {
	if split.ID != splitID {
		return nil, diag.New("generate/split", "source %s has no split %q", s.name, split.ID)
	}
	c := s.config
	var next int64
	now := s.now()
	switch {
	case at != nil:
		start, n, err := parsePosition(at)
		if err != nil {
			return nil, err
		}
		if s.live {
			c.Start = start
		}
		next = n
	case s.live:
		c.Start = now.UnixMilli()
	}
	gen, err := workload.New(c)
	if err != nil {
		return nil, err
	}
	r := &reader{s: s, gen: gen, next: next, scratch: workload.NewEvents(s.block)}
	if s.paced {
		// Event i is due at zero + Offset(i). After a restart live events that were
		// missed come in a burst; with a fixed start there is nothing to catch up
		// with. Adding to now keeps the monotonic clock: a step of the wall clock makes no burst.
		r.zero = now.Add(-workload.Offset(next, c.Rate))
		if s.live {
			r.zero = now.Add(time.UnixMilli(c.Start).Sub(now))
		}
		s.announce(r.dueAt())
	}
	return r, nil
}

// announce tells Wait when the next block is due.
func (s *source) announce(t time.Time) {
	s.mu.Lock()
	s.due = t
	s.mu.Unlock()
}

// Wait sleeps until the next block is due.
func (s *source) Wait(ctx context.Context) error {
	s.mu.Lock()
	due := s.due
	s.mu.Unlock()
	d := due.Sub(s.now())
	if d <= 0 || !s.paced {
		return ctx.Err()
	}
	if d < shortWait {
		s.nap(d)
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// shortWait is the wait below which the thread sleeps itself, without a look at
// the context: a timer of an idle Go scheduler is rounded up to a whole millisecond.
const shortWait = 2 * time.Millisecond

// napThread lets the thread sleep. A signal may wake it early: then Poll finds
// nothing due, and Wait is called again.
func napThread(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil)
}

// Close has nothing to release: readers hold no resources of the source.
func (s *source) Close() error { return nil }

// reader is owned by whoever polls it.
type reader struct {
	s    *source
	gen  *workload.Generator
	next int64     // number of the next event
	zero time.Time // when event 0 was due; only when paced
	lag  workload.Lag

	scratch *workload.Events
	closed  bool
}

// size returns how many events the next block has; 0 at the end.
func (r *reader) size() int {
	// Counted from event 0, so that a resumed split has the blocks of an unbroken one.
	n := r.s.block - int(r.next%int64(r.s.block))
	if r.s.events > 0 {
		n = int(min(int64(n), max(r.s.events-r.next, 0)))
	}
	return n
}

// dueAt returns when the last event of the next block is due: no event leaves
// before its time.
func (r *reader) dueAt() time.Time {
	return r.zero.Add(workload.Offset(r.next+int64(max(r.size(), 1))-1, r.gen.Config().Rate))
}

// Poll fills b with the next block when all of it is due.
func (r *reader) Poll(ctx context.Context, b *connector.Block) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	n := r.size()
	if n == 0 {
		return io.EOF
	}
	if r.s.paced {
		late := r.s.now().Sub(r.dueAt())
		if late < 0 {
			return connector.ErrNoData
		}
		r.lag.Add(late, int64(n))
	}
	r.gen.Fill(r.scratch, r.next, n)
	r.s.maker.fill(b, r.scratch)
	r.next += int64(n)
	if r.s.paced {
		r.s.announce(r.dueAt())
	}
	return nil
}

// maxEvents bounds the number of an event; at a billion a second it is reached after 11 days.
const maxEvents = 1e15

// positionSize is the version byte, the start in milliseconds and the number of the next event.
const positionSize = 1 + 8 + 8

// Position returns the start and the number of the next event.
func (r *reader) Position() connector.Position {
	p := make([]byte, 1, positionSize)
	p[0] = 1
	p = binary.LittleEndian.AppendUint64(p, uint64(r.gen.Config().Start))
	return binary.LittleEndian.AppendUint64(p, uint64(r.next))
}

func parsePosition(p connector.Position) (start, next int64, err error) {
	if len(p) == positionSize && p[0] == 1 {
		start, next = int64(binary.LittleEndian.Uint64(p[1:])), int64(binary.LittleEndian.Uint64(p[9:]))
		if next >= 0 && next <= maxEvents {
			return start, next, nil
		}
	}
	return 0, 0, diag.New("generate/position", "the position %x was not made by this version of the generate source", []byte(p)).
		WithHint("start the job without its earlier state")
}

// Close reports how well the schedule was kept.
func (r *reader) Close() error {
	if !r.closed && r.s.paced && r.next > 0 {
		r.s.log.Info("generator finished", "events", r.next,
			"lag_p50", r.lag.Quantile(0.5), "lag_p99", r.lag.Quantile(0.99), "lag_max", r.lag.Max())
	}
	r.closed = true
	return nil
}

// micros turns the milliseconds of an event into event time.
func micros(ms int64) batch.Time { return ms * 1000 }
