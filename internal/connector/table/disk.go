package table

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ExitStore is the exit code of the process when a file of a store cannot be
// written (invariant T5).
const ExitStore = 74

// The times of a full disk.
const (
	fullRetry = 100 * time.Millisecond // between two tries of a write
	fullSay   = 10 * time.Second       // between two messages
)

// disk is the file system below a store.
//
//   - A failed sync is final: what is on disk is unknown, so the process ends with
//     ExitStore and the next start recovers.
//   - Once the directory is locked, a write for which there is no space waits until
//     there is. Such a write has written nothing, so trying again is safe.
//   - Every other failure to write is final, too.
//
// It makes the name of a new file durable with the first sync of the file, and
// syncs the directory before a marker is removed: Pebble leaves it at one sync of the
// directory later on, and a file system that keeps names in another order than they
// were made could then keep the marker without the manifest that it names, or neither.
//
// It reserves no space: Pebble would reserve a whole log for every few rows of a
// small table, and gains nothing by it.
type disk struct {
	vfs.FS
	dir   string
	log   *slog.Logger
	retry time.Duration
	armed atomic.Bool   // the store is open
	hurry chan struct{} // closed when the store is about to be closed: nobody waits any more

	mu       sync.Mutex
	full     bool                    // guarded by mu: a write waits for space
	said     time.Time               // guarded by mu: when a message last told so
	watchers map[int]func(full bool) // guarded by mu
	next     int                     // guarded by mu: of watchers
}

func newDisk(files vfs.FS, dir string, log *slog.Logger) *disk {
	return &disk{FS: files, dir: dir, log: log, retry: fullRetry, hurry: make(chan struct{}), watchers: map[int]func(bool){}}
}

// watch has f called whenever writes begin or cease to wait for space, until stop is called.
func (d *disk) watch(f func(full bool)) (stop func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.next
	d.next++
	d.watchers[n] = f
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.watchers, n)
	}
}

// isFull reports whether a write waits for space.
func (d *disk) isFull() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.full
}

// do runs one operation that writes, as often as it takes.
func (d *disk) do(op, name string, f func() error) error {
	err := f()
	if err == nil || op != opSync && !d.armed.Load() {
		return err
	}
	for err != nil {
		if !noSpace(err) || op == opSync || !d.wait(err) {
			d.fatal("the table store cannot be written", "operation", op, "file", name, "error", err)
			return err
		}
		err = f()
	}
	d.tell(false, nil)
	return nil
}

// opSync is the operation that is never tried again.
const opSync = "sync"

func noSpace(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// wait lets some time pass; false means that there is none.
func (d *disk) wait(cause error) bool {
	d.tell(true, cause)
	t := time.NewTimer(d.retry)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-d.hurry:
		return false
	}
}

// tell notes that a write found no space, or that one has got it after all.
func (d *disk) tell(full bool, cause error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if full != d.full {
		d.full = full
		for _, f := range d.watchers {
			f(full)
		}
		if !full {
			d.log.Info("the disk of the table store has space again", "dir", d.dir)
		}
	}
	if now := time.Now(); full && now.Sub(d.said) >= fullSay {
		d.said = now
		d.log.Warn("the disk of the table store is full: pipelines wait for space, reads go on",
			"dir", d.dir, "error", cause, "hint", "see df -h "+d.dir+"; pipelines go on by themselves when there is space")
	}
}

// fatal ends the process. Pebble calls it with its locks held, so no call may return.
func (d *disk) fatal(message string, args ...any) {
	d.log.Error(message+": the process ends so that nothing unwritten is taken for written",
		append(args, "dir", d.dir, "exit_code", ExitStore,
			"hint", "check the disk (df -h "+d.dir+", errors in the kernel log), then start again")...)
	exit(ExitStore)
}

// exit must not return. Simulations of failing disks replace it.
var exit = os.Exit //nolint:forbidigo // see fatal

