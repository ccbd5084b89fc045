package python

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/udf"
)

// call is one batch on its way through the pool.
type call struct {
	pool   *Pool
	args   *batch.Batch // of the caller, read until Wait returned
	parts  []part
	mu     sync.Mutex // chunks of several workers end in the same result
	result *batch.Batch
	failed []udf.Failure
}

// part is the share of one worker in a call.
type part struct {
	call *call
	w    *worker
	// guarded by w.mu
	left    int  // rows without an answer
	dropped bool // nobody waits any more
}

// chunk is rows of a part that go to the worker together.
type chunk struct {
	part     *part
	from, to int // rows of the call's batch
	given    time.Time
	trouble  *trouble
	deaths   int // workers lost while this chunk, or the one that it is a piece of, was to blame
}

// trouble is what one chunk and all its pieces have cost.
type trouble struct {
	rows   int // of the whole chunk
	deaths int
	limit  int
}

func (t *trouble) spent() bool { return t.deaths >= t.limit }

func (c *chunk) rows() int { return c.to - c.from }

// timeout is what the worker gets for the chunk. A piece gets its share, so that
// looking for the row that hangs takes about twice the timeout, not one for each step.
func (c *chunk) timeout(whole time.Duration) time.Duration {
	if c.trouble == nil {
		return whole
	}
	share := time.Duration(float64(whole) * float64(c.rows()) / float64(c.trouble.rows))
	return max(share, min(whole, minTimeout))
}

// Wait waits for the answers; see udf.Call.
func (c *call) Wait(ctx context.Context) (udf.Result, error) {
	for i := range c.parts {
		p := &c.parts[i]
		if err := p.w.finish(ctx, p); err != nil {
			c.drop()
			return udf.Result{}, fmt.Errorf("function %s: %w", c.pool.spec.Name, err)
		}
	}
	r := udf.Result{Batch: c.result, Failures: c.failed}
	if len(c.failed) > 0 {
		slices.SortFunc(r.Failures, func(a, b udf.Failure) int { return a.Row - b.Row })
	}
	r.Batch.SetLen(c.args.Len())
	c.pool.recycle(c)
	return r, nil
}

// drop gives the call up: no worker touches its batches afterwards. Slots that it
// has are answered into nothing, so the call is never used again.
func (c *call) drop() {
	for i := range c.parts {
		c.parts[i].w.drop(&c.parts[i])
	}
	c.result.Release()
	c.args = nil
}
