package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// directory syncs one directory. Those who ask while a sync is under way share the next one.
type directory struct {
	files vfs.FS
	path  string
	asked atomic.Uint64 // number of calls so far
	mu    sync.Mutex    // held during a sync
	done  uint64        // the calls whose names a sync has covered; guarded by mu
	lost  error         // the sync that failed, for good; guarded by mu
}

// sync returns nil when all names that were given before the call are durable.
func (d *directory) sync() error {
	mine := d.asked.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lost != nil {
		return d.lost
	}
	if d.done >= mine {
		return nil
	}
	upTo := d.asked.Load()
	if err := syncDir(d.files, d.path); err != nil {
		d.lost = err
		return err
	}
	d.done = upTo
	return nil
}

func syncDir(files vfs.FS, path string) error {
	f, err := files.OpenDir(path)
	if err != nil {
		return fmt.Errorf("open the directory %s: %w", path, err)
	}
	err = f.Sync()
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("sync the directory %s: %w", path, err)
	}
	return nil
}

// makeDir makes a directory durable with all above it that are missing. One that is
// there may have been made by a process that was killed before it synced, so the
// directory above it is synced as well; above that it did so itself.
func makeDir(files vfs.FS, path string) error {
	parent := files.PathDir(path)
	info, err := files.Stat(path)
	switch {
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s is no directory", path)
	case err == nil && parent == path:
		return nil
	case err == nil:
		if err := syncDir(files, parent); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		return nil // somebody else's, if we may not even read it
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := makeDir(files, parent); err != nil {
		return err
	}
	if err := files.MkdirAll(path, 0o700); err != nil {
		return err
	}
	return syncDir(files, parent)
}