// syncDir makes the names in the directory of a file durable.
func (d *disk) syncDir(file string) error {
	f, err := d.OpenDir(d.PathDir(file))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Remove removes a file.
func (d *disk) Remove(name string) error {
	if strings.HasPrefix(d.PathBase(name), "marker.") {
		if err := d.syncDir(name); err != nil {
			return err
		}
	}
	return d.FS.Remove(name)
}

// file wraps a file that is open for writing.
func (d *disk) file(op, name string, open func() (vfs.File, error)) (vfs.File, error) {
	var f vfs.File
	err := d.do(op, name, func() (err error) { f, err = open(); return err })
	if err != nil {
		return nil, err
	}
	return &diskFile{File: f, disk: d, name: name, fresh: true}, nil
}

// Create makes a file.
func (d *disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.file("create", name, func() (vfs.File, error) { return d.FS.Create(name, c) })
}

// OpenReadWrite opens a file.
func (d *disk) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return d.file("open", name, func() (vfs.File, error) { return d.FS.OpenReadWrite(name, c, o...) })
}

// OpenDir opens a directory, to make names in it durable.
func (d *disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &diskFile{File: f, disk: d, name: name}, nil
}

// ReuseForWrite takes over a log that is of no use any more. Pebble makes a new one if it is gone.
func (d *disk) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if _, err := d.Stat(from); errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return d.file("rename", to, func() (vfs.File, error) { return d.FS.ReuseForWrite(from, to, c) })
}

// Link gives a file another name.
func (d *disk) Link(from, to string) error {
	return d.do("link", to, func() error { return d.FS.Link(from, to) })
}

// Rename gives a file a new name.
func (d *disk) Rename(from, to string) error {
	return d.do("rename", to, func() error { return d.FS.Rename(from, to) })
}

// MkdirAll makes a directory.
func (d *disk) MkdirAll(dir string, perm os.FileMode) error {
	return d.do("make directory", dir, func() error { return d.FS.MkdirAll(dir, perm) })
}

// diskFile is a file or directory of a disk.
type diskFile struct {
	vfs.File
	disk  *disk
	name  string
	fresh bool // the name may not be durable
}

// Write writes all of p.
func (f *diskFile) Write(p []byte) (n int, err error) {
	err = f.disk.do("write", f.name, func() error {
		m, err := f.File.Write(p[n:])
		n += m
		return err
	})
	return n, err
}

// WriteAt writes all of p at an offset.
func (f *diskFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.disk.do("write", f.name, func() error {
		m, err := f.File.WriteAt(p[n:], off+int64(n))
		n += m
		return err
	})
	return n, err
}

// Preallocate does nothing.
func (f *diskFile) Preallocate(int64, int64) error { return nil }

// Sync makes the file durable.
func (f *diskFile) Sync() error { return f.sync(f.File.Sync) }

// SyncData makes what was written durable.
func (f *diskFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *diskFile) sync(all func() error) error {
	if err := f.disk.do(opSync, f.name, all); err != nil || !f.fresh {
		return err
	}
	f.fresh = false
	return f.disk.syncDir(f.name)
}

// SyncTo makes the beginning of the file durable, or begins to.
func (f *diskFile) SyncTo(length int64) (full bool, err error) {
	err = f.disk.do(opSync, f.name, func() (err error) { full, err = f.File.SyncTo(length); return err })
	return full, err
}

// storeLog passes on what Pebble has to say. Its progress is of no interest to a user.
type storeLog struct{ *disk }

// Infof says nothing.
func (l storeLog) Infof(string, ...any) {}

// Errorf logs an error.
func (l storeLog) Errorf(format string, args ...any) {
	l.log.Error("table store", "dir", l.dir, "error", fmt.Sprintf(format, args...))
}

// Fatalf ends the process.
func (l storeLog) Fatalf(format string, args ...any) {
	l.fatal("the table store cannot go on", "error", fmt.Sprintf(format, args...))
}
