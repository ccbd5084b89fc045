package table

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/connectortest"
	"github.com/gorge-stream/gorge/internal/failpoint"
)

// The crash sweep runs two tables on one store through epochs that change rows of
// earlier ones, drop old buckets, come in several runs and as files. Before every
// operation on the file system and at every failpoint it keeps what a power cut
// would leave, and checks the recovery from each.

// pair is what is decided of both tables.
type pair struct {
	epoch uint64
	c     [2][]connector.Committable
}

// sweepRetain keeps 30 buckets of a second in the first table.
const sweepRetain = 30 * time.Second

var sweepNames = [2]string{"kept", "dropping"}

// sweepRows are the rows of an epoch: the same devices again and again, some twice in
// an epoch. Epochs 3 and 7 need several runs, epoch 5 is too large for one batch, 6 and 8 are empty.
func sweepRows(epoch uint64, table int) (rows []reading) {
	n := map[uint64]int{3: 60, 5: 200, 6: 0, 7: 60, 8: 0}
	count, ok := n[epoch]
	if !ok {
		count = 12
	}
	for i := range count {
		d := (i*7 + int(epoch)) % 45
		rows = append(rows, reading{fmt.Sprintf("dev-%02d", d), int64(epoch)*9*second + int64(d%10-table*5)*second, 1, int64(epoch)*1000 + int64(i)})
	}
	return rows
}

// sweepWant is what a reader sees behind an epoch.
func sweepWant(epoch uint64, table int) []string {
	last := map[string]string{}
	newest, starts := int64(0), map[string]int64{}
	for e := range epoch + 1 {
		if e == 0 {
			continue
		}
		for _, r := range sweepRows(e, table) {
			key := fmt.Sprintf("%s/%d", r.device, r.start)
			last[key] = fmt.Sprintf("%s=%d", key, r.n)
			starts[key] = r.start
			newest = max(newest, r.start)
		}
	}
	var out []string
	for key, row := range last {
		if table == 0 || starts[key] >= newest-int64(sweepRetain/time.Microsecond) {
			out = append(out, row)
		}
	}
	slices.Sort(out)
	return out
}

// sweepJob is one start of the job.
type sweepJob struct {
	sinks   [2]*epochSink
	writers [2]connector.SinkWriter
	pool    *batch.Pool
}

func startSweep(ctx context.Context, files vfs.FS, d pair) (*sweepJob, error) {
	j := &sweepJob{pool: batch.NewPool(readings, 20)}
	for i, name := range sweepNames {
		x, err := Registration.NewEpochSink(settings(byDevice, time.Duration(i)*sweepRetain), connector.SinkEnv{Name: name, Schema: readings, DataDir: "data", FS: files})
		if err != nil {
			return j, err
		}
		s := x.(*epochSink)
		s.sizes = sizes{gather: 1500, chunk: 300, batch: 4000, file: 1500}
		s.table.store.disk.retry = time.Millisecond
		s.table.store.now = func() time.Time { return time.Unix(1<<40, 0) }
		j.sinks[i] = s
		if err := s.Recover(ctx, d.epoch, d.c[i]); err != nil {
			return j, err
		}
		if j.writers[i], err = s.Writer(ctx, connector.WriterEnv{}); err != nil {
			return j, err
		}
	}
	return j, nil
}

// epoch runs one epoch up to its decision and returns what was decided.
func (j *sweepJob) epoch(ctx context.Context, id uint64) (pair, error) {
	d := pair{epoch: id}
	for i, w := range j.writers {
		rows := sweepRows(id, i)
		for len(rows) > 0 {
			n := min(len(rows), 20)
			if err := w.Write(ctx, fill(j.pool.Get(), rows[:n])); err != nil {
				return d, err
			}
			rows = rows[n:]
		}
		p, err := w.Prepare(ctx, connector.Epoch{ID: id})
		if err != nil {
			return d, err
		}
		c, err := p.Persist(ctx)
		if err != nil {
			return d, err
		}
		d.c[i] = []connector.Committable{c}
	}
	return d, nil
}

