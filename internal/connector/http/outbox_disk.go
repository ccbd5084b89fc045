package httpio

import (
	"errors"
	"io"
	"os"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/failpoint"
)

// The names in the folder of an outbox.
const (
	parcelExt     = ".obx"
	unfinishedExt = ".tmp" // not finished, deleted at the next start
	ledgerName    = "owed"
	lockName      = "LOCK"
)

var (
	ledgerSynced  = failpoint.New("http/ledger-synced")
	ledgerRenamed = failpoint.New("http/ledger-renamed")
	ledgerNamed   = failpoint.New("http/ledger-named")
)

// shelf is the folder of an outbox. Its methods may be called by any goroutine.
type shelf struct {
	fs   vfs.FS
	root string // of all outboxes
	name string // of this one below it
}

func (s *shelf) dir() string             { return s.fs.PathJoin(s.root, s.name) }
func (s *shelf) path(name string) string { return s.fs.PathJoin(s.root, s.name, name) }

// make makes the folder and its name and those of the folders around it durable.
func (s *shelf) make() error {
	if err := s.fs.MkdirAll(s.dir(), 0o755); err != nil {
		return s.failed("create", s.dir(), err)
	}
	// Whoever made a folder around it may have been killed before its name was
	// synced. Folders further up are not the engine's.
	const levels = 4
	for dir, n := s.dir(), 0; n < levels; n++ {
		up := s.fs.PathDir(dir)
		if up == dir {
			break
		}
		if err := s.sync(up); err != nil {
			if n > 1 && errors.Is(err, os.ErrPermission) {
				break // a folder that the engine may not even read is none that it made
			}
			return err
		}
		dir = up
	}
	return nil
}

// sync makes the names in a folder durable.
func (s *shelf) sync(dir string) error {
	d, err := s.fs.OpenDir(dir)
	if err != nil {
		return s.failed("open", dir, err)
	}
	err = d.Sync()
	if closed := d.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return s.failed("sync", dir, err)
	}
	return nil
}

// remove deletes a file; that it is gone already is no error.
func (s *shelf) remove(path string) error {
	if err := s.fs.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return s.failed("delete", path, err)
	}
	return nil
}

// lock makes sure that no other engine uses the folder.
func (s *shelf) lock() (io.Closer, error) {
	l, err := s.fs.Lock(s.path(lockName))
	if errno := syscall.Errno(0); errors.As(err, &errno) && errno != syscall.EAGAIN {
		return nil, s.failed("lock", s.path(lockName), err)
	}
	if err != nil {
		return nil, diag.New("http/outbox-in-use", "another engine uses the outbox %s", s.dir()).WithCause(err).
			WithHint("end the other one, or give this one another folder with --data")
	}
	return l, nil
}

// create makes a file that is not finished.
func (s *shelf) create(name string) (vfs.File, error) {
	f, err := s.fs.Create(s.path(name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, s.failed("create", s.path(name), err)
	}
	return f, nil
}

// publish makes a file durable that is written, closes it, and gives it its name, durably.
// After each step it calls the function for it.
func (s *shelf) publish(f vfs.File, from, to string, steps [3]func()) error {
	var err error
	if !failpoint.Bug("http-outbox-not-synced") {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return s.failed("sync", s.path(from), err)
	}
	steps[0]()
	if err := s.fs.Rename(s.path(from), s.path(to)); err != nil {
		return s.failed("rename", s.path(from), err)
	}
	steps[1]()
	if !failpoint.Bug("http-outbox-name-not-synced") {
		if err := s.sync(s.dir()); err != nil {
			return err
		}
	}
	steps[2]()
	return nil
}

// readLedger returns the ledger, nil when there is none.
func (s *shelf) readLedger() (*ledger, error) {
	path := s.path(ledgerName)
	f, err := s.fs.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, s.failed("open", path, err)
	}
	defer func() { _ = f.Close() }()
	const most = 64 << 20
	b, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return nil, s.failed("read", path, err)
	}
	l, err := decodeLedger(b)
	if err != nil {
		return nil, s.unreadable(path, err)
	}
	return l, nil
}

// writeLedger replaces the ledger.
func (s *shelf) writeLedger(l ledger) error {
	b, err := l.encode()
	if err != nil {
		return err
	}
	const name = ledgerName + unfinishedExt
	f, err := s.create(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(b); err != nil {
		return errors.Join(s.failed("write", s.path(name), err), f.Close())
	}
	return s.publish(f, name, ledgerName, [3]func(){ledgerSynced.Hit, ledgerRenamed.Hit, ledgerNamed.Hit})
}

// removeLedger removes the ledger, durably.
func (s *shelf) removeLedger() error {
	if err := s.remove(s.path(ledgerName)); err != nil {
		return err
	}
	return s.sync(s.dir())
}

// failed says what could not be done with which file.
func (s *shelf) failed(what, path string, err error) error {
	e := diag.New("http/outbox", "the outbox cannot %s %s", what, path).WithCause(err)
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return e.WithHint("the disk is full: make room (df -h %s) and start again; nothing that was decided is lost", s.root)
	case errors.Is(err, os.ErrPermission):
		return e.WithHint("let the user of the engine write in %s", s.root)
	}
	return e.WithHint("check the disk and start again; nothing that was decided and can be read is lost")
}

// unreadable says why a file cannot be sent: it is not what was written, unless the disk failed.
func (s *shelf) unreadable(path string, err error) error {
	if !errors.Is(err, errNoOutbox) && !errors.Is(err, os.ErrNotExist) {
		return s.failed("read", path, err)
	}
	return diag.New("http/outbox-damaged", "%s cannot be sent", path).WithCause(err).
		WithHint("put the file back from a copy; to give up the rows in it, begin anew without the checkpoints of this pipeline and without the folder %s", s.dir())
}
