package job_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/codec/json"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/delivery"
	"github.com/gorge-stream/gorge/internal/job"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/plan"
	"github.com/gorge-stream/gorge/internal/spec"
	"github.com/gorge-stream/gorge/internal/state"
	"github.com/gorge-stream/gorge/internal/state/memory"
	"github.com/gorge-stream/gorge/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory source: splits of lines, cut into blocks of some lines each.
type lines struct {
	splits [][]string
	per    int           // lines of a block
	stall  chan struct{} // when set, the source runs dry at its end until it is closed
	broken error         // returned instead of the last block
	silent int           // this split, counted from 1, never has anything
}

type lineReader struct {
	s      *lines
	rest   []string
	at     int
	silent bool
}

func (s *lines) Splits(context.Context) ([]connector.Split, error) {
	var out []connector.Split
	for i := range s.splits {
		out = append(out, connector.Split{ID: fmt.Sprintf("split-%d", i), Bounded: true})
	}
	return out, nil
}

func (s *lines) Open(_ context.Context, sp connector.Split, at connector.Position) (connector.SplitReader, error) {
	var i int
	if _, err := fmt.Sscanf(sp.ID, "split-%d", &i); err != nil {
		return nil, err
	}
	r := &lineReader{s: s, silent: i+1 == s.silent}
	if at != nil {
		r.at = int(binary.LittleEndian.Uint32(at))
	}
	r.rest = s.splits[i][r.at:]
	return r, nil
}

func (s *lines) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stall:
		return nil
	}
}

func (s *lines) Close() error { return nil }

func (r *lineReader) Poll(_ context.Context, b *connector.Block) error {
	if r.silent {
		select {
		case <-r.s.stall:
			return io.EOF
		default:
			return connector.ErrNoData
		}
	}
	if len(r.rest) == 0 {
		if r.s.stall != nil {
			select {
			case <-r.s.stall:
			default:
				return connector.ErrNoData
			}
		}
		if r.s.broken != nil {
			return r.s.broken
		}
		return io.EOF
	}
	n := min(r.s.per, len(r.rest))
	b.Data = append(b.Data[:0], strings.Join(r.rest[:n], "\n")+"\n"...)
	b.Data = append(b.Data, make([]byte, codec.Pad)...)[:len(b.Data)]
	b.Place, b.Line = "mem", int64(r.at+1)
	r.rest = r.rest[n:]
	r.at += n
	return nil
}

func (r *lineReader) Position() connector.Position {
	return binary.LittleEndian.AppendUint32(nil, uint32(r.at))
}
func (r *lineReader) Close() error { return nil }

// collect is a sink that writes rows down.
type collect struct {
	mu       sync.Mutex
	rows     map[string][]string
	flushes  int
	complete map[string]bool
	fail     error
	stuck    string // the sink that takes nothing until the job ends
	waiting  bool   // it has been given something
}

type collector struct {
	c    *collect
	name string
}

func (w collector) Write(ctx context.Context, b *batch.Batch) error {
	defer b.Release()
	w.c.mu.Lock()
	if w.c.stuck == w.name {
		w.c.waiting = true
		w.c.mu.Unlock()
		<-ctx.Done()
		return ctx.Err()
	}
	defer w.c.mu.Unlock()
	w.c.rows[w.name] = append(w.c.rows[w.name], testkit.Rows(b)...)
	return w.c.fail
}

func (w collector) Flush(context.Context) error {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	w.c.flushes++
	return nil
}

func (w collector) Prepare(context.Context, connector.Epoch) (connector.Prepared, error) {
	return nil, nil
}

func (w collector) Close(_ context.Context, complete bool) error {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	w.c.complete[w.name] = complete
	return nil
}

type harness struct {
	src  *lines
	sink *collect
	plan *plan.Plan
	job  *job.Job
}

func promise(*spec.Values) delivery.Promise {
	return delivery.Promise{Guarantee: delivery.ExactlyOnce, Why: "test"}
}

