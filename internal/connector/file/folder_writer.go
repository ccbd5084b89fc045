package file

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/failpoint"
)

// partWriter writes the parts of one task.
type partWriter struct {
	s      *folder
	task   int
	name   string  // of the pending part
	out    *frames // nil: no row since the last epoch
	closed bool
	err    error // sticky
}

var _ connector.SinkWriter = (*partWriter)(nil)

// Write appends the chunks of the batch.
func (w *partWriter) Write(_ context.Context, b *batch.Batch) error {
	defer b.Release()
	if w.err != nil || b.Len() == 0 {
		return w.err
	}
	if w.out == nil {
		if w.err = w.begin(); w.err != nil {
			return w.err
		}
	}
	c := b.Col(0)
	for i := range b.Len() {
		if err := w.out.write(c.Bytes(i)); err != nil {
			return w.fail("write", err)
		}
	}
	return nil
}

// begin makes the file of a part.
func (w *partWriter) begin() error {
	name, f, err := w.s.create(w.task)
	if err != nil {
		return err
	}
	w.name, w.out = name, newFrames(f, 0, w.s.kind)
	return w.fail("write", w.out.write(w.s.header))
}

func (w *partWriter) path() string { return filepath.Join(w.s.pendingPath, w.name) }

func (w *partWriter) fail(what string, err error) error {
	if err != nil {
		w.err = w.s.fail(what, w.path(), err)
	}
	return w.err
}

// Flush brings the rows to where a person can follow them.
func (w *partWriter) Flush(context.Context) error {
	if w.err != nil || w.out == nil {
		return w.err
	}
	return w.fail("write", w.out.flush())
}

// Prepare ends the part; the next row begins another one.
func (w *partWriter) Prepare(_ context.Context, e connector.Epoch) (connector.Prepared, error) {
	if w.err != nil {
		return nil, w.err
	}
	defer w.s.prepared(e.ID)
	if w.out == nil {
		return nil, nil
	}
	if err := w.out.write(w.s.footer); err != nil {
		return nil, w.fail("write", err)
	}
	if err := w.out.cut(); err != nil {
		return nil, w.fail("write", err)
	}
	part, err := w.s.partName(e.ID, w.task)
	if err != nil {
		return nil, w.fail("open", err)
	}
	p := &pendingPart{s: w.s, f: w.out.f, size: w.out.size, pending: w.name, part: part}
	w.out = nil
	partCut.Hit()
	return p, nil
}

// prepared notes the last epoch: later parts come after it.
func (s *folder) prepared(epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(s.last, epoch)
}

// Close brings the last rows to the pending part, for inspection; they count for nothing.
func (w *partWriter) Close(context.Context, bool) error {
	if w.closed {
		return nil
	}
	w.closed = true
	var err error
	if w.out != nil {
		if w.err == nil {
			err = w.fail("write", w.out.cut())
		}
		err = errors.Join(err, w.out.f.Close())
		w.out = nil
	}
	w.err = errClosed
	return err
}

// pendingPart is the output of an epoch: one part.
type pendingPart struct {
	s             *folder
	f             vfs.File
	size          int64
	pending, part string
}

// Persist makes the part and its pending name durable.
func (p *pendingPart) Persist(context.Context) (connector.Committable, error) {
	s, path := p.s, filepath.Join(p.s.pendingPath, p.pending)
	if err := s.failed(); err != nil {
		return nil, errors.Join(err, p.f.Close())
	}
	if !failpoint.Bug("file-part-not-synced") {
		if err := p.f.Sync(); err != nil {
			return nil, s.fail("sync", path, errors.Join(err, p.f.Close()))
		}
	}
	partSynced.Hit()
	crc, err := tail(p.f, p.size)
	if err := errors.Join(err, p.f.Close()); err != nil {
		return nil, s.fail("read", path, err)
	}
	if there, err := s.exists(filepath.Join(s.path, p.part)); err != nil || there {
		if err == nil {
			err = s.foreign(p.part)
		}
		return nil, err
	}
	if !failpoint.Bug("file-pending-name-not-synced") {
		s.order.Lock()
		err := s.pending.Sync()
		s.order.Unlock()
		if err != nil {
			return nil, s.fail("sync", s.pendingPath, err)
		}
	}
	partNamed.Hit()
	if failpoint.Bug("file-part-renamed-before-decision") {
		if err := s.fs.Rename(path, filepath.Join(s.path, p.part)); err != nil {
			return nil, s.fail("rename", path, err)
		}
	}
	return committable{Length: p.size, Tail: crc, Part: p.part, Pending: p.pending}.encode()
}

// foreign refuses to write a part of a name that is taken.
func (s *folder) foreign(part string) error {
	return s.refuse("file/part-exists", "%s is there already, from another run that counted its epochs anew", filepath.Join(s.path, part)).
		WithHint("move the parts of that run away, or write to another folder")
}
