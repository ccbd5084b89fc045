package table

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/connectortest"
)

// faultsEnv makes the test binary a simulation in which the end of the process is
// the end of its goroutines: they stop where they are, with what they have locked.
const faultsEnv = "TABLE_TEST_FAULTS"

func TestErrorsOfTheDiskCostNoRow(t *testing.T) {
	if os.Getenv(faultsEnv) != "" {
		simulateFaults(t)
		return
	}
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), faultsEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%.5000s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "faults") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// simulateFaults lets every operation that writes fail once in a run of the sweep's
// epochs, and checks what is found afterwards.
func simulateFaults(t *testing.T) {
	ends := map[string]int{}
	n := 0
	for _, err := range []error{syscall.EIO, syscall.ENOSPC} {
		for at := 0; ; at += every {
			end, reached := simulateFault(t, at, err)
			if !reached {
				break
			}
			ends[fmt.Sprintf("%v: %s", err, end)]++
			n++
		}
	}
	if n < 200/every || ends["input/output error: the process ended"] == 0 || ends["no space left on device: no harm"] == 0 {
		t.Errorf("too little happened")
	}
	t.Logf("%d faults: %v", n, ends)
}

func simulateFault(t *testing.T, at int, fault error) (end string, reached bool) {
	openStores = &stores{by: map[location]*store{}}
	mem := vfs.NewCrashableMem()
	connectortest.MakeDir(t, mem, absolute(t))
	var ops, left atomic.Int64
	left.Store(1)
	var what atomic.Value
	files := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || ops.Add(1) <= int64(at) || left.Add(-1) < 0 {
			return nil
		}
		what.Store(fmt.Sprintf("operation %d, %d on %s", at, op.Kind, op.Path))
		return fault
	}))
	dead := make(chan struct{})
	var once sync.Once
	exit = func(int) {
		once.Do(func() { close(dead) })
		select {}
	}
	var mu sync.Mutex
	d := pair{}
	done := make(chan error, 1)
	go func() {
		done <- runSweep(context.Background(), files, func(next pair) {
			mu.Lock()
			defer mu.Unlock()
			d = next
		})
	}()
	select {
	case err := <-done:
		end = "no harm"
		if err != nil {
			end = "an error"
			if !strings.Contains(err.Error(), fault.Error()) {
				t.Errorf("%v at %v became: %v", fault, what.Load(), err)
			}
		}
	case <-dead:
		end = "the process ended"
	}
	if left.Load() > 0 {
		return "", false
	}
	openStores = &stores{by: map[location]*store{}}
	mu.Lock()
	defer mu.Unlock()
	rng := rand.New(rand.NewPCG(1, uint64(at)))
	for _, percent := range []int{0, 100} {
		after := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
		if err := checkSweep(t.Context(), t, after, d); err != nil {
			t.Errorf("%v at %v, %s, %d %% kept, epoch %d decided: %v", fault, what.Load(), end, percent, d.epoch, err)
		}
	}
	return end, true
}

// fullDisk is a file system without space while full is set.
type fullDisk struct {
	full  atomic.Bool
	tries atomic.Int64
}

func (f *fullDisk) over(files vfs.FS) vfs.FS {
	return errorfs.Wrap(files, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !f.full.Load() {
			return nil
		}
		switch op.Kind {
		case errorfs.OpFileWrite, errorfs.OpCreate, errorfs.OpLink, errorfs.OpMkdirAll, errorfs.OpReuseForWrite, errorfs.OpRename:
			f.tries.Add(1)
			return syscall.ENOSPC
		}
		return nil
	}))
}

