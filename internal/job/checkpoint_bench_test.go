package job_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/checkpoint/dir"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/job"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/plan"
	"github.com/gorge-stream/gorge/internal/state"
	"github.com/gorge-stream/gorge/internal/state/memory"
)

const (
	benchKeys   = 500_000
	benchEpochs = 12
	// benchInterval is enough for a wave on an idle machine; an epoch that a wave was too slow for does not count.
	benchInterval = 300 * time.Millisecond
)

// waves is a source that is dry but for a wave of rows behind each decision: the
// first one once, then the others in turn.
type waves struct {
	waves [][]*batch.Batch
	mu    sync.Mutex
	asked int           // guarded by mu: waves that may be handed out
	more  chan struct{} // guarded by mu: closed and replaced when another is asked for
	wave  int           // the one being handed out
	at    int           // in it
	end   bool          // guarded by mu
}

func (w *waves) ask(end bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	w.end = end
	close(w.more)
	w.more = make(chan struct{})
}

func (w *waves) Splits(context.Context) ([]connector.Split, error) {
	return []connector.Split{{ID: "waves"}}, nil
}

func (w *waves) Open(context.Context, connector.Split, connector.Position) (connector.SplitReader, error) {
	return w, nil
}

func (w *waves) Close() error                 { return nil }
func (w *waves) Position() connector.Position { return nil }

func (w *waves) Wait(ctx context.Context) error {
	w.mu.Lock()
	more, now := w.more, w.asked > w.wave
	w.mu.Unlock()
	if now {
		return nil
	}
	select {
	case <-more:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *waves) Poll(_ context.Context, b *connector.Block) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked <= w.wave {
		return connector.ErrNoData
	}
	if w.end {
		return io.EOF
	}
	wave := w.waves[0]
	if w.wave > 0 {
		wave = w.waves[1+(w.wave-1)%(len(w.waves)-1)]
	}
	b.Rows = wave[w.at]
	b.Rows.Retain()
	if w.at++; w.at == len(wave) {
		w.wave, w.at = w.wave+1, 0
	}
	return nil
}

// distinct makes waves of rows, in each of which every one of its keys is once.
func distinct(keys, count, perWave int) (out [][]*batch.Batch, release func()) {
	schema := &batch.Schema{Time: 1, Fields: []batch.Field{{Name: "k", Kind: batch.String}, {Kind: batch.Timestamp}, {Name: "v", Kind: batch.Float64}}}
	pool := batch.NewPool(schema, 4096)
	r := rand.New(rand.NewPCG(1, 2))
	for range count {
		var wave []*batch.Batch
		order := r.Perm(keys)[:perWave]
		for from := 0; from < perWave; from += 4096 {
			b := pool.Get()
			rows := order[from:min(from+4096, perWave)]
			for i, k := range rows {
				b.Col(0).SetText(i, fmt.Sprintf("dev-%07d", k))
				b.Col(1).Int64s()[i] = r.Int64N(10_000_000)
				b.Col(2).Float64s()[i] = r.Float64()
			}
			b.SetLen(len(rows))
			wave = append(wave, b)
		}
		out = append(out, wave)
	}
	return out, func() {
		for _, wave := range out {
			for _, b := range wave {
				b.Release()
			}
		}
	}
}

// stopwatch takes the times of checkpoints: from the first task that cuts to the claim.
type stopwatch struct {
	checkpoint.Store
	decided func() // called behind each

	mu     sync.Mutex // guards what follows
	begun  time.Time  // of the epoch under way
	cpu    time.Duration
	pauses []time.Duration // of the cuts of the epoch under way
	laps   []lap
}

// lap is one checkpoint.
type lap struct {
	rows      int64 // that it wrote
	bytes     int64
	took, cpu time.Duration
	pauses    []time.Duration
}

// timedState times the cuts of a backend.
type timedState struct {
	job.KeyedState
	watch *stopwatch
}

func (s *timedState) Cut(base keygroup.Range) (state.Cut, error) {
	w := s.watch
	w.mu.Lock()
	if w.begun.IsZero() {
		w.begun, w.cpu = time.Now(), processor()
	}
	w.mu.Unlock()
	begin := time.Now()
	c, err := s.KeyedState.Cut(base)
	took := time.Since(begin)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pauses = append(w.pauses, took)
	return c, err
}

