package file

import (
	"context"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/failpoint"
)

// singleWriter writes the partial file.
type singleWriter struct {
	s      *single
	out    *frames
	begun  bool // the header is written
	closed bool
}

var _ connector.SinkWriter = (*singleWriter)(nil)

// Write appends the chunks of the batch.
func (w *singleWriter) Write(_ context.Context, b *batch.Batch) error {
	defer b.Release()
	if err := w.ready(); err != nil || b.Len() == 0 {
		return err
	}
	if err := w.begin(); err != nil {
		return err
	}
	c := b.Col(0)
	for i := range b.Len() {
		if err := w.out.write(c.Bytes(i)); err != nil {
			return w.s.fail("write", err)
		}
	}
	return nil
}

func (w *singleWriter) ready() error {
	if w.closed {
		return errClosed
	}
	return w.s.failed()
}

// begin writes the header in front of the first row, or of none at the end.
func (w *singleWriter) begin() error {
	if w.begun {
		return nil
	}
	w.begun = true
	return w.s.fail("write", w.out.write(w.s.header))
}

// Flush brings the rows to where a person can follow them.
func (w *singleWriter) Flush(context.Context) error {
	if err := w.ready(); err != nil {
		return err
	}
	return w.s.fail("write", w.out.flush())
}

// Prepare notes how far the file goes.
func (w *singleWriter) Prepare(_ context.Context, e connector.Epoch) (connector.Prepared, error) {
	if err := w.ready(); err != nil {
		return nil, err
	}
	if e.Final {
		if err := w.begin(); err != nil {
			return nil, err
		}
		if err := w.out.write(w.s.footer); err != nil {
			return nil, w.s.fail("write", err)
		}
	}
	if err := w.out.cut(); err != nil {
		return nil, w.s.fail("write", err)
	}
	fileCut.Hit()
	return &length{s: w.s, bytes: w.out.size, final: e.Final}, nil
}

// Close brings the last rows to the partial file, for inspection; they count for nothing.
func (w *singleWriter) Close(context.Context, bool) error {
	if w.closed {
		return nil
	}
	ready := w.ready() == nil // what is wrong was reported
	w.closed = true
	if !ready {
		return nil
	}
	return w.s.fail("write", w.out.cut())
}

// length is the output of an epoch: the file up to there.
type length struct {
	s     *single
	bytes int64
	final bool
}

// Persist makes the file durable up to the length.
func (p *length) Persist(context.Context) (connector.Committable, error) {
	s := p.s
	s.persisting.Lock()
	defer s.persisting.Unlock()
	if err := s.failed(); err != nil {
		return nil, err
	}
	if p.bytes > s.synced && !failpoint.Bug("file-not-synced") {
		if err := s.f.Sync(); err != nil {
			return nil, s.fail("sync", err)
		}
		s.synced = p.bytes
	}
	fileSynced.Hit()
	if !s.named && !failpoint.Bug("file-name-not-synced") {
		if err := s.dir.Sync(); err != nil {
			return nil, s.fail("sync", err)
		}
		s.named = true
	}
	fileNamed.Hit()
	crc, err := tail(s.f, p.bytes)
	if err != nil {
		return nil, s.fail("read", err)
	}
	if p.final && failpoint.Bug("file-renamed-before-decision") {
		if err := s.fs.Rename(s.partial, s.path); err != nil {
			return nil, s.fail("rename", err)
		}
	}
	return committable{Length: p.bytes, Tail: crc, Final: p.final}.encode()
}
