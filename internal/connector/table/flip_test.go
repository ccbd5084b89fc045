package table

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/connector/connectortest"
	"github.com/gorge-stream/gorge/internal/diag"
)

// TestAFlippedByteIsDetectedOrHarmless flips bytes of every file of a store as a
// crash leaves it, recovers, and reads everything. Whatever lost rows must be an
// error that names the store; what is served must be what was decided.
func TestAFlippedByteIsDetectedOrHarmless(t *testing.T) {
	t.Parallel()
	for _, applied := range []bool{false, true} {
		files, d := crashedStore(t, applied)
		ends := map[string]int{}
		for _, name := range storeFiles(t, files) {
			size := len(content(t, files, name))
			for at := 0; at < size; at += 1 + size*every/60 {
				for _, mask := range []byte{0x01, 0xFF} {
					kind := strings.Split(strings.TrimLeft(files.PathBase(name), "0123456789"), "-")[0]
					ends[kind+" "+flipped(t, files, name, at, mask, d)]++
				}
			}
		}
		t.Logf("applied %v: %v", applied, ends)
		for _, want := range []string{".log refused", ".sst refused", "MANIFEST refused"} {
			if ends[want] == 0 {
				t.Errorf("no flip ended in %q", want)
			}
		}
	}
}

// crashedStore is a store behind some epochs, some of them in files, others in the log.
func crashedStore(t *testing.T, applied bool) (*vfs.MemFS, pair) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	connectortest.MakeDir(t, mem, absolute(t))
	j, err := startSweep(t.Context(), mem, pair{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.close()
	d := pair{}
	for id := uint64(1); id <= 4; id++ {
		if d, err = j.epoch(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if id < 4 || applied {
			if err := j.commit(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		if id == 2 {
			settle(t, j.sinks[0].table.store)
		}
	}
	return mem.CrashClone(everything()), d
}

func storeFiles(t *testing.T, files vfs.FS) (out []string) {
	t.Helper()
	names, err := files.List(absolute(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if i, err := files.Stat(files.PathJoin(absolute(t), n)); err == nil && !i.IsDir() && i.Size() > 0 {
			out = append(out, files.PathJoin(absolute(t), n))
		}
	}
	return out
}

func content(t *testing.T, files vfs.FS, name string) []byte {
	t.Helper()
	f, err := files.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	p, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return p
}

// flipped recovers with one byte changed and says how that ends.
func flipped(t *testing.T, files *vfs.MemFS, name string, at int, mask byte, d pair) string {
	t.Helper()
	left := files.CrashClone(everything())
	p := content(t, left, name)
	p[at] ^= mask
	f, err := left.Create(name, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.Write(p)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	j, err := startSweep(t.Context(), left, d)
	if err == nil {
		err = j.readable(d.epoch)
	}
	_ = j.close() // a damaged store may not close well
	if err == nil {
		return "harmless"
	}
	var e *diag.Error
	if !errors.As(err, &e) || e.Hint == "" || !strings.Contains(diag.Format(err), absolute(t)) {
		t.Errorf("byte %d of %s flipped by %#x: %v", at, name, mask, err)
	}
	return "refused"
}

// readable reads all rows of both tables; they are right or there is an error.
func (j *sweepJob) readable(epoch uint64) error {
	for i, s := range j.sinks {
		var got []string
		if why := attempt(func(t testing.TB) { got = scanAll(t, s.table) }); why != nil {
			return why
		}
		if want := sweepWant(epoch, i); !same(got, want) {
			return fmt.Errorf("%s serves\n%v, want\n%v", sweepNames[i], slices.Sorted(slices.Values(got)), want)
		}
	}
	return nil
}

// attempt runs a helper that ends a test and returns the error by which it did.
func attempt(f func(t testing.TB)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			e, ok := p.(ended)
			if !ok {
				panic(p)
			}
			err = e.err
		}
	}()
	f(ending{})
	return nil
}

// ending is a test that ends by a panic with the error.
type ending struct{ testing.TB }

func (ending) Helper()        {}
func (ending) Fatal(a ...any) { panic(ended{a[0].(error)}) }

type ended struct{ err error }

// everything is a crash of the process alone.
func everything() vfs.CrashCloneCfg {
	return vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))}
}
