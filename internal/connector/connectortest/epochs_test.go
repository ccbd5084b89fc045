package connectortest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
)

// shelf is the place of the smallest sink with epochs: what is persisted and what is visible.
type shelf struct {
	bug     string
	mu      sync.Mutex          // of several tasks that persist
	pending map[string][]string // guarded by mu
	applied map[string]bool
	visible []string
}

func (s *shelf) put(name string) {
	if s.applied[name] && s.bug != "commits twice" {
		return
	}
	s.applied[name] = true
	s.visible = append(s.visible, s.pending[name]...)
}

// shelfSink writes to a shelf, one package of rows for each epoch and task.
type shelfSink struct{ shelf *shelf }

func (s shelfSink) Recover(ctx context.Context, last uint64, c []connector.Committable) error {
	if s.shelf.bug != "recovers nothing" {
		if err := s.Commit(ctx, last, c); err != nil {
			return err
		}
	}
	if s.shelf.bug == "publishes leftovers" {
		for name := range maps.Clone(s.shelf.pending) {
			s.shelf.put(name)
		}
	}
	if s.shelf.bug == "needs committables" && last > 0 && len(c) == 0 {
		return errors.New("no committable")
	}
	if s.shelf.bug == "clears the output" && last == 0 {
		s.shelf.visible = nil
	}
	clear(s.shelf.pending)
	return nil
}

func (s shelfSink) Writer(_ context.Context, env connector.WriterEnv) (connector.SinkWriter, error) {
	return &shelfWriter{shelf: s.shelf, task: env.Task}, nil
}

func (s shelfSink) Commit(_ context.Context, _ uint64, c []connector.Committable) error {
	if s.shelf.bug == "drops abandoned" && len(c) > 1 {
		c = c[len(c)-1:]
	}
	for _, raw := range c {
		var name string
		if err := json.Unmarshal(raw, &name); err != nil {
			return err
		}
		s.shelf.put(name)
	}
	return nil
}

func (s shelfSink) Close() error { return nil }

type shelfWriter struct {
	shelf *shelf
	task  int
	rows  []string
	held  *batch.Batch
}

func (w *shelfWriter) Write(_ context.Context, b *batch.Batch) error {
	for i := range b.Len() {
		w.rows = append(w.rows, strings.TrimSuffix(string(b.Col(0).Bytes(i)), "\n"))
	}
	if w.shelf.bug == "visible when written" {
		w.shelf.visible, w.rows = append(w.shelf.visible, w.rows...), nil
	}
	if w.shelf.bug == "keeps batches" && w.held == nil {
		w.held = b
		return nil
	}
	b.Release()
	return nil
}

func (w *shelfWriter) Flush(context.Context) error { return nil }

func (w *shelfWriter) Prepare(_ context.Context, e connector.Epoch) (connector.Prepared, error) {
	if len(w.rows) == 0 {
		return nil, nil
	}
	p := &shelfPrepared{shelf: w.shelf, name: fmt.Sprintf("%d-%d", e.ID, w.task), rows: w.rows}
	if w.rows = nil; w.shelf.bug == "cuts wrong" {
		w.rows = p.rows[:1]
	}
	return p, nil
}

func (w *shelfWriter) Close(_ context.Context, complete bool) error {
	if w.shelf.bug == "visible when closed" && complete {
		w.shelf.visible, w.rows = append(w.shelf.visible, w.rows...), nil
	}
	return nil
}

type shelfPrepared struct {
	shelf *shelf
	name  string
	rows  []string
}

func (p *shelfPrepared) Persist(context.Context) (connector.Committable, error) {
	p.shelf.mu.Lock()
	defer p.shelf.mu.Unlock()
	p.shelf.pending[p.name] = p.rows
	if p.shelf.bug == "visible when persisted" {
		p.shelf.put(p.name)
	}
	return json.Marshal(p.name)
}

func onShelf(bug string) EpochCase {
	return EpochCase{Ordered: true, New: func(testing.TB) EpochPlace {
		s := &shelf{bug: bug, pending: map[string][]string{}, applied: map[string]bool{}}
		return EpochPlace{
			Sink: func(testing.TB) connector.Sink { return shelfSink{s} },
			Rows: func(testing.TB) []string { return s.visible },
		}
	}}
}

func TestEpochSuitePassesACorrectSink(t *testing.T) {
	Epochs(t, onShelf(""))
	c := onShelf("")
	c.Ordered, c.Writers = false, 3
	c.Schema, c.Row = Chunks, func(i int) []any { return []any{[]byte(Line(i))} }
	Epochs(t, c)
}

func TestEpochSuiteCatchesWrongSinks(t *testing.T) {
	for _, bug := range []string{
		"commits twice", "recovers nothing", "publishes leftovers", "needs committables", "clears the output", "drops abandoned",
		"visible when written", "visible when closed", "visible when persisted", "keeps batches", "cuts wrong",
	} {
		c := onShelf(bug).withDefaults()
		caught := false
		before := batch.Live()
		for _, e := range epochTests {
			caught = caught || try(t, func(t testing.TB) { e.run(&c, t) }) != ""
		}
		if !caught && batch.Live() == before {
			t.Errorf("a sink that %s passes", bug)
		}
	}
}
