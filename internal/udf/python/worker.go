package python

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorge-stream/gorge/internal/udf"
	"github.com/gorge-stream/gorge/internal/udf/shm"
)

const (
	slots      = 4 // one more batch in flight is worth a third, the fifth nothing
	pollEvery  = 50 * time.Millisecond
	minTimeout = 100 * time.Millisecond
)

// worker is one place in the pool: a queue of chunks and the process, one after
// the other, that answers them.
type worker struct {
	// constant
	pool *Pool
	id   int
	in   *shm.Input
	// token is held by the one goroutine that sleeps on the socket or for a process.
	token chan struct{}

	rows atomic.Int64 // given and not answered, for the choice of a worker
	down atomic.Bool  // no process is ready

	// guarded by mu
	mu        sync.Mutex
	link      *link         // nil while no process is ready
	changed   chan struct{} // closed when link or err changes
	err       error         // final: the pool is closed or lost
	pending   []*chunk
	queue     [slots]*chunk // memory of pending as long as nothing fails
	flying    [slots]*chunk // those from completed up to before published, modulo slots
	published uint64
	completed uint64
	since     time.Time // since when the worker is at the first chunk in flight
	alone     bool      // a suspect is in flight: nothing may follow it
	streak    int       // processes lost since the last answer
	scratch   shm.Scratch
	free      []*chunk
}

func newWorker(p *Pool, id int) (*worker, error) {
	in, err := shm.NewInput(p.layout)
	if err != nil {
		return nil, err
	}
	w := &worker{pool: p, id: id, in: in, token: make(chan struct{}, 1), changed: make(chan struct{})}
	w.down.Store(true)
	return w, nil
}

// give queues rows of a part; it blocks while all slots are taken.
func (w *worker) give(ctx context.Context, p *part, from, to int) error {
	for {
		w.mu.Lock()
		w.poll()
		if w.err != nil {
			defer w.mu.Unlock()
			return w.err
		}
		if w.room() {
			c := w.newChunk()
			*c = chunk{part: p, from: from, to: to, given: time.Now()}
			p.left += c.rows()
			w.rows.Add(int64(c.rows()))
			w.pending = append(w.pending, c)
			w.pump()
			w.mu.Unlock()
			return nil
		}
		w.mu.Unlock()
		if err := w.await(ctx, nil); err != nil {
			return err
		}
	}
}

// finish waits until the rows of a part are answered.
func (w *worker) finish(ctx context.Context, p *part) error {
	w.mu.Lock()
	w.poll()
	done, err := w.settled(p)
	w.mu.Unlock()
	if done || err != nil {
		return err
	}
	return w.await(ctx, p)
}

// drop makes the worker forget a part.
func (w *worker) drop(p *part) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p.dropped = true
	w.rows.Add(-int64(p.left))
	p.left = 0
}

func (w *worker) room() bool {
	return len(w.pending)+int(w.published-w.completed) < slots
}

// settled reports whether there is nothing left to wait for: a part without open
// rows or, for nil, room for one more chunk.
func (w *worker) settled(p *part) (bool, error) {
	switch {
	case p != nil && p.left == 0:
		return true, nil
	case w.err != nil:
		return false, w.err
	}
	return p == nil && w.room(), nil
}

