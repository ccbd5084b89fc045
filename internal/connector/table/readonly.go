package table

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
)

// ServeStored registers the routes of all tables in the store in dir on mux,
// without an engine and without changing anything. It refuses while an engine
// has the store open. Close the result when mux serves no more.
func ServeStored(dir string, mux connector.Mux) (io.Closer, error) {
	dir, err := filepath.Abs(dir) // locks within a process go by the name of the file
	if err != nil {
		return nil, openError(dir, err)
	}
	s, err := openStored(location{vfs.Default, dir})
	if err != nil {
		return nil, err
	}
	all, err := s.definitions()
	if err != nil {
		return nil, errors.Join(err, s.release())
	}
	a := newAPI(mux)
	for _, d := range all {
		a.add(newTable(s, d))
	}
	return closer(s.release), nil
}

// openStored opens a database for reading alone.
func openStored(at location) (*store, error) {
	s := newStore(at, slog.New(slog.DiscardHandler))
	s.refs = 1
	if _, err := s.disk.Stat(s.disk.PathJoin(s.dir, createdFile)); errors.Is(err, fs.ErrNotExist) {
		return nil, diag.New("table/no-store", "there is no table store in %s", s.dir).
			WithHint("name the data directory of the engine; it holds %q once a pipeline with a table has run", Dir)
	}
	lock, err := pebble.LockDirectory(s.dir, s.disk)
	if err != nil {
		return nil, lockError(s.dir, err)
	}
	opts := s.options()
	opts.Lock, opts.ReadOnly = lock, true
	s.db, err = pebble.Open(s.dir, opts)
	if err = errors.Join(err, lock.Close()); err != nil {
		return nil, openError(s.dir, err)
	}
	return s, nil
}

// closer makes a function an io.Closer.
type closer func() error

// Close calls the function.
func (c closer) Close() error { return c() }
