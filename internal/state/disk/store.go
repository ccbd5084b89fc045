package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ExitStore is the exit code of the process when the database gives up.
const ExitStore = 74

// memTables is how many memory tables the database has at a time: one that is
// written, one that is flushed, and one that is about to be freed.
const memTables = 3

// sizes is how a memory limit is shared out.
type sizes struct {
	rows     int // rows in memory and the copies of a cut
	memTable int // of each of memTables
	cache    int // of blocks
}

// database returns what the database takes at most.
func (s sizes) database() int { return memTables*s.memTable + s.cache }

// MinMemory is the smallest memory limit.
const MinMemory = 8 << 20

// share gives most of the limit to rows. The database would use more, but rows
// that it never sees are cheaper than any that it caches.
func share(limit int64) (sizes, error) {
	if limit < MinMemory {
		return sizes{}, fmt.Errorf("a memory limit of %d bytes for state on disk is too small: it takes at least %d", limit, MinMemory)
	}
	s := sizes{memTable: int(min(limit/16, 32<<20)), cache: int(min(limit/8, 256<<20))}
	s.rows = int(limit) - s.database()
	return s, nil
}

// openStore makes an empty database in dir. It outlives nothing, so it has no log
// and nothing is ever synced.
func openStore(dir string, fs vfs.FS, size sizes, log *slog.Logger) (*pebble.DB, error) {
	if err := errors.Join(fs.RemoveAll(dir), fs.MkdirAll(dir, 0o700)); err != nil {
		return nil, err
	}
	o := &pebble.Options{
		FS:                          scratch{fs},
		FormatMajorVersion:          pebble.FormatNewest,
		DisableWAL:                  true,
		MemTableSize:                uint64(size.memTable),
		MemTableStopWritesThreshold: 2,
		CacheSize:                   int64(size.database()), // the database takes memory tables out of it
		MaxOpenFiles:                256,
		// Few compactions: reads are mostly answered by filters, and all of it dies young.
		L0CompactionThreshold:      8,
		L0StopWritesThreshold:      24,
		CompactionConcurrencyRange: func() (int, int) { return 1, 1 },
		Logger:                     storeLog{log, dir},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) {
				log.Error("state on disk cannot be written: the task waits until it can", "dir", dir, "error", err,
					"hint", "check the space on the disk: df -h "+dir)
			},
			// Without this the database ends the process; the read fails, too, and so does the task.
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				log.Error("a file of state on disk is damaged", "dir", dir, "file", i.Path, "error", i.Details)
			},
		},
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = 8 << 10
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return pebble.Open(dir, o)
}

// scratch is a file system for files that need not survive the process.
type scratch struct{ vfs.FS }

// Create makes a file that is never synced.
func (s scratch) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.Create(name, c)
	if err != nil {
		return nil, err
	}
	return scratchFile{f}, nil
}

// OpenDir opens a directory that is never synced.
func (s scratch) OpenDir(name string) (vfs.File, error) {
	f, err := s.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return scratchFile{f}, nil
}

type scratchFile struct{ vfs.File }

// Sync does nothing.
func (scratchFile) Sync() error { return nil }

// SyncData does nothing.
func (scratchFile) SyncData() error { return nil }

// SyncTo does nothing.
func (scratchFile) SyncTo(int64) (bool, error) { return false, nil }

// Preallocate does nothing.
func (scratchFile) Preallocate(int64, int64) error { return nil }

// storeLog passes on what the database has to say. Its progress is of no interest to a user.
type storeLog struct {
	log *slog.Logger
	dir string
}

// Infof drops the message.
func (l storeLog) Infof(string, ...any) {}

// Errorf logs the message.
func (l storeLog) Errorf(format string, args ...any) {
	l.log.Error("state on disk", "dir", l.dir, "error", fmt.Sprintf(format, args...))
}

// Fatalf ends the process: the database calls it with its locks held, and no call may return.
func (l storeLog) Fatalf(format string, args ...any) {
	l.log.Error("state on disk cannot go on: the process ends, and the next run goes on from the last checkpoint",
		"dir", l.dir, "error", fmt.Sprintf(format, args...), "exit_code", ExitStore,
		"hint", "check the disk (space, errors in the kernel log), then start again")
	os.Exit(ExitStore) //nolint:forbidigo // the database demands that Fatalf does not return
}
