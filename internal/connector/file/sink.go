package file

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/compress"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

// writeBuffer collects small chunks; chunks of its size and more go past it.
const writeBuffer = 256 << 10

// partialSuffix is what the file is called by until it is complete.
const partialSuffix = ".partial"

// sink writes one file.
type sink struct {
	path    string // the target
	partial string // what is written, equal to path when direct
	direct  bool   // the target is a pipe or a device
	mode    fs.FileMode
	place   diag.Place
	footer  []byte
	log     *slog.Logger

	f      *os.File
	buf    *bufio.Writer
	out    compress.Writer // writes to buf
	kind   compress.Kind
	rows   bool  // something was written
	err    error // sticky
	closed bool
}

var _ connector.SinkWriter = (*sink)(nil)

func newSink(set *spec.Values, env connector.SinkEnv) (connector.SinkWriter, error) {
	s := &sink{path: set.String("path"), place: set.PlaceOf("path"), footer: env.Footer, log: env.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var ok bool
	if s.kind, ok = compress.Parse(set.String("compression")); !ok {
		s.kind = compress.ByExtension(s.path)
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	s.buf = bufio.NewWriterSize(s.f, writeBuffer)
	var err error
	if s.out, err = compress.NewWriter(s.buf, s.kind); err == nil {
		_, err = s.out.Write(env.Header)
	}
	if err != nil {
		return nil, errors.Join(s.cannot("write", err), s.f.Close())
	}
	return s, nil
}

func (s *sink) refuse(code diag.Code, format string, args ...any) *diag.Error {
	return diag.New(code, format, args...).At(s.place)
}

func (s *sink) cannot(what string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	e := s.refuse("file/cannot-"+diag.Code(what), "cannot %s %s", what, s.partial).WithCause(err)
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return e.WithHint("make room: df -h %s", filepath.Dir(s.partial))
	case errors.Is(err, fs.ErrNotExist):
		return e.WithHint("make its folder: mkdir -p %s", filepath.Dir(s.path))
	}
	return e
}

// open opens what is written.
func (s *sink) open() error {
	s.partial, s.mode = s.path, 0o666
	info, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return s.cannot("open", err)
	case info.IsDir():
		return s.refuse("file/is-directory", "%s is a folder", s.path).WithHint("name a file in it: path: %q", filepath.Join(s.path, "out.ndjson"))
	case !info.Mode().IsRegular():
		s.direct = true
		if s.f, err = os.OpenFile(s.path, os.O_WRONLY, 0); err != nil {
			return s.cannot("open", err)
		}
		return nil
	default:
		// a link stays, and the file behind it is replaced
		if s.path, err = filepath.EvalSymlinks(s.path); err != nil {
			return s.cannot("open", err)
		}
		s.mode = info.Mode().Perm()
	}
	s.partial = s.path + partialSuffix
	return s.lock()
}

// lock opens the partial file, alone. A writer that has just finished may have
// renamed the file between its opening and its lock: then the lock is on the
// finished output, and a new partial file must be made.
func (s *sink) lock() error {
	for {
		f, err := os.OpenFile(s.partial, os.O_RDWR|os.O_CREATE, s.mode)
		if err != nil {
			return s.cannot("open", err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			_ = f.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return s.refuse("file/taken", "another sink is writing %s", s.path).WithHint("give each sink a path of its own, or wait for the other run")
			}
			return s.cannot("lock", err)
		}
		mine, err1 := f.Stat()
		named, err2 := os.Stat(s.partial)
		if err1 == nil && err2 == nil && os.SameFile(mine, named) {
			if err := f.Truncate(0); err != nil {
				return errors.Join(s.cannot("write", err), f.Close())
			}
			s.f = f
			return nil
		}
		_ = f.Close()
		if err := errors.Join(err1, err2); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s.cannot("open", err)
		}
	}
}

// Write appends the chunks of the batch.
func (s *sink) Write(_ context.Context, b *batch.Batch) error {
	defer b.Release()
	if s.err != nil {
		return s.err
	}
	c := b.Col(0)
	for i := range b.Len() {
		if _, err := s.out.Write(c.Bytes(i)); err != nil {
			s.err = s.cannot("write", err)
			return s.err
		}
	}
	s.rows = s.rows || b.Len() > 0
	return nil
}

// Flush brings the rows to where a reader can follow them. A compressed file is
// left alone: a block for every few rows would undo the compression.
func (s *sink) Flush(context.Context) error {
	if s.err == nil && (s.kind == compress.None || s.direct) {
		s.err = s.flush()
	}
	return s.err
}

func (s *sink) flush() error {
	err := s.out.Flush()
	if err == nil {
		err = s.buf.Flush()
	}
	if err != nil {
		return s.cannot("write", err)
	}
	return nil
}

// Prepare has nothing to prepare: the file is complete only at the end of the run.
func (s *sink) Prepare(ctx context.Context, _ connector.Epoch) (connector.Prepared, error) {
	return nil, s.Flush(ctx)
}

// Close ends the file. See F6 and F8 of the package doc.
func (s *sink) Close(_ context.Context, complete bool) error {
	if s.closed {
		return nil
	}
	s.closed = true
	if complete && s.err == nil {
		_, err := s.out.Write(s.footer)
		if err != nil {
			s.err = s.cannot("write", err)
		}
	}
	if s.err == nil {
		s.err = s.finish()
	}
	if s.err == nil && complete && !s.direct {
		s.err = s.publish()
	} else if !s.direct {
		s.leave()
	}
	if err := s.f.Close(); err != nil && s.err == nil {
		s.err = s.cannot("close", err)
	}
	err := s.err
	s.err = errors.New("the sink is closed")
	return err
}

// finish brings everything to the file.
func (s *sink) finish() error {
	err := s.out.Close()
	if err == nil {
		err = s.buf.Flush()
	}
	if err != nil {
		return s.cannot("write", err)
	}
	return nil
}

// publish makes the file durable under its name.
func (s *sink) publish() error {
	if err := s.f.Sync(); err != nil {
		return s.cannot("sync", err)
	}
	if err := os.Rename(s.partial, s.path); err != nil {
		return s.cannot("rename", err)
	}
	dir, err := os.Open(filepath.Dir(s.path))
	if err != nil {
		return s.cannot("sync", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return s.cannot("sync", fmt.Errorf("folder of %s: %w", s.path, err))
	}
	return nil
}

// leave decides about the partial file of a run that failed.
func (s *sink) leave() {
	if s.rows {
		s.log.Warn("the output is incomplete and was not put in place", "file", s.partial)
		return
	}
	if err := os.Remove(s.partial); err != nil {
		s.log.Warn("an empty file is left", "file", s.partial, "error", err)
	}
}
