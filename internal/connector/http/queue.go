package httpio

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
)

// The reasons why the queue takes nothing.
var (
	errFull     = errors.New("the queue is full")        // 429
	errDraining = errors.New("the source is stopping")   // 503
	errTooLarge = errors.New("the request is too large") // 413: it would not fit into an empty queue
)

// maxBlock bounds the bytes of rows that are put together.
const maxBlock = 4 << 20

// queue holds accepted rows until the pipeline takes them, and counts the memory
// of requests on their way there. Rows of small requests are put together in one
// batch, the tail, so that neither memory nor the cost of a block is that of a request.
//
// Any goroutine may use it. Invariants: bytes is the sum of what was reserved and
// not released, and of the bytes of the entries and the tail; the tail is handed
// out only when no entry is left.
type queue struct {
	maxBytes  int64
	maxActive int
	delay     time.Duration
	rows      int      // capacity of a batch
	all       []uint32 // 0, 1, 2, ... rows-1
	// wake has a token when Wait should look again.
	wake chan struct{}

	mu        sync.Mutex // guards all below
	bytes     int64
	active    int // requests between enter and leave
	entries   []entry
	tail      entry
	tailSince time.Time
	draining  bool
}

type entry struct {
	rows  *batch.Batch
	bytes int64
}

func newQueue(maxBytes int64, maxActive int, delay time.Duration, rows int) *queue {
	q := &queue{maxBytes: maxBytes, maxActive: maxActive, delay: delay, rows: rows, all: make([]uint32, rows), wake: make(chan struct{}, 1)}
	for i := range q.all {
		q.all[i] = uint32(i)
	}
	return q
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// enter admits a request and reserves n bytes for it; leave follows in any case when it returns nil.
func (q *queue) enter(n int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.draining:
		return errDraining
	case q.active >= q.maxActive || q.bytes+n > q.maxBytes:
		return errFull
	}
	q.active++
	q.bytes += n
	return nil
}

// reserve claims n bytes more for a request that holds held already.
func (q *queue) reserve(n, held int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case held+n > q.maxBytes:
		return errTooLarge
	case q.bytes+n > q.maxBytes:
		return errFull
	}
	q.bytes += n
	return nil
}

// leave ends a request and gives back what it had reserved.
func (q *queue) leave(held int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.active--
	q.bytes -= held
}

// put queues the rows of one request, whose ownership moves unless it returns
// errDraining. What they take is charged beside what the request has reserved,
// which it gives back when it leaves.
func (q *queue) put(batches []*batch.Batch) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.draining {
		return errDraining
	}
	wake := false
	for _, b := range batches {
		n := int64(b.Bytes())
		q.bytes += n
		t := &q.tail
		if t.rows != nil && t.rows.Len()+b.Len() <= q.rows && t.bytes+n <= maxBlock {
			t.rows.AppendRows(b, q.all[:b.Len()])
			t.bytes += n
			b.Release()
			wake = wake || t.rows.Len() == q.rows
			continue
		}
		if t.rows != nil {
			q.entries = append(q.entries, *t)
		}
		q.tail, q.tailSince = entry{b, n}, time.Now()
		wake = true
	}
	if wake {
		q.signal()
	}
	return nil
}

// ripe returns how long the tail is to wait for more rows; 0 or less: it can go.
func (q *queue) ripe() time.Duration {
	if q.draining || q.tail.rows.Len() == q.rows {
		return 0
	}
	return q.delay - time.Since(q.tailSince)
}

// take returns the next rows, connector.ErrNoData, or io.EOF when the queue was drained.
func (q *queue) take() (*batch.Batch, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var e entry
	switch {
	case len(q.entries) > 0:
		e = q.entries[0]
		q.entries[0] = entry{}
		if q.entries = q.entries[1:]; len(q.entries) == 0 {
			q.entries = nil
		}
	case q.tail.rows != nil:
		if q.ripe() > 0 {
			return nil, connector.ErrNoData
		}
		e, q.tail = q.tail, entry{}
	case q.draining:
		return nil, io.EOF
	default:
		return nil, connector.ErrNoData
	}
	q.bytes -= e.bytes
	return e.rows, nil
}

// wait blocks until take may have something else to say than the last time.
func (q *queue) wait(ctx context.Context) error {
	for {
		q.mu.Lock()
		delay := time.Duration(-1)
		ready := len(q.entries) > 0 || q.draining
		if !ready && q.tail.rows != nil {
			delay = q.ripe()
			ready = delay <= 0
		}
		q.mu.Unlock()
		if ready {
			return ctx.Err()
		}
		if err := q.pause(ctx, delay); err != nil {
			return err
		}
	}
}

// pause waits for the delay, without end when it is negative, or for a signal.
func (q *queue) pause(ctx context.Context, delay time.Duration) error {
	var due <-chan time.Time
	if delay > 0 {
		t := time.NewTimer(delay)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-q.wake:
	case <-due:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// drain stops taking rows, also those of requests under way: they can still be refused.
func (q *queue) drain() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.draining = true
	q.signal()
}

// discard releases what is left and returns the number of rows.
func (q *queue) discard() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	rows := 0
	left := q.entries
	if q.tail.rows != nil {
		left = append(left, q.tail)
	}
	for _, e := range left {
		rows += e.rows.Len()
		q.bytes -= e.bytes
		e.rows.Release()
	}
	q.entries, q.tail = nil, entry{}
	return rows
}
