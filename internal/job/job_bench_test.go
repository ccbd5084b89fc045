package job_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/codec/json"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/job"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/plan"
	"github.com/gorge-stream/gorge/internal/spec"
	"github.com/gorge-stream/gorge/internal/state"
	"github.com/gorge-stream/gorge/internal/state/memory"
)

// replay is a source of batches that are in memory already, over and over.
type replay struct {
	batches []*batch.Batch
	left    int
}

func (r *replay) Splits(context.Context) ([]connector.Split, error) {
	return []connector.Split{{ID: "memory", Bounded: true}}, nil
}

func (r *replay) Open(context.Context, connector.Split, connector.Position) (connector.SplitReader, error) {
	return r, nil
}

func (r *replay) Wait(context.Context) error   { return nil }
func (r *replay) Close() error                 { return nil }
func (r *replay) Position() connector.Position { return nil }

func (r *replay) Poll(_ context.Context, b *connector.Block) error {
	if r.left == 0 {
		return io.EOF
	}
	r.left--
	rows := r.batches[r.left%len(r.batches)]
	rows.Retain()
	b.Rows = rows
	return nil
}

// tally is a sink that adds up a count column and takes the time between its
// first and last row.
type tally struct {
	rows, events atomic.Int64
	once         sync.Once
	first, last  atomic.Int64
}

func (s *tally) Write(_ context.Context, b *batch.Batch) error {
	s.once.Do(func() { s.first.Store(time.Now().UnixNano()) })
	n := int64(0)
	for _, v := range b.Col(b.Schema().Index("n")).Int64s()[:b.Len()] {
		n += v
	}
	s.events.Add(n)
	s.rows.Add(int64(b.Len()))
	b.Release()
	s.last.Store(time.Now().UnixNano())
	return nil
}

func (s *tally) Flush(context.Context) error { return nil }
func (s *tally) Prepare(context.Context, connector.Epoch) (connector.Prepared, error) {
	return nil, nil
}
func (s *tally) Close(context.Context, bool) error { return nil }

const keyed = `
name: keyed
sources:
  events:
    mem: {}
    event_time: {column: ts}
steps:
  averages: {from: events, key_by: k, window: {tumbling: 10s}, aggregate: {avg: avg(v), n: count()}}
sinks:
  out: {from: averages, mem: {}}
`

// preloaded makes batches of 4,096 rows over the keys, all in one window.
func preloaded(keys, batches int) []*batch.Batch {
	schema := &batch.Schema{Time: 1, Fields: []batch.Field{{Name: "k", Kind: batch.String}, {Kind: batch.Timestamp}, {Name: "v", Kind: batch.Float64}}}
	pool := batch.NewPool(schema, 4096)
	r := rand.New(rand.NewPCG(1, 2))
	var out []*batch.Batch
	for range batches {
		b := pool.Get()
		for i := range 4096 {
			b.Col(0).SetText(i, fmt.Sprintf("dev-%07d", r.IntN(keys)))
			b.Col(1).Int64s()[i] = r.Int64N(10_000_000)
			b.Col(2).Float64s()[i] = r.Float64()
		}
		b.SetLen(4096)
		out = append(out, b)
	}
	return out
}

func benchPlan(b testing.TB, src connector.Source, sink connector.SinkWriter, cores int, change ...func(*plan.Plan, *job.Parts, *job.Options)) *job.Job {
	b.Helper()
	columns := func(*spec.Values) []spec.Column {
		return []spec.Column{{Name: "k", Kind: batch.String}, {Name: "ts", Kind: batch.Timestamp}, {Name: "v", Kind: batch.Float64}}
	}
	reg := connector.Registration{
		NewSource: func(*spec.Values, connector.SourceEnv) (connector.Source, error) { return src, nil },
		NewSink:   func(*spec.Values, connector.SinkEnv) (connector.SinkWriter, error) { return sink, nil },
	}
	decl := &spec.Decl{Name: "mem", Summary: "Memory."}
	cat := &plan.Catalog{
		Sources: map[string]plan.SourceInfo{"mem": {Decl: decl, Rows: true, Schema: columns, Promise: promise}},
		Sinks:   map[string]plan.SinkInfo{"mem": {Decl: decl, Promise: promise, Parallel: true}},
		Formats: map[string]plan.FormatInfo{},
	}
	p, _, err := plan.Compile("bench.yaml", []byte(keyed), cat, plan.Options{})
	if err != nil {
		b.Fatal(err)
	}
	parts := job.Parts{
		Connectors: map[string]connector.Registration{"mem": reg},
		Formats:    map[string]codec.Format{"json": json.Format},
		State:      func(l state.Layout, g keygroup.Range, _ bool) (job.KeyedState, error) { return memory.New(l, g), nil },
	}
	opts := job.Options{Parallelism: cores, BatchRows: 4096, BlockBytes: 1 << 18, Log: slog.New(slog.DiscardHandler), Now: time.Now}
	for _, f := range change {
		f(p, &parts, &opts)
	}
	j, err := job.Build(context.Background(), p, parts, opts)
	if err != nil {
		b.Fatal(err)
	}
	return j
}

// BenchmarkCores aggregates rows that are decoded already, on one core and on
// two in turn, and reports the ratio. Every run checks the number of events.
func BenchmarkCores(b *testing.B) {
	data := preloaded(500_000, 512)
	defer func() {
		for _, d := range data {
			d.Release()
		}
	}()
	const blocks = 4096
	took := map[int]time.Duration{}
	for b.Loop() {
		for _, cores := range []int{1, 2} {
			before := runtime.GOMAXPROCS(cores)
			sink := &tally{}
			j := benchPlan(b, &replay{data, blocks}, sink, cores)
			start := time.Now()
			if err := j.Run(context.Background()); err != nil {
				b.Fatal(err)
			}
			took[cores] += time.Since(start)
			runtime.GOMAXPROCS(before)
			if sink.events.Load() != blocks*4096 {
				b.Fatalf("%d of %d events", sink.events.Load(), blocks*4096)
			}
		}
	}
	events := float64(b.N) * blocks * 4096
	b.ReportMetric(events/took[1].Seconds()/1e6, "Mevents/s-1core")
	b.ReportMetric(events/took[2].Seconds()/1e6, "Mevents/s-2cores")
	b.ReportMetric(took[1].Seconds()/took[2].Seconds(), "x-2cores")
}

// BenchmarkWindowClose reports how long 500,000 windows that close at once take
// from the first row to the last at the sink.
func BenchmarkWindowClose(b *testing.B) {
	const keys = 500_000
	data := preloaded(keys, 512)
	defer func() {
		for _, d := range data {
			d.Release()
		}
	}()
	var worst, sum time.Duration
	var rows int64
	for b.Loop() {
		sink := &tally{}
		j := benchPlan(b, &replay{data, 1024}, sink, runtime.GOMAXPROCS(0))
		if err := j.Run(context.Background()); err != nil {
			b.Fatal(err)
		}
		if sink.events.Load() != 1024*4096 {
			b.Fatalf("%d of %d events", sink.events.Load(), 1024*4096)
		}
		rows = sink.rows.Load()
		d := time.Duration(sink.last.Load() - sink.first.Load())
		worst = max(worst, d)
		sum += d
	}
	b.ReportMetric(sum.Seconds()*1e3/float64(b.N), "ms/close")
	b.ReportMetric(worst.Seconds()*1e3, "ms-worst")
	b.ReportMetric(float64(rows), "windows")
}
