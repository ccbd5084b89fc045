package table

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/diag"
)

// ExitStore is the exit code of the process when the write-ahead log of a store
// cannot be written (invariant T5).
const ExitStore = 74

// The sizes of a store. Larger memory tables write a little faster, a larger cache
// reads hot blocks faster; small blocks suit reads of single keys.
const (
	memTableBytes = 32 << 20
	cacheBytes    = 32 << 20
	blockBytes    = 4 << 10
	openFiles     = 512
)

// createdFile marks a store whose creation was completed. Creating a Pebble
// database is not atomic: one without the mark that cannot be opened never held
// an acknowledged row and is made again.
const createdFile = "created"

// store is one Pebble database with the tables in it.
type store struct {
	dir string
	db  *pebble.DB
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex
	tables map[string]*table // guarded by mu; those opened for writing or found by a read-only store
	refs   int               // guarded by openStores.mu
}

// openStores are the stores that this process has open for writing, by
// directory. Pebble's lock is per process, so sinks of one engine must share.
var openStores = struct {
	mu    sync.Mutex
	byDir map[string]*store
}{byDir: map[string]*store{}}

// acquire opens the store in dir, or takes part in it when it is open already.
// Every acquire needs a release.
func acquire(dir string, log *slog.Logger) (*store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, diag.New("table/open", "the path %s of the table store is not usable", dir).WithCause(err)
	}
	openStores.mu.Lock()
	defer openStores.mu.Unlock()
	if s := openStores.byDir[abs]; s != nil {
		s.refs++
		return s, nil
	}
	s, err := openStore(abs, vfs.Default, log)
	if err != nil {
		return nil, err
	}
	s.refs = 1
	openStores.byDir[abs] = s
	return s, nil
}

// retain adds a holder to a store that has one.
func (s *store) retain() {
	openStores.mu.Lock()
	defer openStores.mu.Unlock()
	s.refs++
}

// release gives up one hold; the last one closes the database.
func (s *store) release() error {
	openStores.mu.Lock()
	defer openStores.mu.Unlock()
	if s.refs--; s.refs > 0 {
		return nil
	}
	delete(openStores.byDir, s.dir)
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close the table store %s: %w", s.dir, err)
	}
	return nil
}

// openStore opens or makes the database for writing.
func openStore(dir string, files vfs.FS, log *slog.Logger) (*store, error) {
	if err := files.MkdirAll(dir, 0o700); err != nil {
		return nil, diag.New("table/open", "the directory %s of the table store cannot be made", dir).WithCause(err).
			WithHint("check its owner and permissions, or set another data directory")
	}
	lock, err := pebble.LockDirectory(dir, files)
	if err != nil {
		return nil, lockError(dir, err)
	}
	s := &store{dir: dir, log: log, now: time.Now, tables: map[string]*table{}}
	opts := s.options(files)
	opts.Lock = lock
	s.db, err = openOrCreate(dir, opts)
	// The database has a hold of its own on the lock, if it is open.
	if err = errors.Join(err, lock.Close()); err != nil {
		return nil, openError(dir, err)
	}
	return s, nil
}

