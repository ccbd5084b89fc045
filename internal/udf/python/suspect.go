package python

import (
	"fmt"
	"math/bits"
)

const spentMessage = "the batch of the row cost too many workers; the rows that had no result yet were rejected"

// bury takes leave of a process that has ended: what it answered is taken in,
// the chunk that it was at is suspect, the later ones are handed over again.
func (w *worker) bury(l *link, end string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil && l.cause != causeViolation {
		w.collect()
	}
	w.link = nil
	w.down.Store(true)
	w.streak++
	var lost []*chunk
	for ; w.completed != w.published; w.completed++ {
		lost = append(lost, w.flying[w.completed%slots])
		w.flying[w.completed%slots] = nil
	}
	w.published, w.completed, w.alone = 0, 0, false
	l.close()
	w.changedNow()
	if w.err != nil {
		return
	}
	w.pool.stats.deaths.Add(1)
	if l.cause == causeTimeout {
		w.pool.stats.timeouts.Add(1)
	}
	w.in.Publish(0)
	if len(lost) == 0 {
		return
	}
	w.pending = append(lost[1:], w.pending...)
	w.suspect(lost[0], l, end)
}

// suspect decides about the chunk that a worker was at when it ended.
func (w *worker) suspect(c *chunk, l *link, end string) {
	if c.trouble == nil {
		n := c.rows()
		c.trouble = &trouble{rows: n, limit: 2*bits.Len(uint(n)) + w.pool.limits.deaths}
	}
	c.trouble.deaths++
	c.deaths++
	code, message := "worker_died", fmt.Sprintf("the worker %s while it was at this row", end)
	if l.cause == causeTimeout {
		code = "timeout"
		message = fmt.Sprintf("no result within %v; the worker was killed", c.timeout(w.pool.spec.Timeout))
	}
	switch {
	case c.part.dropped:
		w.recycle(c)
	case c.trouble.spent():
		w.fail(c, code, message+"; "+spentMessage)
	case code == "worker_died" && c.deaths == 1: // it may have been an accident
		w.pending = append([]*chunk{c}, w.pending...)
	case c.rows() == 1:
		w.fail(c, code, message)
	default:
		w.split(c, c.from+c.rows()/2)
	}
}

// changedNow wakes those who wait for a process or for the end.
func (w *worker) changedNow() {
	close(w.changed)
	w.changed = make(chan struct{})
}
