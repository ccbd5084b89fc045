package disk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
)

var (
	schema = &batch.Schema{Time: -1, Fields: []batch.Field{{Name: "k", Kind: batch.String}}}
	count  = state.Layout{Init: []uint64{0, 7, 7}}
)

// add counts the keys from, from+1, ... in a pane.
func add(s *Backend, id int64, from, n int) error {
	pool := batch.NewPool(schema, 500)
	enc := state.NewKeyEncoder(schema, []int{0})
	var refs [500]record.Ref
	for at := from; at < from+n; at += 500 {
		b := pool.Get()
		rows := min(500, from+n-at)
		for i := range rows {
			b.Col(0).SetText(i, fmt.Sprintf("key-%d", at+i))
		}
		b.SetLen(rows)
		k := enc.Encode(b)
		p, err := s.Pane(id)
		if err == nil {
			err = p.Locate(k, refs[:])
		}
		if err != nil {
			b.Release()
			return err
		}
		for _, r := range refs[:rows] {
			*p.Block().Int(r, 0)++
		}
		b.Release()
	}
	return nil
}

// sum scans a pane: the number of records, and of rows in them.
func sum(t *testing.T, s *Backend, id int64) (records, rows int) {
	t.Helper()
	p, err := s.Pane(id)
	if err != nil {
		t.Fatal(err)
	}
	var refs [100]record.Ref
	for n, c := p.Scan(0, refs[:]); n > 0; n, c = p.Scan(c, refs[:]) {
		for _, r := range refs[:n] {
			records++
			rows += int(*p.Block().Int(r, 0))
		}
	}
	return records, rows
}

// injector fails operations as its function says.
type injector func(op errorfs.Op) error

func (f injector) String() string                 { return "injector" }
func (f injector) MaybeError(op errorfs.Op) error { return f(op) }

func openedOn(t *testing.T, fs vfs.FS) *Backend {
	t.Helper()
	s, err := open(count, keygroup.All, Options{Dir: "state", FS: fs, Log: silent}, sizes{rows: 200 << 10, memTable: 256 << 10, cache: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMemoryStaysWithinTheLimit(t *testing.T) {
	const limit = MinMemory
	s, err := New(count, keygroup.All, Options{Dir: "state", FS: vfs.NewMem(), MemoryLimit: limit, Log: silent})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const keys, step = 250_000 / scale, 10_000 / scale // 12 MB as records alone
	for from := 0; from < keys; from += step {
		if err := add(s, int64(from/step%3), from, step); err != nil {
			t.Fatal(err)
		}
		if got := s.Bytes(); got > limit {
			t.Fatalf("%d bytes behind %d keys, the limit is %d", got, from+step, limit)
		}
		if from/step%10 != 9 {
			continue
		}
		c, err := s.Cut(keygroup.Range{First: 100, End: 200})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Bytes(); got > limit {
			t.Fatalf("%d bytes behind a cut, the limit is %d", got, limit)
		}
		if err := c.Chunks(func(*state.Chunk) error { return nil }); err != nil {
			t.Fatal(err)
		}
		c.Release()
	}
	records := 0
	for id := range int64(3) {
		n, _ := sum(t, s, id)
		records += n
	}
	if records != keys {
		t.Errorf("%d records of %d", records, keys)
	}
}

func TestALimitThatIsTooSmallIsRefused(t *testing.T) {
	_, err := New(count, keygroup.All, Options{Dir: "state", FS: vfs.NewMem(), MemoryLimit: MinMemory - 1, Log: silent})
	if err == nil || !strings.Contains(err.Error(), "too small") {
		t.Errorf("%v", err)
	}
}

func TestTheDirectoryBelongsToTheBackend(t *testing.T) {
	fs := vfs.NewCrashableMem()
	for range 2 {
		s := openedOn(t, fs)
		const keys = 20_000 / scale
		if err := add(s, 1, 0, keys); err != nil {
			t.Fatal(err)
		}
		// No Close: the process was killed.
		again := openedOn(t, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 2))}))
		if records, _ := sum(t, again, 1); records != 0 {
			t.Errorf("a new backend has %d records", records)
		}
		again.Close()
		s.Close()
		if _, err := fs.Stat("state"); err == nil {
			t.Error("the directory is still there")
		}
	}
}

// TestAFailedReadIsNotAnEndOfTheRecords: Scan cannot say that it failed, so
// whatever the operator does next must.
func TestAFailedReadIsNotAnEndOfTheRecords(t *testing.T) {
	var broken atomic.Bool
	s := openedOn(t, errorfs.Wrap(vfs.NewMem(), injector(func(op errorfs.Op) error {
		if broken.Load() && op.Kind == errorfs.OpFileReadAt && strings.HasSuffix(op.Path, ".sst") {
			return syscall.EIO
		}
		return nil
	})))
	defer s.Close()
	if err := add(s, 1, 0, 60_000); err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	if records, _ := sum(t, s, 1); records == 60_000 {
		t.Skip("all was in caches")
	}
	s.Drop(1)
	if ids := s.Panes(); len(ids) != 1 {
		t.Errorf("panes %v: what was not shown was dropped", ids)
	}
	if _, err := s.Pane(1); !errors.Is(err, syscall.EIO) {
		t.Errorf("Pane: %v", err)
	}
	if _, err := s.Cut(keygroup.All); !errors.Is(err, syscall.EIO) {
		t.Errorf("Cut: %v", err)
	}
	if err := add(s, 1, 0, 10); !errors.Is(err, syscall.EIO) {
		t.Errorf("Locate: %v", err)
	}
}

// TestAFullDiskThatGetsSpaceAgain: the task waits, and nothing is lost.
func TestAFullDiskThatGetsSpaceAgain(t *testing.T) {
	var full atomic.Int64
	s := openedOn(t, errorfs.Wrap(vfs.NewMem(), injector(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWrite && strings.HasSuffix(op.Path, ".sst") && full.Load() > 0 {
			full.Add(-1)
			return syscall.ENOSPC
		}
		return nil
	})))
	defer s.Close()
	if err := add(s, 1, 0, 10_000/scale); err != nil {
		t.Fatal(err)
	}
	const keys = 60_000 / scale
	full.Store(40 / scale)
	for round := range 3 {
		if err := add(s, 1, 0, keys); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	if full.Load() > 0 {
		t.Errorf("%d writes were still to fail", full.Load())
	}
	if records, rows := sum(t, s, 1); records != keys || rows != 190_000/scale {
		t.Errorf("%d records and %d rows, want %d and %d", records, rows, keys, 190_000/scale)
	}
}

// TestAScanGoesOnBesideAnotherPane: what other panes do to the memory does not end it.
func TestAScanGoesOnBesideAnotherPane(t *testing.T) {
	s := openedOn(t, vfs.NewMem())
	defer s.Close()
	const keys = 20_000 / scale
	if err := add(s, 1, 0, keys); err != nil {
		t.Fatal(err)
	}
	p, err := s.Pane(1)
	if err != nil {
		t.Fatal(err)
	}
	var refs [100]record.Ref
	records := 0
	for n, c := p.Scan(0, refs[:]); n > 0; n, c = p.Scan(c, refs[:]) {
		records += n
		if err := add(s, 2, records*3, 300); err != nil {
			t.Fatal(err)
		}
	}
	if records != keys {
		t.Errorf("%d records", records)
	}
}