// openOrCreate opens a store that was completely created, and makes one otherwise.
func openOrCreate(dir string, opts *pebble.Options) (*pebble.DB, error) {
	mark := opts.FS.PathJoin(dir, createdFile)
	_, err := opts.FS.Stat(mark)
	if err == nil {
		opts.ErrorIfNotExists = true
		return pebble.Open(dir, opts)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	db, err := pebble.Open(dir, opts)
	if err != nil {
		if err := removeHalfMade(opts.FS, dir); err != nil {
			return nil, err
		}
		if db, err = pebble.Open(dir, opts); err != nil {
			return nil, err
		}
	}
	if err := writeMark(opts.FS, dir, mark); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// removeHalfMade deletes what a creation that was cut short left; it touches
// nothing if anything else lies in the directory.
func removeHalfMade(files vfs.FS, dir string) error {
	names, err := files.List(dir)
	if err != nil {
		return err
	}
	var ours []string
	for _, n := range names {
		switch ext := files.PathBase(n); {
		case n == "LOCK":
		case strings.HasPrefix(n, "MANIFEST-"), strings.HasPrefix(n, "OPTIONS-"), strings.HasPrefix(n, "marker."),
			strings.HasSuffix(ext, ".sst"), strings.HasSuffix(ext, ".log"), strings.HasSuffix(ext, ".dbtmp"):
			ours = append(ours, n)
		default:
			return fmt.Errorf("%s holds %s, which is no part of a table store", dir, n)
		}
	}
	for _, n := range ours {
		if err := files.Remove(files.PathJoin(dir, n)); err != nil {
			return err
		}
	}
	return nil
}

// writeMark makes the mark durable: the file, then its name.
func writeMark(files vfs.FS, dir, mark string) error {
	f, err := files.Create(mark, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	d, err := files.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// options are the settings of the database.
func (s *store) options(files vfs.FS) *pebble.Options {
	o := &pebble.Options{
		FS:                          thrifty{files},
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                memTableBytes,
		MemTableStopWritesThreshold: 4,
		CacheSize:                   cacheBytes,
		MaxOpenFiles:                openFiles,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		Logger:                      storeLog{s.log, s.dir},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) {
				s.log.Error("the table store cannot write: pipelines wait until it can", "dir", s.dir, "error", err)
			},
			// Without this Pebble ends the process, and a read would do what it liked.
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				s.log.Error("a file of the table store is damaged", "dir", s.dir, "file", i.Path, "error", i.Details)
			},
			FlushEnd: func(pebble.FlushInfo) { s.flushed() },
		},
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = blockBytes
	}
	return o
}

// thrifty is a file system that does not reserve space: Pebble would reserve a
// whole log for every few rows of a small table, and it gains nothing by it.
type thrifty struct{ vfs.FS }

// Create makes a file that takes the space of its bytes.
func (t thrifty) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := t.FS.Create(name, c)
	if err != nil {
		return nil, err
	}
	return thriftyFile{f}, nil
}

// ReuseForWrite takes over a log that is of no use any more.
func (t thrifty) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := t.FS.ReuseForWrite(from, to, c)
	if err != nil {
		return nil, err
	}
	return thriftyFile{f}, nil
}

type thriftyFile struct{ vfs.File }

// Preallocate does nothing.
func (thriftyFile) Preallocate(int64, int64) error { return nil }

// storeLog passes on what Pebble has to say. Its progress is of no interest to a user.
type storeLog struct {
	log *slog.Logger
	dir string
}

func (l storeLog) Infof(string, ...any) {}
func (l storeLog) Errorf(format string, args ...any) {
	l.log.Error("table store", "dir", l.dir, "error", fmt.Sprintf(format, args...))
}

// Fatalf is called with locks of the database held, after a write to the log
// failed: what is on disk is unknown and no call may return. So the process ends.
func (l storeLog) Fatalf(format string, args ...any) {
	l.log.Error("the table store cannot write its log: the process ends so that nothing unwritten is taken for written",
		"dir", l.dir, "error", fmt.Sprintf(format, args...), "exit_code", ExitStore,
		"hint", "check the disk (space, errors in the kernel log), then start again")
	os.Exit(ExitStore) //nolint:forbidigo // Pebble demands that Fatalf does not return
}

func lockError(dir string, err error) error {
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) || strings.Contains(err.Error(), "current process") {
		return diag.New("table/locked", "another process has the table store %s open", dir).WithCause(err).
			WithHint("stop the other engine, ask it over HTTP, or set another data directory")
	}
	return openError(dir, err)
}

func openError(dir string, err error) error {
	// A file that is missing was there when the store was made.
	if pebble.IsCorruptionError(err) || errors.Is(err, pebble.ErrDBDoesNotExist) || errors.Is(err, fs.ErrNotExist) {
		return diag.New("table/corrupt", "the table store %s is damaged", dir).WithCause(err).
			WithHint("restore the directory from a backup, or move it away to begin with empty tables")
	}
	return diag.New("table/open", "the table store %s cannot be opened", dir).WithCause(err).
		WithHint("check its owner and permissions and the space on the disk")
}