func TestAFullDiskMakesTheTableWaitAndReadsGoOn(t *testing.T) {
	var f fullDisk
	files := f.over(vfs.NewMem())
	connectortest.MakeDir(t, files, absolute(t))
	log, stalls := &records{}, make(chan string, 100)
	x, err := Registration.NewEpochSink(settings(byDevice, 0), connector.SinkEnv{Name: "t", Schema: readings, DataDir: "data", FS: files, Log: slog.New(log),
		Stalled: func(reason string) { stalls <- reason }})
	if err != nil {
		t.Fatal(err)
	}
	s := x.(*epochSink)
	s.sizes = sizes{gather: 20_000, chunk: 5000, batch: 100_000, file: 10_000}
	s.table.store.disk.retry = time.Millisecond
	if err := s.Recover(t.Context(), 0, nil); err != nil {
		t.Fatal(err)
	}
	w, err := s.Writer(t.Context(), connector.WriterEnv{})
	if err != nil {
		t.Fatal(err)
	}
	pool := batch.NewPool(readings, 1000)
	want := 0
	for epoch := uint64(1); epoch <= 12; epoch++ {
		rows := make([]reading, 300*epoch) // the later ones are too large for a batch
		for i := range rows {
			rows[i] = reading{fmt.Sprintf("dev-%d-%d", epoch, i), int64(epoch), 1, 1}
		}
		f.full.Store(true)
		done := make(chan error, 1)
		go func() { done <- runEpoch(w, s, pool, epoch, rows) }()
		for reason := ""; !strings.Contains(reason, "data/tables is full"); {
			reason = <-stalls
		}
		// It waits: what is there can be read, and nothing of the epoch is.
		if got := len(scanAll(t, s.table)); got != want {
			t.Fatalf("%d rows while the disk is full, want %d", got, want)
		}
		f.full.Store(false)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for reason := <-stalls; reason != ""; {
			reason = <-stalls
		}
		want += len(rows)
		if got := len(scanAll(t, s.table)); got != want {
			t.Fatalf("%d rows behind epoch %d, want %d", got, epoch, want)
		}
	}
	if !log.has("is full: pipelines wait") || !log.has("has space again") {
		t.Errorf("nobody was told: %v", log.all())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := len(visible(t, files, "t")); got != want {
		t.Errorf("%d rows in the end, want %d", got, want)
	}
}

// runEpoch writes, persists and commits an epoch.
func runEpoch(w connector.SinkWriter, s connector.Sink, pool *batch.Pool, epoch uint64, rows []reading) error {
	ctx := context.Background()
	for len(rows) > 0 {
		n := min(len(rows), 1000)
		if err := w.Write(ctx, fill(pool.Get(), rows[:n])); err != nil {
			return err
		}
		rows = rows[n:]
	}
	p, err := w.Prepare(ctx, connector.Epoch{ID: epoch})
	if err != nil {
		return err
	}
	c, err := p.Persist(ctx)
	if err != nil {
		return err
	}
	return s.Commit(ctx, epoch, []connector.Committable{c})
}

func TestAStopWhileTheDiskIsFullIsAnError(t *testing.T) {
	var f fullDisk
	files := f.over(vfs.NewMem())
	connectortest.MakeDir(t, files, absolute(t))
	s := newSinkOver(t, files, "t", defaultSizes)
	s.table.store.disk.retry = time.Millisecond
	if err := s.Recover(t.Context(), 0, nil); err != nil {
		t.Fatal(err)
	}
	w, err := s.Writer(t.Context(), connector.WriterEnv{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(t.Context(), fill(batch.NewPool(readings, 1).Get(), []reading{{"a", 1, 1, 1}})); err != nil {
		t.Fatal(err)
	}
	p, err := w.Prepare(t.Context(), connector.Epoch{ID: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	changes := make(chan bool, 10)
	defer s.table.store.disk.watch(func(full bool) {
		if full {
			stop()
		}
		changes <- full
	})()
	f.full.Store(true)
	_, err = p.Persist(ctx)
	wantCode(t, err, "table/disk-full")
	f.full.Store(false) // else Close would end the process
	for <-changes {
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := visible(t, files, "t"); len(got) > 0 {
		t.Errorf("undecided rows are visible: %v", got)
	}
}

// records keeps log messages.
type records struct {
	mu   sync.Mutex
	text []string
}

func (r *records) Enabled(context.Context, slog.Level) bool { return true }
func (r *records) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *records) WithGroup(string) slog.Handler            { return r }
func (r *records) Handle(_ context.Context, x slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := x.Message
	x.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	r.text = append(r.text, text)
	return nil
}

func (r *records) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.text)
}

func (r *records) has(part string) bool {
	return slices.ContainsFunc(r.all(), func(text string) bool { return strings.Contains(text, part) })
}
