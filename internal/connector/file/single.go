package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/failpoint"
)

// partialSuffix is what the file is called by until it is complete.
const partialSuffix = ".partial"

// The steps of one file, in their order.
var (
	fileTruncated = failpoint.New("file/truncated")
	fileCut       = failpoint.New("file/cut")
	fileSynced    = failpoint.New("file/synced")
	fileNamed     = failpoint.New("file/name-synced")
	fileRenamed   = failpoint.New("file/renamed")
	filePublished = failpoint.New("file/published")
)

// single writes one file. Each epoch adds to PATH.partial; the final one gives it its name.
type single struct {
	target
	partial string
	mode    fs.FileMode // of the file that is replaced; 0: none is
	dir     vfs.File    // the folder, for fsync; nil before Recover
	f       vfs.File    // the partial file, locked; nil: there is none
	length  int64       // what is decided of it
	ended   bool        // it has its name

	mu  sync.Mutex
	err error // guarded by mu; sticky: what the disk may have lost is not tried again

	persisting sync.Mutex
	synced     int64 // guarded by persisting: how far the file is durable, -1 before the first fsync
	named      bool  // guarded by persisting: its name is durable
}

var _ output = (*single)(nil)

func newSingle(t target) (*single, error) {
	s := &single{target: t, synced: -1}
	info, err := s.fs.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, s.cannot("open", s.path, err)
	default:
		s.mode = info.Mode().Perm()
		// A link stays, and the file behind it is replaced. Simulated files have no links.
		if behind, err := filepath.EvalSymlinks(s.path); err == nil {
			s.path = behind
		}
	}
	s.partial = s.path + partialSuffix
	return s, nil
}

// fail keeps the first error and returns it.
func (s *single) fail(what string, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && err != nil {
		s.err = s.cannot(what, s.partial, err)
	}
	return s.err
}

// failed returns the error that ended the sink.
func (s *single) failed() error { return s.fail("", nil) }

// Recover cuts the partial file to what is decided, or gives it its name when that is decided.
func (s *single) Recover(_ context.Context, _ uint64, raw []connector.Committable) error {
	c, err := s.decode(raw, false)
	if err != nil {
		return err
	}
	if s.dir == nil { // a new run is begun by a second Recover
		if s.dir, err = s.fs.OpenDir(filepath.Dir(s.path)); err != nil {
			return s.fail("open", err)
		}
	}
	if s.f == nil {
		if err := s.find(); err != nil {
			return err
		}
	}
	want := latest(c)
	fits, size := false, int64(-1)
	if s.f != nil {
		if fits, size, err = want.holds(s.f); err != nil {
			return s.fail("read", err)
		}
	}
	switch {
	case want.Final && fits && size == want.Length:
		return s.publish()
	case want.Final:
		want = committable{} // it has its name already; what is here began another run
	case want.Length > 0 && !fits:
		return s.changed(want, size)
	}
	s.length = want.Length
	if size > want.Length {
		return s.fail("truncate", s.truncate())
	}
	return nil
}

// latest returns the committable that goes furthest: it covers the others.
func latest(c []committable) committable {
	var out committable
	for _, x := range c {
		if x.Length > out.Length || x.Final {
			out = x
		}
	}
	return out
}

// find opens the partial file and locks it, if there is one.
func (s *single) find() error {
	_, err := s.fs.Stat(s.partial)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return s.fail("open", err)
	}
	return s.open()
}

// open opens or makes the partial file, alone. A sink that has just finished may
// have renamed the file between its opening and its lock: then the lock is on the
// finished output, and a new partial file must be made.
func (s *single) open() error {
	for {
		f, err := s.fs.OpenReadWrite(s.partial, vfs.WriteCategoryUnspecified)
		if err != nil {
			return s.fail("open", err)
		}
		if err := s.lock(f); err != nil {
			return errors.Join(err, f.Close())
		}
		mine, err1 := f.Stat()
		named, err2 := s.fs.Stat(s.partial)
		if err1 == nil && err2 == nil && identify(mine) == identify(named) {
			s.f = f
			if s.mode != 0 && f.Fd() != vfs.InvalidFd {
				return s.fail("open", unix.Fchmod(int(f.Fd()), uint32(s.mode)))
			}
			return nil
		}
		_ = f.Close()
		if err := errors.Join(err1, err2); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s.fail("open", err)
		}
	}
}

func (s *single) changed(c committable, size int64) error {
	e := s.refuse("file/output-changed", "%s is not the file that the checkpoint belongs to", s.partial).
		WithHint("put the file back, or start the pipeline anew: gorge run --fresh")
	switch {
	case size < 0:
		return e.WithCause(fmt.Errorf("it has to hold %d bytes and is not there", c.Length))
	case size < c.Length:
		return e.WithCause(fmt.Errorf("it has to hold %d bytes and is shorter", c.Length))
	}
	return e.WithCause(fmt.Errorf("what stands before byte %d was changed", c.Length))
}

// truncate takes off what was not decided. Simulated files, which have no
// descriptor, are copied up to there.
func (s *single) truncate() error {
	if failpoint.Bug("file-truncation-forgotten") {
		return nil
	}
	defer fileTruncated.Hit()
	if s.f.Fd() != vfs.InvalidFd {
		return unix.Ftruncate(int(s.f.Fd()), s.length)
	}
	short := s.partial + ".cut"
	if err := vfs.LimitedCopy(s.fs, s.partial, short, s.length); err != nil {
		return err
	}
	if err := s.f.Close(); err != nil {
		return err
	}
	s.f = nil
	if err := s.fs.Rename(short, s.partial); err != nil {
		return err
	}
	return s.open()
}

// Writer goes on behind what is decided.
func (s *single) Writer(_ context.Context, env connector.WriterEnv) (connector.SinkWriter, error) {
	if err := lone(env.Task); err != nil {
		return nil, err
	}
	s.ended = false
	if s.f == nil {
		if err := s.open(); err != nil {
			return nil, err
		}
	}
	return &singleWriter{s: s, out: newFrames(s.f, s.length, s.kind), begun: s.length > 0}, nil
}

// Commit gives the file its name when the epoch is the final one.
func (s *single) Commit(_ context.Context, _ uint64, raw []connector.Committable) error {
	c, err := s.decode(raw, false)
	if err != nil || s.ended || !latest(c).Final {
		return err
	}
	if err := s.failed(); err != nil {
		return err
	}
	return s.publish()
}

// publish gives the file its name, durably.
func (s *single) publish() error {
	if err := s.fs.Rename(s.partial, s.path); err != nil {
		return s.fail("rename", err)
	}
	fileRenamed.Hit()
	if err := s.dir.Sync(); err != nil {
		return s.fail("sync", err)
	}
	filePublished.Hit()
	err := s.f.Close()
	s.f, s.length, s.ended = nil, 0, true
	return s.fail("close", err)
}

// Close lets go of the files. An empty partial file is no use to anybody.
func (s *single) Close() error {
	var errs []error
	if s.f != nil {
		if info, err := s.f.Stat(); err == nil && info.Size() == 0 {
			if err := s.fs.Remove(s.partial); err != nil {
				s.log.Warn("an empty file is left", "file", s.partial, "error", err)
			}
		}
		errs = append(errs, s.f.Close())
		s.f = nil
	}
	if s.dir != nil {
		errs = append(errs, s.dir.Close())
		s.dir = nil
	}
	return errors.Join(errs...)
}

func (s *single) incomplete() {
	s.log.Warn("the output is incomplete and was not put in place", "file", s.partial)
}