// Claim notes how long the checkpoint took, and what it wrote.
func (w *stopwatch) Claim(ctx context.Context, name string, data []byte) error {
	err := w.Store.Claim(ctx, name, data)
	m, decodeErr := checkpoint.DecodeManifest(data)
	if err != nil || decodeErr != nil || m.Kind != checkpoint.Periodic {
		return err
	}
	w.mu.Lock()
	l := lap{took: time.Since(w.begun), cpu: processor() - w.cpu, pauses: w.pauses}
	for _, s := range m.Steps {
		for _, shard := range s.Shards {
			for _, seg := range shard.Segments {
				if seg.Epoch == m.Epoch {
					l.rows += seg.Rows
					l.bytes += seg.Size
				}
			}
		}
	}
	w.laps = append(w.laps, l)
	w.begun, w.pauses = time.Time{}, nil
	w.mu.Unlock()
	w.decided()
	return nil
}

// processor is what the process has used of the processors.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCheckpoint reports what a checkpoint of 500,000 windows takes while
// nothing else runs in the job: the pause of each task that has state, and the time
// from the first cut to the decision, everything synced. The rows written are
// checked for each checkpoint, and at the end the number of events.
func BenchmarkCheckpoint(b *testing.B) {
	first, release := distinct(benchKeys, 1, benchKeys)
	defer release()
	for _, c := range []struct{ tasks, changed int }{{2, benchKeys}, {1, benchKeys}, {2, benchKeys / 20}} {
		b.Run(fmt.Sprintf("tasks=%d/changed=%d%%", c.tasks, c.changed*100/benchKeys), func(b *testing.B) {
			more, release := distinct(benchKeys, 2, c.changed)
			defer release()
			var laps []lap
			for b.Loop() {
				laps = append(laps, checkpointed(b, append(first[:1:1], more...), c.tasks, c.changed)...)
			}
			reportLaps(b, laps)
		})
	}
}

// checkpointed runs a job over some checkpoints and returns those with all rows of a wave.
func checkpointed(b *testing.B, data [][]*batch.Batch, tasks, changed int) []lap {
	src, sink := &waves{waves: data, more: make(chan struct{})}, &tally{}
	store, err := dir.Open(vfs.Default, filepath.Join(b.TempDir(), "checkpoints"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	watch := &stopwatch{Store: store}
	watch.decided = func() { src.ask(len(watch.laps) > benchEpochs) }
	j := benchPlan(b, src, sink, tasks, func(p *plan.Plan, parts *job.Parts, o *job.Options) {
		p.Checkpoint.Interval = benchInterval
		o.Checkpoints = &job.Checkpoints{Store: watch, Engine: "benchmark"}
		parts.State = func(l state.Layout, g keygroup.Range, _ bool) (job.KeyedState, error) {
			return &timedState{memory.New(l, g), watch}, nil
		}
	})
	src.ask(false)
	if err := j.Run(b.Context()); err != nil {
		b.Fatal(err)
	}
	if want := int64(benchKeys); sink.rows.Load() != want || sink.events.Load() < want+int64(benchEpochs-1)*int64(changed) {
		b.Fatalf("%d windows of %d, %d events", sink.rows.Load(), want, sink.events.Load())
	}
	return slices.DeleteFunc(watch.laps[2:], func(l lap) bool { return l.rows < int64(changed) })
}

func reportLaps(b *testing.B, laps []lap) {
	if len(laps) == 0 {
		b.Fatal("no checkpoint had all rows: the machine is too busy")
	}
	var took, cpu, pauses []time.Duration
	bytes := int64(0)
	for _, l := range laps {
		took, cpu, pauses = append(took, l.took), append(cpu, l.cpu), append(pauses, l.pauses...)
		bytes += l.bytes
	}
	report := func(name string, d []time.Duration, unit time.Duration) {
		slices.Sort(d)
		b.ReportMetric(float64(d[0])/float64(unit), "least-"+name)
		b.ReportMetric(float64(d[len(d)/2])/float64(unit), "p50-"+name)
		b.ReportMetric(float64(d[len(d)-1])/float64(unit), "worst-"+name)
	}
	report("ms-decided", took, time.Millisecond)
	report("cpu-ms", cpu, time.Millisecond)
	report("pause-us", pauses, time.Microsecond)
	b.ReportMetric(float64(bytes)/float64(len(laps))/1e6, "MB")
	b.ReportMetric(float64(len(laps)), "checkpoints")
	syncs := syncTimes(b)
	b.ReportMetric(float64(syncs[len(syncs)/2].Nanoseconds())/1e3, "p50-fsync-us")
	b.ReportMetric(float64(syncs[len(syncs)*99/100].Nanoseconds())/1e3, "p99-fsync-us")
}

// syncTimes measures this disk: 4 KiB appended and synced, ascending.
func syncTimes(b *testing.B) []time.Duration {
	f, err := os.Create(filepath.Join(b.TempDir(), "probe"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	took := make([]time.Duration, 500)
	page := []byte(strings.Repeat("x", 4096))
	for i := range took {
		if _, err := f.Write(page); err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		took[i] = time.Since(begin)
	}
	slices.Sort(took)
	return took
}
