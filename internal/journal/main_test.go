package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.uber.org/goleak"

	"github.com/gorge-stream/gorge/internal/diag"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const dir = "data/journal/readings"

// options are those of a journal with files of a few records.
func options(fs vfs.FS) Options {
	return Options{FS: fs, Dir: dir, Limit: 1 << 20, Segment: 600, Memory: 300, Now: func() time.Time { return time.UnixMicro(1_760_000_000_000_000) }}
}

func mustOpen(t testing.TB, o Options) *Journal {
	t.Helper()
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

// record is the record of a sequence: its content follows from the number.
func record(seq uint64) *Record {
	r := &Record{Tag: uint8(seq), Keyed: seq%3 != 0, Payload: fmt.Appendf(nil, "record %d ", seq)}
	if r.Keyed {
		copy(r.Key[:], fmt.Sprintf("key %d", seq))
	}
	n := int(seq*37) % 150
	if seq%11 == 10 {
		n = 9000 // over several blocks of a disk
	}
	for len(r.Payload) < n {
		r.Payload = append(r.Payload, byte(seq))
	}
	return r
}

// same reports how a record differs from the one of its sequence.
func same(seq uint64, r Record) error {
	want := record(seq)
	if r.Tag != want.Tag || r.Keyed != want.Keyed || r.Key != want.Key || !bytes.Equal(r.Payload, want.Payload) {
		return fmt.Errorf("record %d came back as %q", seq, r.Payload[:min(len(r.Payload), 40)])
	}
	return nil
}

// readAll reads from a record to the end and returns the sequence behind it.
func readAll(j *Journal, from uint64) (next uint64, err error) {
	r, err := j.Read(from)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		g, err := r.Next()
		if errors.Is(err, ErrNone) {
			return from, nil
		}
		if err != nil {
			return from, err
		}
		for seq, rec, ok := g.Next(); ok; seq, rec, ok = g.Next() {
			if seq != from {
				return from, fmt.Errorf("record %d follows %d", seq, from-1)
			}
			if err := same(seq, rec); err != nil {
				return from, err
			}
			from++
		}
	}
}

// history is what the user of a journal is told as time goes by.
type history struct {
	mu sync.Mutex
	told
}

// told is what the user of a journal was told, and has to find again.
type told struct {
	acked    uint64 // records below it were acknowledged
	released uint64 // a checkpoint stands here
	keep     uint64 // keys of records from here on have to be known
}

func (h *history) now() told {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.told
}

func (h *history) set(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

// check opens a journal as the next start of an engine would, and reports what
// is not as the history says. Then it goes on for one more start.
func (h *told) check(fs vfs.FS) error {
	keys := map[Key]uint64{}
	o := options(fs)
	o.Keys = func(k Key, seq uint64, _ int64) { keys[k] = seq }
	j, err := Open(o)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	next, err := readAll(j, max(h.released, j.start))
	switch {
	case err != nil:
	case h.released < j.start:
		err = fmt.Errorf("records %d to %d are gone", h.released, j.start-1)
	case next < h.acked:
		err = fmt.Errorf("the journal ends before record %d, acknowledged was %d", next, h.acked-1)
	}
	for seq := h.keep; seq < h.acked && err == nil; seq++ {
		if r := record(seq); r.Keyed && keys[r.Key] != seq {
			err = fmt.Errorf("the key of record %d is known for %d", seq, keys[r.Key])
		}
	}
	for range 2 {
		if err == nil {
			var seq uint64
			if seq, err = j.Append(record(next)); err == nil && seq != next {
				err = fmt.Errorf("the next record has the number %d, want %d", seq, next)
			}
			next++
		}
	}
	if err = errors.Join(err, j.Close()); err != nil {
		return err
	}
	if j, err = Open(options(fs)); err != nil {
		return fmt.Errorf("open again: %w", err)
	}
	end, err := readAll(j, h.released)
	if err == nil && end != next {
		err = fmt.Errorf("after another start the journal ends before %d, want %d", end, next)
	}
	return errors.Join(err, j.Close())
}

// script uses a journal over two starts in every way there is. What the caller
// was told is in h; the error is the first one that it saw.
func script(fs vfs.FS, h *history) error {
	if err := start(fs, h, []int{1, 1, 3, 1, 2, 1, 1, 4}, 5, 2); err != nil {
		return err
	}
	if err := start(fs, h, []int{2, 1, 1, 1, 2, 1}, 17, 12); err != nil {
		return err
	}
	return start(fs, h, []int{1, 1, 1}, 24, 22)
}

// start opens the journal, appends groups of records, lets go of some in the middle, and closes it.
func start(fs vfs.FS, h *history, groups []int, release, keep uint64) (err error) {
	j, err := Open(options(fs))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	for i, n := range groups {
		if i == len(groups)-2 {
			h.set(func() { h.released, h.keep = release, keep })
			if err := j.Trim(release, keep); err != nil {
				return err
			}
		}
		var seq uint64
		for range n {
			if seq, err = j.Place(record(j.next)); err != nil {
				return err
			}
		}
		if err := j.Wait(seq); err != nil {
			return err
		}
		h.set(func() { h.acked = seq + 1 })
		if i == len(groups)/2 {
			if _, err := readAll(j, h.now().released); err != nil {
				return err
			}
		}
	}
	return nil
}

// newHistory is that of a journal that was never used.
func newHistory() *history { return &history{told: told{acked: 1, released: 1, keep: 1}} }

// chance is a source of chance that differs by its arguments alone.
func chance(a, b int) *rand.Rand { return rand.New(rand.NewPCG(uint64(a), uint64(b))) }

// observed calls f before every operation of a file system, one at a time.
func observed(fs vfs.FS, f func(op errorfs.Op) error) vfs.FS {
	var mu sync.Mutex
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		return f(op)
	}))
}

// fileOf reads a whole file.
func fileOf(t testing.TB, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// put writes a whole file.
func put(t testing.TB, fs vfs.FS, path string, data []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.Write(bytes.Clone(data))
	}
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// filesOf lists the files of the journal but its lock.
func filesOf(t testing.TB, fs vfs.FS) []string {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return slices.DeleteFunc(names, func(n string) bool { return n == lockName })
}

func wantCode(t testing.TB, err error, code diag.Code) {
	t.Helper()
	var d *diag.Error
	if !errors.As(err, &d) || d.Code != code {
		t.Errorf("got %v, want %s", err, code)
	}
}
