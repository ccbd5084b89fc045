package table

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/connectortest"
)

// small makes epochs of a few rows take every way that large ones take.
var small = sizes{gather: 2500, chunk: 300, batch: 5000, file: 1500}

// newSinkOver opens a table with epochs on a file system.
func newSinkOver(t testing.TB, files vfs.FS, name string, sizes sizes) *epochSink {
	t.Helper()
	x, err := Registration.NewEpochSink(settings(byDevice, 0), connector.SinkEnv{Name: name, Schema: readings, DataDir: "data", FS: files})
	if err != nil {
		t.Fatal(err)
	}
	s := x.(*epochSink)
	s.sizes = sizes
	return s
}

// reader calls f with the store of the file system as a reader has it, open or not; nil: there is none.
func reader(t testing.TB, files vfs.FS, f func(s *store)) {
	t.Helper()
	at := location{files, absolute(t)}
	openStores.mu.Lock()
	s := openStores.by[at]
	openStores.mu.Unlock()
	if s != nil {
		f(s)
		return
	}
	if _, err := files.Stat(files.PathJoin(at.dir, createdFile)); errors.Is(err, fs.ErrNotExist) {
		return
	}
	s, err := openStored(at)
	if err != nil {
		t.Fatal(err)
	}
	f(s)
	if err := s.release(); err != nil {
		t.Fatal(err)
	}
}

// visible returns all rows of the named table that a reader sees.
func visible(t testing.TB, files vfs.FS, name string) (out []string) {
	t.Helper()
	reader(t, files, func(s *store) {
		all, err := s.definitions()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range all {
			if d.Name == name {
				out = scanAll(t, newTable(s, d))
			}
		}
	})
	return out
}

func scanAll(t testing.TB, tab *table) (out []string) {
	t.Helper()
	c, refusal := tab.bind(make([]limits, len(tab.def.Key)), false)
	if refusal != nil {
		t.Fatal(refusal)
	}
	it, err := newScan(tab, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.close()
	columns := []int{0, 1, 2, 3}
	r := tab.reader(it, columns)
	pool := batch.NewPool(tab.def.schema(columns), 100)
	for {
		b := pool.Get()
		n, _, err := r.batch(b, 100)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			out = append(out, fmt.Sprintf("%s/%d=%d", b.Col(0).Bytes(i), b.Col(1).Int64s()[i], b.Col(3).Int64s()[i]))
		}
		b.Release()
		if n == 0 {
			return out
		}
	}
}

// entries counts the keys of a store behind its tables with the tag.
func entries(t testing.TB, s *store, tag byte) (n int) {
	t.Helper()
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: epochKey(tag, 0), UpperBound: epochKey(tag+1, 0)})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	return n
}

func epochCase() connectortest.EpochCase {
	return connectortest.EpochCase{
		Schema: readings,
		Row: func(i int) []any {
			return []any{fmt.Sprintf("dev-%04d", i*7919%10_000), int64(i), float64(i), int64(i)}
		},
		Text: func(i int) string { return fmt.Sprintf("dev-%04d/%d=%d", i*7919%10_000, i, i) },
		New:  func(t testing.TB) connectortest.EpochPlace { return tableOn(t, vfs.NewMem(), small) },
	}
}

// tableOn is a table on a file system.
func tableOn(t testing.TB, files vfs.FS, sizes sizes) connectortest.EpochPlace {
	t.Helper()
	connectortest.MakeDir(t, files, absolute(t))
	return connectortest.EpochPlace{
		Sink: func(t testing.TB) connector.Sink { return newSinkOver(t, files, "t", sizes) },
		Rows: func(t testing.TB) []string { return visible(t, files, "t") },
	}
}

func TestEpochs(t *testing.T) {
	for _, writers := range []int{1, 3} {
		c := epochCase()
		c.Writers = writers
		connectortest.Epochs(t, c)
	}
}

func TestEpochsOnADisk(t *testing.T) {
	t.Chdir(t.TempDir())
	c := epochCase()
	c.New = func(t testing.TB) connectortest.EpochPlace {
		t.Helper()
		if err := vfs.Default.RemoveAll("data"); err != nil {
			t.Fatal(err)
		}
		return connectortest.EpochPlace{
			Sink: func(t testing.TB) connector.Sink { return newSinkOver(t, vfs.Default, "t", defaultSizes) },
			Rows: func(t testing.TB) []string { return visible(t, vfs.Default, "t") },
		}
	}
	connectortest.Epochs(t, c)
}

func TestPowerLoss(t *testing.T) {
	c := epochCase()
	c.Every = every // not a divisor or multiple of the seven fates of each operation
	connectortest.PowerLoss(t, c, func(t testing.TB, files vfs.FS) connectortest.EpochPlace { return tableOn(t, files, defaultSizes) })
}

// absolute returns the directory of the store in newSinkOver.
func absolute(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("data", Dir))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