// await sleeps until the part is settled. Those who wait for the same worker
// take turns in the order of their coming, so that each looks after its own.
func (w *worker) await(ctx context.Context, p *part) error {
	for {
		select {
		case w.token <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		done, err := w.turn(ctx, p)
		<-w.token
		if done || err != nil {
			return err
		}
	}
}

// turn takes in what is there and otherwise sleeps once. The caller holds the token.
func (w *worker) turn(ctx context.Context, p *part) (bool, error) {
	w.mu.Lock()
	w.poll()
	if done, err := w.settled(p); done || err != nil {
		w.mu.Unlock()
		return done, err
	}
	if err := ctx.Err(); err != nil {
		w.mu.Unlock()
		return false, err
	}
	l, left := w.link, w.timeLeft()
	if l != nil && left <= 0 {
		l.kill(causeTimeout, "no result in time")
	}
	if l == nil || l.cause != causeNone { // no process, or one that is about to be gone
		changed := w.changed
		w.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		return false, nil
	}
	w.in.SetParked(true)
	if l.out.Completed() != w.completed {
		w.in.SetParked(false)
		w.mu.Unlock()
		return false, nil
	}
	w.mu.Unlock()
	l.sleep(min(left, pollEvery))
	w.mu.Lock()
	if w.err == nil { // the memory is there as long as the worker is not ended
		w.in.SetParked(false)
	}
	w.mu.Unlock()
	return false, nil
}

// timeLeft returns how long the first chunk in flight may still take.
func (w *worker) timeLeft() time.Duration {
	if w.published == w.completed {
		return pollEvery
	}
	c := w.flying[w.completed%slots]
	return c.timeout(w.pool.spec.Timeout) - time.Since(w.since)
}

// poll takes in the answers that are there and hands over what waits for a slot.
func (w *worker) poll() {
	if w.link == nil || w.err != nil || w.link.cause != causeNone {
		return
	}
	w.collect()
	w.pump()
}

// collect takes in the answers that are there.
func (w *worker) collect() {
	l := w.link
	done := l.out.Completed()
	if done == w.completed {
		return
	}
	if done-w.completed > w.published-w.completed {
		l.kill(causeViolation, "it wrote an impossible counter")
		return
	}
	now := time.Now()
	for w.completed != done {
		c := w.flying[w.completed%slots]
		if err := w.take(c, now); err != nil {
			l.kill(causeViolation, err.Error())
			return
		}
		w.flying[w.completed%slots] = nil
		w.completed++
		w.alone = false
		w.streak = 0
	}
	w.since = now
}

// take copies one answer into the result of its call.
func (w *worker) take(c *chunk, now time.Time) error {
	if c.part.dropped {
		w.recycle(c)
		return nil
	}
	k := c.part.call
	k.mu.Lock()
	before := len(k.failed)
	failed, err := w.link.out.Read(w.completed, c.rows(), k.result, c.from, k.failed, &w.scratch)
	if err != nil {
		failed = failed[:before]
	}
	k.failed = failed
	k.mu.Unlock()
	if errors.Is(err, shm.ErrTooLarge) {
		w.halve(c)
		return nil
	}
	if err != nil {
		return err
	}
	w.pool.observe(c, now, len(failed)-before)
	w.answered(c)
	return nil
}

// halve puts the halves of a chunk whose results do not fit a slot to the front
// of the queue; a single row fails.
func (w *worker) halve(c *chunk) {
	if c.rows() == 1 {
		w.fail(c, "too_large", "the result of the row is too large for the worker's memory")
		return
	}
	w.split(c, c.from+c.rows()/2)
}

// split cuts a chunk before row at and queues both pieces first.
func (w *worker) split(c *chunk, at int) {
	rest := w.newChunk()
	*rest = *c
	rest.from, c.to = at, at
	w.pending = append([]*chunk{c, rest}, w.pending...)
}

// fail ends a chunk: all its rows failed.
func (w *worker) fail(c *chunk, code, message string) {
	if !c.part.dropped {
		k := c.part.call
		k.mu.Lock()
		for row := c.from; row < c.to; row++ {
			for i := range k.result.Schema().Fields {
				k.result.Col(i).SetNull(row)
			}
			k.failed = append(k.failed, udf.Failure{Row: row, Code: code, Message: message})
		}
		k.mu.Unlock()
		w.pool.stats.failures.Add(uint64(c.rows()))
	}
	w.answered(c)
}

// answered ends a chunk.
func (w *worker) answered(c *chunk) {
	if !c.part.dropped {
		c.part.left -= c.rows()
		w.rows.Add(-int64(c.rows()))
	}
	w.recycle(c)
}

// pump hands over chunks that wait, as long as there are slots.
func (w *worker) pump() {
	for len(w.pending) > 0 && w.link != nil && w.link.cause == causeNone {
		if w.published-w.completed == slots || w.alone {
			return
		}
		c := w.pending[0]
		if c.deaths > 0 && w.published != w.completed {
			return
		}
		w.pending = w.pending[1:]
		switch {
		case c.part.dropped:
			w.recycle(c)
		case c.trouble != nil && c.trouble.spent():
			w.fail(c, "worker_died", spentMessage)
		default:
			w.hand(c)
		}
	}
	if len(w.pending) == 0 {
		w.pending = w.queue[:0]
	}
}

// hand writes one chunk into the next slot, or the part of it that fits.
func (w *worker) hand(c *chunk) {
	n := w.in.Write(w.published, c.part.call.args, c.from, c.to, c.timeout(w.pool.spec.Timeout))
	if n < c.rows() && c.rows() > 1 {
		w.split(c, c.from+max(n, 1))
		w.pending = w.pending[1:]
	}
	if n == 0 {
		w.fail(c, "too_large", "the arguments of the row are too large for the worker's memory")
		return
	}
	if w.published == w.completed {
		w.since = time.Now()
	}
	w.flying[w.published%slots] = c
	w.published++
	w.alone = c.deaths > 0
	w.in.Publish(w.published)
	if w.link.out.WorkerParked() {
		w.link.wake()
	}
}

func (w *worker) newChunk() *chunk {
	if n := len(w.free); n > 0 {
		c := w.free[n-1]
		w.free = w.free[:n-1]
		return c
	}
	return new(chunk)
}

func (w *worker) recycle(c *chunk) {
	*c = chunk{}
	if len(w.free) < 2*slots {
		w.free = append(w.free, c)
	}
}
