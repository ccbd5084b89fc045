package job_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/checkpoint/checkpointtest"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/failpoint"
	"github.com/gorge-stream/gorge/internal/job"
	"github.com/gorge-stream/gorge/internal/testkit"
)

// world is what outlives a job: the store of its checkpoints and what its sinks hold.
type world struct {
	job.Checkpoints
	store   *checkpointtest.Memory
	mu      sync.Mutex
	sinks   map[string]*heldRows // guarded by mu, also what is in them
	dead    bool                 // guarded by mu: the process is gone, nothing more happens
	puts    int                  // guarded by mu, as is refused: calls of the store, and how many puts it refused
	refused int
}

// heldRows is the outside of one sink: staged output by name, and what is visible.
type heldRows struct {
	staged  map[string][]string
	applied map[string]bool
	visible []string
}

func newWorld() *world {
	m := checkpointtest.NewMemory()
	return &world{Checkpoints: job.Checkpoints{Store: m, Engine: "test"}, store: m, sinks: map[string]*heldRows{}}
}

func (w *world) sink(name string) *heldSink {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.sinks[name]
	if h == nil {
		h = &heldRows{staged: map[string][]string{}, applied: map[string]bool{}}
		w.sinks[name] = h
	}
	return &heldSink{world: w, held: h, name: name}
}

// heldSink is a sink with epochs over heldRows.
type heldSink struct {
	world *world
	held  *heldRows
	name  string
}

func (s *heldSink) Recover(ctx context.Context, last uint64, c []connector.Committable) error {
	if err := s.Commit(ctx, last, c); err != nil {
		return err
	}
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	if !s.world.dead {
		clear(s.held.staged)
	}
	return nil
}

func (s *heldSink) Writer(_ context.Context, env connector.WriterEnv) (connector.SinkWriter, error) {
	return &heldWriter{sink: s, task: env.Task}, nil
}

func (s *heldSink) Commit(_ context.Context, _ uint64, c []connector.Committable) error {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	for _, one := range c {
		id := string(one)
		if s.held.applied[id] || s.world.dead {
			continue
		}
		rows, ok := s.held.staged[id]
		if !ok {
			return fmt.Errorf("sink %s: %s was decided, and is not staged", s.name, id)
		}
		s.held.applied[id] = true
		s.held.visible = append(s.held.visible, rows...)
	}
	return nil
}

func (s *heldSink) Close() error { return nil }

type heldWriter struct {
	sink *heldSink
	task int
	rows []string
}

func (w *heldWriter) Write(_ context.Context, b *batch.Batch) error {
	defer b.Release()
	w.rows = append(w.rows, testkit.Rows(b)...)
	return nil
}

func (w *heldWriter) Flush(context.Context) error { return nil }

func (w *heldWriter) Prepare(_ context.Context, e connector.Epoch) (connector.Prepared, error) {
	p := &heldOutput{sink: w.sink, id: fmt.Sprintf("%d-%d", e.ID, w.task), rows: w.rows}
	w.rows = nil
	return p, nil
}

func (w *heldWriter) Close(context.Context, bool) error { return nil }

type heldOutput struct {
	sink *heldSink
	id   string
	rows []string
}

func (p *heldOutput) Persist(context.Context) (connector.Committable, error) {
	p.sink.world.mu.Lock()
	defer p.sink.world.mu.Unlock()
	if !p.sink.world.dead {
		p.sink.held.staged[p.id] = p.rows
	}
	return connector.Committable(p.id), nil
}

// live runs the pipeline until it ends or, at the given hit of a failpoint, dies:
// from then on nothing that it does has an effect. It reports whether it ended.
func (w *world) live(t *testing.T, pipeline string, src *lines, parallelism, rows, hits int) bool {
	ctx, die := context.WithCancelCause(t.Context())
	defer die(nil)
	var left atomic.Int64
	left.Store(int64(hits))
	w.mu.Lock()
	w.dead = false
	w.mu.Unlock()
	w.store.Faults(func(c checkpointtest.Call) checkpointtest.Fault {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.dead {
			return checkpointtest.Fault{Err: errDead}
		}
		// Now and then state cannot be written: the epoch is abandoned, and its output
		// belongs to the next one.
		if w.puts++; c.Op == checkpointtest.Put && w.puts%53 == 0 {
			w.refused++
			return checkpointtest.Fault{Err: errRefused}
		}
		return checkpointtest.Fault{}
	})
	defer w.store.Faults(nil)
	stop := failpoint.Observe(func(string) {
		if left.Add(-1) == 0 {
			w.mu.Lock()
			w.dead = true
			w.mu.Unlock()
			die(errDead)
		}
	})
	defer stop()
	h, err := buildIn(ctx, t, w, pipeline, src, parallelism, rows)
	var finished *job.FinishedError
	if errors.As(err, &finished) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return !w.dead
	}
	if err == nil {
		err = h.job.Run(ctx)
	}
	if n := cutsOut.Load(); n != 0 {
		t.Fatalf("%d cuts were not released when the job ended with %v", n, err)
	}
	if err != nil && left.Load() > 0 && !strings.Contains(err.Error(), errRefused.Error()) {
		t.Fatalf("the job failed by itself: %v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return err == nil && !w.dead
}

var (
	errDead    = errors.New("the process is dead")
	errRefused = errors.New("the store takes nothing now")
)

// TestCrashesChangeNothing runs the random pipelines of the model again, killed at
// random places of the protocol and gone on with at another parallelism, until they
// are through. Every sink holds what an undisturbed run gives, row by row.
func TestCrashesChangeNothing(t *testing.T) {
	testkit.CheckLive(t)
	lives, refused := 0, 0
	for seed := range uint64(25) {
		r := rand.New(rand.NewPCG(seed, 5))
		tr := newTrial(seed)
		var lined []string
		for _, e := range tr.events {
			lined = append(lined, e.line())
		}
		tr.perBlock = min(tr.perBlock, 20) // several epochs
		split := [][]string{lined}
		if seed%2 == 1 {
			split = [][]string{lined[:len(lined)/3], lined[len(lined)/3:]}
		}
		whole := build(t, tr.pipeline(), &lines{splits: split, per: tr.perBlock}, 1, 4096)
		if err := whole.job.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		w := newWorld()
		for n := 0; ; n++ {
			hits := 1 + r.IntN(60)
			if n == 200 {
				t.Fatalf("seed %d: no end after %d lives", seed, n)
			}
			if n > 40 {
				hits = 0
			}
			lives++
			parallelism := pick(r, 1, 2, 3, 7)
			if w.live(t, tr.pipeline(), &lines{splits: split, per: tr.perBlock}, parallelism, pick(r, 1, 16, 4096), hits) {
				break
			}
		}
		refused += w.refused
		for name, held := range w.sinks {
			got := held.visible
			want := whole.sink.rows[name]
			if name == "late_out" {
				got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
			}
			if d := diff(got, want); d != "" {
				t.Fatalf("seed %d: %s: %s\n%s", seed, name, d, tr.pipeline())
			}
		}
	}
	t.Logf("%d lives, %d times state could not be written", lives, refused)
	if refused == 0 {
		t.Error("no epoch was abandoned")
	}
}
