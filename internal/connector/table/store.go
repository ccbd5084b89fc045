package table

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/diag"
)

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
	at   location
	dir  string // of at
	disk *disk
	db   *pebble.DB
	log  *slog.Logger
	now  func() time.Time
	busy sync.WaitGroup // of writes that run beside their callers

	mu     sync.Mutex
	tables map[string]*table // guarded by mu; those opened for writing or found by a read-only store
	refs   int               // guarded by openStores.mu
	closed chan struct{}     // closed when the last holder has closed the database
}

// location is where a store lies.
type location struct {
	files vfs.FS
	dir   string
}

// openStores are the stores that this process has open for writing. Pebble's lock
// is per process, so sinks of one engine must share.
var openStores = &stores{by: map[location]*store{}}

type stores struct {
	mu sync.Mutex
	by map[location]*store // guarded by mu
}

// acquire opens the store in dir, or takes part in it when it is open already.
// Every acquire needs a release.
func acquire(dir string, files vfs.FS, log *slog.Logger) (*store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, diag.New("table/open", "the path %s of the table store is not usable", dir).WithCause(err)
	}
	at := location{files, abs}
	openStores.mu.Lock()
	defer openStores.mu.Unlock()
	for {
		s := openStores.by[at]
		if s == nil {
			break
		}
		if s.refs > 0 {
			s.refs++
			return s, nil
		}
		openStores.mu.Unlock() // it is about to be closed
		<-s.closed
		openStores.mu.Lock()
	}
	s, err := openStore(at, log)
	if err != nil {
		return nil, err
	}
	s.refs = 1
	openStores.by[at] = s
	return s, nil
}

// retain adds a holder to a store that has one.
func (s *store) retain() {
	openStores.mu.Lock()
	defer openStores.mu.Unlock()
	s.refs++
}

// release gives up one hold; the last one closes the database. Then a write that
// waits for space on the disk fails, and the process ends.
func (s *store) release() error {
	openStores.mu.Lock()
	s.refs--
	left := s.refs
	openStores.mu.Unlock()
	if left > 0 {
		return nil
	}
	close(s.disk.hurry)
	s.busy.Wait()
	err := s.db.Close()
	openStores.mu.Lock()
	defer openStores.mu.Unlock()
	if openStores.by[s.at] == s {
		delete(openStores.by, s.at)
	}
	close(s.closed)
	if err != nil {
		return fmt.Errorf("close the table store %s: %w", s.dir, err)
	}
	return nil
}

// do runs a write of the database and waits for it until ctx ends: on a full disk
// a write may take any time. Behind an error it may still be under way.
func (s *store) do(ctx context.Context, write func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	s.busy.Go(func() { done <- write() })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	if s.disk.isFull() {
		return diag.New("table/disk-full", "the disk of the table store %s is full", s.dir).WithCause(ctx.Err()).
			WithHint("make space (df -h %s), then start again: nothing that was decided is lost", s.dir)
	}
	return ctx.Err()
}

// openStore opens or makes the database for writing.
func openStore(at location, log *slog.Logger) (*store, error) {
	dir := at.dir
	s := newStore(at, log)
	if err := s.disk.MkdirAll(dir, 0o700); err != nil {
		return nil, diag.New("table/open", "the directory %s of the table store cannot be made", dir).WithCause(err).
			WithHint("check its owner and permissions, or set another data directory")
	}
	lock, err := pebble.LockDirectory(dir, s.disk)
	if err != nil {
		return nil, lockError(dir, err)
	}
	opts := s.options()
	opts.Lock = lock
	// An error in the middle of opening would leave goroutines of Pebble behind that panic.
	s.disk.armed.Store(true)
	s.db, err = openOrCreate(dir, opts)
	// The database has a hold of its own on the lock, if it is open.
	if err = errors.Join(err, lock.Close()); err != nil {
		return nil, openError(dir, err)
	}
	return s, nil
}

// newStore makes a store that is not open yet.
func newStore(at location, log *slog.Logger) *store {
	return &store{at: at, dir: at.dir, disk: newDisk(at.files, at.dir, log), log: log, now: time.Now,
		tables: map[string]*table{}, closed: make(chan struct{})}
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
func (s *store) options() *pebble.Options {
	o := &pebble.Options{
		FS:                          s.disk,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                memTableBytes,
		MemTableStopWritesThreshold: 4,
		CacheSize:                   cacheBytes,
		MaxOpenFiles:                openFiles,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		Logger:                      storeLog{s.disk},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) {
				s.log.Error("the table store has trouble with its files", "dir", s.dir, "error", err)
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