func build(t *testing.T, pipeline string, src *lines, parallelism, rows int) *harness {
	t.Helper()
	testkit.CheckLive(t)
	h, err := buildIn(t.Context(), t, nil, pipeline, src, parallelism, rows)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// buildIn builds a job, with checkpoints in a world when there is one.
func buildIn(ctx context.Context, t *testing.T, w *world, pipeline string, src *lines, parallelism, rows int) (*harness, error) {
	t.Helper()
	h := &harness{src: src, sink: &collect{rows: map[string][]string{}, complete: map[string]bool{}}}
	mem := connector.Registration{
		Source: &spec.Decl{Name: "mem", Summary: "Lines in memory."}, Sink: &spec.Decl{Name: "mem", Summary: "Rows in memory."},
		DefaultFormat: "", SourcePromise: promise, SinkPromise: promise,
		NewSource: func(*spec.Values, connector.SourceEnv) (connector.Source, error) { return src, nil },
		NewSink: func(_ *spec.Values, env connector.SinkEnv) (connector.SinkWriter, error) {
			return collector{h.sink, env.Name}, nil
		},
	}
	picky := mem
	picky.Sink = &spec.Decl{Name: "picky", Summary: "Refuses every row."}
	picky.NewSink = func(_ *spec.Values, env connector.SinkEnv) (connector.SinkWriter, error) {
		return &refuser{env: env}, nil
	}
	late := mem
	late.Sink = &spec.Decl{Name: "late", Summary: "Refuses every row when it is flushed."}
	late.NewSink = func(_ *spec.Values, env connector.SinkEnv) (connector.SinkWriter, error) {
		return &refuser{env: env, late: true}, nil
	}
	cat := &plan.Catalog{
		DeadLetters: "mem",
		Sources:     map[string]plan.SourceInfo{"mem": {Decl: mem.Source, Promise: promise}},
		Sinks:       map[string]plan.SinkInfo{"mem": {Decl: mem.Sink, Promise: promise}, "picky": {Decl: picky.Sink, Promise: promise, Dead: true, Parallel: true}, "late": {Decl: late.Sink, Promise: promise, Dead: true}},
		Formats:     map[string]plan.FormatInfo{"json": {Decl: json.Format.Decl, Reads: true, Writes: true}},
	}
	p, _, err := plan.Compile("test.yaml", []byte(pipeline), cat, plan.Options{})
	if err != nil {
		t.Fatalf("%v", err)
	}
	h.plan = p
	opts := job.Options{Parallelism: parallelism, BatchRows: rows, BlockBytes: 1 << 10, Log: slog.New(slog.DiscardHandler), Now: time.Now}
	if w != nil {
		p.Checkpoint.Interval, p.Checkpoint.Timeout, p.Checkpoint.Retain = time.Millisecond/2, time.Minute, 2
		opts.Checkpoints = &w.Checkpoints
		mem.NewEpochSink = func(_ *spec.Values, env connector.SinkEnv) (connector.Sink, error) { return w.sink(env.Name), nil }
	}
	h.job, err = job.Build(ctx, p, job.Parts{
		Connectors: map[string]connector.Registration{"mem": mem, "picky": picky, "late": late},
		Formats:    map[string]codec.Format{"json": json.Format},
		State: func(l state.Layout, g keygroup.Range, _ bool) (job.KeyedState, error) {
			return countedState{memory.New(l, g)}, nil
		},
	}, opts)
	return h, err
}

// events makes rows out of order, some of them so late that their window has
// closed, over a few keys, with hard floats.
func events(seed uint64, n int) []string {
	r := rand.New(rand.NewPCG(seed, 1))
	var out []string
	for i := range n {
		ts := int64(i)*20 - r.Int64N(800)
		if r.IntN(50) == 0 {
			ts -= 9000
		}
		v := "null"
		if r.IntN(10) > 0 {
			v = fmt.Sprint((r.Float64() - 0.5) * 1e6)
		}
		out = append(out, fmt.Sprintf(`{"k":"key-%d","ts":%d,"v":%s,"x":"unused"}`, r.IntN(17), ts, v))
	}
	return out
}

const statistics = `
name: statistics
sources:
  events:
    mem: {}
    format: json
    schema: {k: string, ts: timestamp_ms, v: float64?, x: string}
    event_time: {column: ts, max_disorder: 500ms}
steps:
  averages: {from: events, key_by: k, window: {tumbling: 2s}, aggregate: {avg: avg(v), n: count(), last: last(v), sd: stddev(v)}, late: side}
  profiled: {from: averages, key_by: k, running: {mean: mean(avg), ewm: "ewm_mean(avg, 0.3)"}}
  hot: {from: profiled, where: "avg > mean"}
  counted: {from: events, window: {tumbling: 5s}, aggregate: {n: count(), s: sum(v)}}
  positive: {from: events, where: "v > 0"}
sinks:
  results: {from: profiled, mem: {}}
  hot_ones: {from: hot, mem: {}}
  too_late: {from: averages.late, mem: {}}
  totals: {from: counted, mem: {}}
  stream: {from: positive, mem: {}}
`

// TestResultsDoNotDependOnParallelismOrBatchSize runs one pipeline in many ways:
// every output is equal to the last bit, and rows without an exchange keep the
// order of the input.
func TestResultsDoNotDependOnParallelismOrBatchSize(t *testing.T) {
	var want map[string][]string
	for _, parallelism := range []int{1, 2, 7} {
		for _, rows := range []int{1, 16, 4096} {
			h := build(t, statistics, &lines{splits: [][]string{events(1, 3000), events(2, 2000)}, per: 37}, parallelism, rows)
			if err := h.job.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := h.sink.rows
			for _, name := range []string{"results", "hot_ones", "too_late"} {
				sort.Strings(got[name])
			}
			if want == nil {
				want = got
				for name, rows := range got {
					if len(rows) < 5 {
						t.Fatalf("sink %s has only %d rows: the test does not test", name, len(rows))
					}
				}
				continue
			}
			for name := range want {
				if strings.Join(got[name], "\n") != strings.Join(want[name], "\n") {
					t.Errorf("parallelism %d, %d rows a batch: sink %s differs: %d rows, want %d", parallelism, rows, name, len(got[name]), len(want[name]))
				}
			}
		}
	}
}

const plain = `
name: plain
sources:
  events:
    mem: {}
    format: json
    schema: {k: string, ts: timestamp_ms, v: float64}
    event_time: {column: ts, max_disorder: 500ms}
    on_bad_record: %s
steps:
  all: {from: events, where: "v >= 0"}
sinks:
  out: {from: all, mem: {}}
`

func TestBadRecordsFollowThePolicy(t *testing.T) {
	in := []string{`{"k":"a","ts":1,"v":1}`, `{"k":"a","ts":1,"v":"oops"}`, `{"k":"b"`, `{"k":"c","ts":2,"v":2}`}
	for policy, want := range map[string]struct {
		out, dead int
		bad       int64
		fails     bool
	}{"dead_letter": {2, 2, 2, false}, "skip": {2, 0, 2, false}, "fail": {0, 0, 1, true}} {
		h := build(t, fmt.Sprintf(plain, policy), &lines{splits: [][]string{in}, per: 2}, 2, 16)
		err := h.job.Run(t.Context())
		if (err != nil) != want.fails {
			t.Errorf("%s: %v", policy, err)
		}
		s := h.job.Status()
		if got := s.Totals(); got.Bad < want.bad || len(h.sink.rows["dead_letters"]) != want.dead || !want.fails && len(h.sink.rows["out"]) != want.out {
			t.Errorf("%s: %+v, %d out, dead %q", policy, got, len(h.sink.rows["out"]), h.sink.rows["dead_letters"])
		}
		if want.fails && !strings.Contains(fmt.Sprint(err), "mem line 2") {
			t.Errorf("%s: the error does not name the line: %v", policy, err)
		}
		if h.sink.complete["out"] == want.fails {
			t.Errorf("%s: sink closed with complete=%v", policy, h.sink.complete["out"])
		}
	}
}

func TestAnErrorAnywhereEndsTheJob(t *testing.T) {
	boom := errors.New("boom")
	t.Run("source", func(t *testing.T) {
		h := build(t, statistics, &lines{splits: [][]string{events(1, 500)}, per: 10, broken: boom}, 3, 64)
		if err := h.job.Run(t.Context()); !errors.Is(err, boom) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("sink", func(t *testing.T) {
		h := build(t, statistics, &lines{splits: [][]string{events(1, 5000)}, per: 10}, 3, 64)
		h.sink.fail = boom
		if err := h.job.Run(t.Context()); !errors.Is(err, boom) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("context", func(t *testing.T) {
		h := build(t, statistics, &lines{splits: [][]string{events(1, 500)}, per: 10, stall: make(chan struct{})}, 3, 64)
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error)
		go func() { done <- h.job.Run(ctx) }()
		waitFor(t, func() bool { h.sink.mu.Lock(); defer h.sink.mu.Unlock(); return h.sink.flushes > 0 })
		cancel(boom)
		if err := <-done; !errors.Is(err, boom) {
			t.Errorf("got %v", err)
		}
	})
}

// waitFor polls a condition that another goroutine makes true.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatal("nothing happened in 30 s")
		case <-tick.C:
		}
	}
}

// TestStopClosesWindows stops a job whose input has run dry: the open windows
// close, the job ends well, and the dry input had flushed the sinks before.
func TestStopClosesWindows(t *testing.T) {
	h := build(t, statistics, &lines{splits: [][]string{events(1, 500)}, per: 10, stall: make(chan struct{})}, 2, 64)
	done := make(chan error)
	go func() { done <- h.job.Run(t.Context()) }()
	waitFor(t, func() bool { h.sink.mu.Lock(); defer h.sink.mu.Unlock(); return h.sink.flushes >= 5 })
	before := h.job.Status()
	if !before.Running || before.Totals().In != 500 {
		t.Errorf("running %v with %d rows in", before.Running, before.Totals().In)
	}
	h.job.Stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, row := range h.sink.rows["totals"] {
		var start, end, c int
		fmt.Sscan(row, &start, &end, &c)
		n += c
	}
	if late := h.job.Status().Totals().Late; n == 0 || int64(n) > 500 || late == 0 {
		t.Errorf("the windows hold %d of 500 rows, %d late", n, late)
	}
	if after := h.job.Status(); after.Running {
		t.Error("still running")
	}
}

// TestASilentSplitDoesNotHoldWindowsForEver has one split with rows and one
// that stays silent: windows close once the silent one counts as idle.
func TestASilentSplitDoesNotHoldWindowsForEver(t *testing.T) {
	pipeline := strings.Replace(statistics, "max_disorder: 500ms", "max_disorder: 500ms, idle_after: 30ms", 1)
	h := build(t, pipeline, &lines{splits: [][]string{events(1, 2000), nil}, per: 50, stall: make(chan struct{}), silent: 2}, 2, 64)
	done := make(chan error)
	go func() { done <- h.job.Run(t.Context()) }()
	waitFor(t, func() bool { h.sink.mu.Lock(); defer h.sink.mu.Unlock(); return len(h.sink.rows["results"]) > 0 })
	idle := 0
	for _, s := range h.job.Status().Splits {
		if s.Idle {
			idle++
		}
	}
	if idle == 0 {
		t.Error("no split counts as idle")
	}
	close(h.src.stall)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestManySplitsAreReadInTheOrderOfTheirTime(t *testing.T) {
	// Ten files, each a day after the other, more than a block each: windows close
	// while later files are still to be read, and nothing is late.
	var splits [][]string
	for d := range 10 {
		var day []string
		for i := range 200 {
			day = append(day, fmt.Sprintf(`{"k":"a","ts":%d,"v":1,"x":""}`, d*86_400_000+i*1000))
		}
		splits = append(splits, day)
	}
	h := build(t, statistics, &lines{splits: splits, per: 20}, 2, 64)
	if err := h.job.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if late := h.job.Status().Totals().Late; late != 0 {
		t.Errorf("%d rows late", late)
	}
	if n := len(h.sink.rows["results"]); n != 10*100 {
		t.Errorf("%d windows, want 1000", n)
	}
}

func TestBuildRefusesNonsense(t *testing.T) {
	for _, o := range []job.Options{{Parallelism: 0, BatchRows: 1}, {Parallelism: 5000, BatchRows: 1}, {Parallelism: 1, BatchRows: 0}} {
		if _, err := job.Build(t.Context(), &plan.Plan{}, job.Parts{}, o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}
