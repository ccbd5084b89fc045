package task

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/gorge-stream/gorge/internal/connector"
)

// script is a source whose splits hand out what the test puts in: times of
// blocks, errors, io.EOF. A split without anything is dry.
type script struct {
	mu     sync.Mutex
	splits [][]any // batch.Time or error
	wake   chan struct{}
	waits  int
	opened []int
	closed bool
	polls  []int
}

func newScript(splits ...[]any) *script {
	return &script{splits: splits, wake: make(chan struct{}, 1)}
}

// put adds to a split and wakes who waits.
func (s *script) put(split int, what ...any) {
	s.mu.Lock()
	s.splits[split] = append(s.splits[split], what...)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *script) Splits(context.Context) ([]connector.Split, error) {
	var out []connector.Split
	for i := range s.splits {
		out = append(out, connector.Split{ID: fmt.Sprint(i)})
	}
	return out, nil
}

func (s *script) Open(_ context.Context, sp connector.Split, _ connector.Position) (connector.SplitReader, error) {
	var i int
	_, err := fmt.Sscan(sp.ID, &i)
	s.opened = append(s.opened, i)
	return &scriptReader{s, i}, err
}

func (s *script) Wait(ctx context.Context) error {
	s.mu.Lock()
	s.waits++
	s.mu.Unlock()
	select {
	case <-s.wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *script) Close() error { s.closed = true; return nil }

type scriptReader struct {
	s *script
	i int
}

func (r *scriptReader) Poll(_ context.Context, b *connector.Block) error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.s.polls = append(r.s.polls, r.i)
	q := r.s.splits[r.i]
	if len(q) == 0 {
		return connector.ErrNoData
	}
	r.s.splits[r.i] = q[1:]
	switch x := q[0].(type) {
	case error:
		return x
	case int:
		b.Place = fmt.Sprintf("%d@%d", r.i, x)
		b.Line = int64(x)
	}
	return nil
}

func (r *scriptReader) Position() connector.Position { return nil }
func (r *scriptReader) Close() error                 { return nil }

// drainer is a script that accepts no more once it was drained.
type drainer struct {
	*script
	drained int
}

func (d *drainer) Drain() {
	d.drained++
	for i := range d.splits {
		d.put(i, io.EOF)
	}
}
