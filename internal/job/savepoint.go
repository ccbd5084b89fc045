package job

import (
	"context"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/diag"
)

var errOver = diag.New("run/over", "the run has ended, so that it makes no savepoint").
	WithHint("run the pipeline again, or copy its last checkpoint: gorge savepoint works on a data directory that no engine uses")

// Savepoint takes a full checkpoint and copies it to another store. Any goroutine may call it.
func (j *Job) Savepoint(ctx context.Context, to checkpoint.Store) (*checkpoint.Manifest, error) {
	e := j.epochs
	if e.keeper == nil {
		return nil, diag.New("run/no-checkpoints", "the pipeline runs without checkpoints, so that there is nothing to make a savepoint of").
			WithHint("leave out checkpoint: off and --checkpoint off")
	}
	// What the savepoint names must stay until it was copied.
	e.keeper.holds.Add(1)
	defer e.keeper.holds.Add(-1)
	done := make(chan checkpoint.Answer, 1)
	e.mu.Lock()
	e.nextID++
	id := e.nextID
	e.requests[id] = done
	e.mu.Unlock()
	select {
	case e.events <- checkpoint.Request{ID: id}:
	case <-e.over:
		return nil, errOver
	}
	var a checkpoint.Answer
	select {
	case a = <-done:
	case <-e.over:
		return nil, errOver
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if a.Err != nil {
		return nil, a.Err
	}
	h, err := checkpoint.OpenHistory(ctx, e.keeper.store)
	if err != nil {
		return nil, err
	}
	m, err := h.Load(a.Epoch)
	if err != nil {
		return nil, err
	}
	return m, checkpoint.CopyTo(ctx, e.keeper.store, m, to)
}

// answer answers a request.
func (e *epochs) answer(a checkpoint.Answer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if done, ok := e.requests[a.ID]; ok {
		done <- a // it has room
		delete(e.requests, a.ID)
	}
}
