package task

import (
	"errors"
	"fmt"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/exchange"
)

// Task takes messages from an inbox through a chain.
type Task struct {
	Name  string // "averages/0", for errors
	Inbox *exchange.Inbox
	// Inputs is the heads of the chain for each input of the inbox.
	Inputs [][]Consumer
	Chain  *Chain
	Stats  *Stats
}

// Run runs the task until the last barrier, or an error. It is the one goroutine
// that touches the chain.
func (t *Task) Run() (err error) {
	t.Stats.start()
	defer t.Stats.end()
	final := false
	defer func() { err = closeChain(t.Name, t.Chain, final, err) }()
	marks := make([]batch.Time, len(t.Inputs))
	for i := range marks {
		marks[i] = batch.MinTime
	}
	seq, single := uint64(0), len(t.Inputs) == 1
	for {
		in, m, waited, err := t.Inbox.Pop()
		if waited > 0 {
			t.Stats.idle.Add(int64(waited))
		}
		if err != nil {
			return err
		}
		if single {
			seq = m.Seq
		}
		t.Chain.Begin(seq)
		switch m.Kind {
		case exchange.Cut:
			if err := t.Chain.Barrier(m.Barrier, true, m.Aligned); err != nil {
				return err
			}
			if m.Barrier.Last {
				final = m.Barrier.Final
				return nil
			}
			seq++
			continue
		case exchange.Data:
			if err := t.Chain.deliver(t.Inputs[in], m.Batch); err != nil {
				return err
			}
			continue
		}
		// With several inputs the blocks of each are numbered apart: the task's own
		// output is numbered by its marks.
		marks[in] = m.Watermark
		low := marks[0]
		for _, w := range marks {
			low = min(low, w)
		}
		if err := t.Chain.End(low, m.Dry); err != nil {
			return err
		}
		seq++
		t.Stats.watermark.Store(low)
		if b := t.Chain.Blocked(); b > 0 {
			t.Stats.blocked.Add(int64(b))
		}
	}
}

// closeChain closes a chain at the end of a task, final when all of its input has
// been processed; the first error wins.
func closeChain(name string, c *Chain, final bool, err error) error {
	cerr := c.Close(err == nil && final)
	if err == nil {
		err = cerr
	}
	if err != nil && !errors.Is(err, ErrStopped) {
		return fmt.Errorf("task %s: %w", name, err)
	}
	return err
}

// ErrStopped ends the tasks of a job that was stopped by another task's error.
var ErrStopped = errors.New("stopped by the end of the job")