func (j *sweepJob) commit(ctx context.Context, d pair) error {
	for i, s := range j.sinks {
		for range 2 { // it may be repeated
			if err := s.Commit(ctx, d.epoch, d.c[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (j *sweepJob) close() error {
	var errs []error
	for _, s := range j.sinks {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}

// sweepEpochs is the number of epochs, with a start anew in the middle.
const sweepEpochs = 9

// runSweep runs all epochs and calls decide with each decision.
func runSweep(ctx context.Context, files vfs.FS, decide func(pair)) error {
	d := pair{}
	for _, last := range []uint64{4, sweepEpochs} {
		j, err := startSweep(ctx, files, d)
		for err == nil && d.epoch < last {
			var next pair
			if next, err = j.epoch(ctx, d.epoch+1); err == nil {
				d = next
				decide(d)
				err = j.commit(ctx, d)
			}
		}
		if err := errors.Join(err, j.close()); err != nil {
			return err
		}
	}
	return nil
}

// checkSweep proves that what lies in files is what a crash may leave when d is decided.
func checkSweep(ctx context.Context, t testing.TB, files vfs.FS, d pair) error {
	held := [2]uint64{}
	reader(t, files, func(s *store) {
		all, err := s.definitions()
		if err != nil {
			t.Fatal(err)
		}
		for _, def := range all {
			i := slices.Index(sweepNames[:], def.Name)
			held[i], err = (&epochSink{table: newTable(s, def)}).readApplied()
			if err != nil {
				t.Fatal(err)
			}
		}
	})
	for i, name := range sweepNames {
		if held[i] > d.epoch {
			return fmt.Errorf("epoch %d is in the table, %d is decided", held[i], d.epoch)
		}
		if got, want := visible(t, files, name), sweepWant(held[i], i); !same(got, want) && !outlived(got, held[i], i) {
			return fmt.Errorf("a reader of %s, with epoch %d, sees\n%v, want\n%v", name, held[i], got, want)
		}
	}
	for _, more := range []bool{false, true} {
		j, err := startSweep(ctx, files, d)
		if err == nil {
			err = j.atEpoch(t, d.epoch)
		}
		if err == nil && more {
			err = j.another(ctx, t, d.epoch+1)
		}
		if err = errors.Join(err, j.close()); err != nil {
			return fmt.Errorf("recovery: %w", err)
		}
	}
	return nil
}

// another runs an epoch and checks it.
func (j *sweepJob) another(ctx context.Context, t testing.TB, epoch uint64) error {
	next, err := j.epoch(ctx, epoch)
	if err == nil {
		err = j.commit(ctx, next)
	}
	if err != nil {
		return err
	}
	return j.atEpoch(t, epoch)
}

// atEpoch checks rows and what lies behind them.
func (j *sweepJob) atEpoch(t testing.TB, epoch uint64) error {
	for i, s := range j.sinks {
		got := scanAll(t, s.table)
		if want := sweepWant(epoch, i); !same(got, want) && !outlived(got, epoch, i) {
			return fmt.Errorf("%s holds\n%v, want\n%v", sweepNames[i], got, want)
		}
		if n := entries(t, s.table.store, tagStaged); n > 0 {
			return fmt.Errorf("%d staged records are left", n)
		}
	}
	return nil
}

func same(got, want []string) bool {
	got = slices.Sorted(slices.Values(got))
	return slices.Equal(got, want)
}

// outlived reports whether all that is wrong with rows is that old buckets are still
// there: those of epoch 5 go behind its files, and the next cut is that of epoch 7.
func outlived(got []string, epoch uint64, table int) bool {
	if table == 0 || epoch != 5 && epoch != 6 {
		return false
	}
	before, want := sweepWant(4, table), sweepWant(epoch, table)
	return !slices.ContainsFunc(want, func(row string) bool { return !slices.Contains(got, row) }) &&
		!slices.ContainsFunc(got, func(row string) bool { return !slices.Contains(want, row) && !slices.Contains(before, row) })
}

func TestCrashSweep(t *testing.T) {
	mem := vfs.NewCrashableMem()
	rng := rand.New(rand.NewPCG(7, 7))
	type state struct {
		what string
		mem  *vfs.MemFS
		d    pair
	}
	var (
		mu     sync.Mutex
		d      pair
		states []state
		hit    = map[string]int{}
	)
	keep := func(what string, percents ...int) {
		mu.Lock()
		defer mu.Unlock()
		for _, p := range percents {
			states = append(states, state{fmt.Sprintf("%s, %d %% kept", what, p), mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: p, RNG: rng}), d})
		}
	}
	files := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			keep(fmt.Sprintf("before operation %d on %s", op.Kind, op.Path), 0, 50, 100)
		}
		return nil
	}))
	connectortest.MakeDir(t, files, absolute(t))
	stop := failpoint.Observe(func(name string) {
		hit[name]++ // goroutines of one store, one after the other
		keep("at "+name, 0, 100)
	})
	err := runSweep(t.Context(), files, func(next pair) {
		mu.Lock()
		defer mu.Unlock()
		d = next
	})
	stop()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range failpoint.Names() {
		if strings.HasPrefix(name, "table/") && hit[name] == 0 && name != "table/recovery-applied" { // that one is reached below
			t.Errorf("the sweep does not come by %s", name)
		}
	}
	wrong := 0
	for i, s := range states {
		if i%every != 0 {
			continue
		}
		if err := checkSweep(t.Context(), t, s.mem, s.d); err != nil {
			if wrong++; wrong <= 3 {
				t.Errorf("%s, epoch %d decided: %v", s.what, s.d.epoch, err)
			}
		}
	}
	t.Logf("%d of %d states are wrong", wrong, len(states)/every)
}
