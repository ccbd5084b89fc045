package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/failpoint"
)

// pendingName is the folder, within that of the parts, of those that are not committed.
const pendingName = ".pending"

// The steps of a part, in their order.
var (
	partMade      = failpoint.New("file/part-made")
	partCut       = failpoint.New("file/part-cut")
	partSynced    = failpoint.New("file/part-synced")
	partNamed     = failpoint.New("file/part-pending-name-synced")
	partRenamed   = failpoint.New("file/part-renamed")
	partPublished = failpoint.New("file/part-published")
	partCleaned   = failpoint.New("file/part-leftovers-removed")
)

// folder writes a folder of parts, one for each epoch with rows. A part is
// written in the pending folder and renamed into the folder of its readers.
type folder struct {
	target
	pendingPath string
	lazy        bool // the folder is made with the first row
	wholeRuns   bool // a part holds a whole run: there are no epochs to name it by

	// The folders, once they are open; pending is locked.
	dir, pending vfs.File
	order        sync.Mutex // no fsync of pending comes between a renaming and the fsync of dir

	mu   sync.Mutex
	last uint64 // guarded by mu: the last epoch prepared or recovered
	err  error  // guarded by mu; sticky: what the disk may have lost is not tried again
}

var _ output = (*folder)(nil)

func newFolder(t target) *folder {
	return &folder{target: t, pendingPath: filepath.Join(t.path, pendingName)}
}

// fail keeps the first error and returns it.
func (s *folder) fail(what, path string, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && err != nil {
		s.err = s.cannot(what, path, err)
	}
	return s.err
}

// failed returns the error that ended the sink.
func (s *folder) failed() error { return s.fail("", "", nil) }

// Recover makes visible what is decided and removes every other pending part.
func (s *folder) Recover(_ context.Context, last uint64, raw []connector.Committable) error {
	c, err := s.decode(raw, true)
	if err != nil {
		return err
	}
	s.prepared(last)
	if s.lazy && len(c) == 0 {
		if _, err := s.fs.Stat(s.pendingPath); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	if err := s.open(); err != nil {
		return err
	}
	if err := s.commit(c); err != nil {
		return err
	}
	names, err := s.fs.List(s.pendingPath)
	if err != nil {
		return s.fail("read", s.pendingPath, err)
	}
	for _, name := range names {
		if err := s.fs.Remove(filepath.Join(s.pendingPath, name)); err != nil {
			return s.fail("remove", filepath.Join(s.pendingPath, name), err)
		}
	}
	partCleaned.Hit()
	return nil
}

// open makes and opens the folders, once.
func (s *folder) open() error {
	if s.dir != nil {
		return nil
	}
	if err := s.makeFolders(); err != nil {
		return s.fail("make", s.path, err)
	}
	pending, err := s.fs.OpenDir(s.pendingPath)
	if err != nil {
		return s.fail("open", s.pendingPath, err)
	}
	if err := s.lock(pending); err != nil {
		return errors.Join(err, pending.Close())
	}
	dir, err := s.fs.OpenDir(s.path)
	if err != nil {
		return errors.Join(s.fail("open", s.path, err), pending.Close())
	}
	s.dir, s.pending = dir, pending
	return nil
}

// makeFolders makes the folder and the pending one below it. Their names are made
// durable also when they are there: the run that made them may have been killed
// right behind that.
func (s *folder) makeFolders() error {
	path := filepath.Clean(s.path)
	if _, err := s.fs.Stat(filepath.Dir(path)); err != nil {
		return err
	}
	mode := fs.FileMode(0o777)
	if s.letters { // they hold rows as they came
		mode = 0o700
	}
	if err := s.fs.MkdirAll(s.pendingPath, mode); err != nil {
		return err
	}
	for _, at := range []string{path, filepath.Dir(path)} {
		d, err := s.fs.OpenDir(at)
		if errors.Is(err, fs.ErrPermission) && at != path {
			return nil // a folder that was made for this user in one that he cannot look into
		}
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

// commit renames what is decided into the folder.
func (s *folder) commit(c []committable) error {
	if err := s.failed(); err != nil || len(c) == 0 {
		return err
	}
	s.order.Lock()
	defer s.order.Unlock()
	for _, x := range c {
		pending, part := filepath.Join(s.pendingPath, x.Pending), filepath.Join(s.path, x.Part)
		there, err := s.exists(part)
		if err != nil {
			return err
		}
		waiting, err := s.waits(pending, x)
		if err != nil {
			return err
		}
		switch {
		case there: // and the pending name, if there is one, came back with a power cut
		case waiting:
			if err := s.fs.Rename(pending, part); err != nil {
				return s.fail("rename", pending, err)
			}
			partRenamed.Hit()
		case s.letters: // they were replayed and moved away
		default: // it was durable under one of its names, so that no crash took it
			s.log.Warn("a part of the output was taken away", "part", part)
		}
	}
	if failpoint.Bug("file-folders-synced-in-wrong-order") {
		if err := s.pending.Sync(); err != nil {
			return s.fail("sync", s.pendingPath, err)
		}
	}
	if err := s.dir.Sync(); err != nil {
		return s.fail("sync", s.path, err)
	}
	partPublished.Hit()
	return nil
}

func (s *folder) exists(path string) (bool, error) {
	_, err := s.fs.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, s.fail("open", path, err)
}

// waits reports whether a pending part is there, and the one that is meant.
func (s *folder) waits(path string, c committable) (bool, error) {
	f, err := s.fs.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, s.fail("open", path, err)
	}
	fits, size, err := c.holds(f)
	return fits && size == c.Length, s.fail("read", path, errors.Join(err, f.Close()))
}

// Writer makes the writer, which opens nothing before its first row.
func (s *folder) Writer(_ context.Context, env connector.WriterEnv) (connector.SinkWriter, error) {
	return &partWriter{s: s, task: env.Task}, nil
}

// Commit makes the parts visible.
func (s *folder) Commit(_ context.Context, _ uint64, raw []connector.Committable) error {
	c, err := s.decode(raw, true)
	if err != nil {
		return err
	}
	return s.commit(c)
}

// Close lets go of the folders.
func (s *folder) Close() error {
	if s.dir == nil {
		return nil
	}
	err := errors.Join(s.dir.Close(), s.pending.Close())
	s.dir, s.pending = nil, nil
	return err
}

func (s *folder) incomplete() {
	s.log.Warn("the output is incomplete and was not put in place", "folder", s.pendingPath)
}

// create makes the file of the next part of a task. Its name holds the epoch before
// it, so that no two parts have had it: an epoch is prepared once.
func (s *folder) create(task int) (name string, f vfs.File, err error) {
	if err := s.failed(); err != nil {
		return "", nil, err
	}
	if err := s.open(); err != nil {
		return "", nil, err
	}
	s.mu.Lock()
	name = fmt.Sprintf("after-%010d-%d", s.last, task)
	s.mu.Unlock()
	f, err = s.fs.Create(filepath.Join(s.pendingPath, name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return "", nil, s.fail("make", filepath.Join(s.pendingPath, name), err)
	}
	partMade.Hit()
	return name, f, nil
}

// partName is what the part of an epoch is called.
func (s *folder) partName(epoch uint64, task int) (string, error) {
	if !s.wholeRuns {
		return fmt.Sprintf("part-%010d-%d%s", epoch, task, s.extension), nil
	}
	for n := 1; ; n++ {
		name := fmt.Sprintf("part-run-%04d%s", n, s.extension)
		there, err := s.exists(filepath.Join(s.path, name))
		if err != nil || !there {
			return name, err
		}
	}
}
