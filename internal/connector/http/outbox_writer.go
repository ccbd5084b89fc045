package httpio

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/failpoint"
)

// spillFrom is the bytes of an epoch at which they leave memory for the file.
const spillFrom = 1 << 20

// The steps of a file.
var (
	parcelSpilled = failpoint.New("http/outbox-file-spilled")
	parcelCut     = failpoint.New("http/outbox-cut")
	parcelWritten = failpoint.New("http/outbox-file-written")
	parcelSynced  = failpoint.New("http/outbox-file-synced")
	parcelRenamed = failpoint.New("http/outbox-file-renamed")
	parcelNamed   = failpoint.New("http/outbox-file-named")
)

var errWriterClosed = errors.New("the writer has been closed")

// outboxWriter puts rows into requests and requests into the file of the epoch.
type outboxWriter struct {
	s       *outbox
	dead    func(code, reason, detail string, row []byte)
	current request // being filled
	content content
	final   bool // no row follows
	closed  bool
}

// content is what one epoch has for its file. Its beginning may be in the file already.
type content struct {
	id     outboxID
	tmp    string // name of the file until it is complete; "" without a request
	f      vfs.File
	buf    []byte // not written yet
	parcel        // Bytes are those of the complete file
}

var _ connector.SinkWriter = (*outboxWriter)(nil)

// Write takes the rows when there is room for them.
func (w *outboxWriter) Write(ctx context.Context, b *batch.Batch) error {
	defer b.Release()
	if err := w.room(ctx); err != nil {
		return err
	}
	for i := range b.Len() {
		if err := w.current.add(w.s.shape.encoder, b, i); err != nil {
			return err
		}
		if len(w.current.ends) == w.s.shape.rows {
			if err := w.pack(); err != nil {
				return err
			}
		}
	}
	return nil
}

// room waits while too much is owed. What is not decided yet does not count alone:
// its turn comes behind a barrier, which waits for this task.
func (w *outboxWriter) room(ctx context.Context) error {
	s, stalled := w.s, false
	defer func() {
		if stalled {
			s.tell("")
		}
	}()
	return w.await(ctx, func() bool {
		if s.waiting == 0 || s.owed+s.pending < s.limit && s.waiting < maxParcels {
			return true
		}
		if !stalled {
			stalled = true
			s.tell(fmt.Sprintf("sink %s: %s has not answered for %d bytes of requests yet, the outbox is full (outbox_limit)", s.name(), s.shown, s.owed))
		}
		return false
	})
}

// await waits until ok holds and hands refused rows to the dead letters meanwhile.
func (w *outboxWriter) await(ctx context.Context, ok func() bool) error {
	if w.closed {
		return errWriterClosed
	}
	return w.s.await(ctx, func(letters []refusal) error {
		for _, l := range letters {
			w.dead(l.code, l.reason, l.detail, l.row)
		}
		return nil
	}, ok)
}

// pack puts the current request into the file.
func (w *outboxWriter) pack() error {
	r, c := &w.current, &w.content
	if len(r.ends) == 0 {
		return nil
	}
	s, before := w.s, len(c.buf)
	if c.tmp == "" {
		c.id = newID()
		c.ID = hex.EncodeToString(c.id[:])
		c.buf = appendHeader(nil, c.id, s.header.Get("Content-Type"))
		c.tmp = s.unfinished()
		before = -endSize
	}
	r.seal(s.shape)
	var err error
	if c.buf, err = appendRequest(c.buf, c.Rows, r); err != nil {
		return err
	}
	c.Requests++
	c.Rows += int64(len(r.ends))
	more := int64(len(c.buf) - before)
	c.Bytes += more
	r.reset()
	s.mu.Lock()
	s.pending += more
	s.mu.Unlock()
	if len(c.buf) < spillFrom {
		return nil
	}
	if err := s.spill(c); err != nil {
		return s.fail(err)
	}
	parcelSpilled.Hit()
	return nil
}

// Flush has nothing to bring out: what is written leaves behind the decision. Refused
// rows of earlier epochs go to the dead letters.
func (w *outboxWriter) Flush(ctx context.Context) error {
	return w.await(ctx, func() bool { return true })
}

// Prepare cuts the file. In the same step it takes the cursors of what is owed and
// hands on the refused rows that they have passed, so that both are of one epoch.
func (w *outboxWriter) Prepare(ctx context.Context, e connector.Epoch) (connector.Prepared, error) {
	s := w.s
	if err := w.pack(); err != nil {
		return nil, err
	}
	var owed []parcel
	if err := w.await(ctx, func() bool {
		owed = s.cursors()
		return true
	}); err != nil {
		return nil, err
	}
	p := &epochOutput{s: s, epoch: e, owed: owed, content: w.content}
	w.content = content{}
	w.final = e.Final
	parcelCut.Hit()
	return p, nil
}

// Close ends the writer. Without a final epoch nothing more is sent in this run:
// nobody would remember the answers.
func (w *outboxWriter) Close(context.Context, bool) error {
	if w.closed {
		return nil
	}
	w.closed = true
	s := w.s
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halted = !w.final
	return nil
}

// epochOutput is the output of one epoch.
type epochOutput struct {
	s     *outbox
	epoch connector.Epoch
	owed  []parcel
	content
}

// Persist makes the file durable.
func (p *epochOutput) Persist(context.Context) (connector.Committable, error) {
	s := p.s
	if err := s.failure(); err != nil {
		return nil, err
	}
	c := committable{Epoch: p.epoch.ID, Owed: p.owed, Final: p.epoch.Final}
	if p.Requests > 0 {
		p.File = fmt.Sprintf("%s/%016x-0-%s%s", s.name(), p.epoch.ID, p.ID[:8], parcelExt)
		if err := s.complete(&p.content); err != nil {
			return nil, s.fail(err)
		}
		c.New = &p.parcel
	}
	if failpoint.Bug("http-send-before-decision") && c.New != nil {
		s.take([]parcel{*c.New})
	}
	return c.encode()
}

// spill writes what is in memory.
func (s *outbox) spill(c *content) (err error) {
	if c.f == nil {
		if c.f, err = s.create(c.tmp); err != nil {
			return err
		}
		s.mu.Lock()
		s.writing[c.f] = struct{}{}
		s.mu.Unlock()
	}
	if _, err := c.f.Write(c.buf); err != nil {
		return s.shelf.failed("write", s.path(c.tmp), err)
	}
	c.buf = c.buf[:0]
	return nil
}

// unfinished returns a name for a file.
func (s *outbox) unfinished() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	return fmt.Sprintf("%d%s", s.serial, unfinishedExt)
}

// complete writes the rest of a file and gives it its name.
func (s *outbox) complete(c *content) error {
	c.buf = appendEnd(c.buf, c.Requests, c.Rows)
	if err := s.spill(c); err != nil {
		return err
	}
	parcelWritten.Hit()
	s.mu.Lock()
	delete(s.writing, c.f)
	s.mu.Unlock()
	return s.publish(c.f, c.tmp, path.Base(c.File), [3]func(){parcelSynced.Hit, parcelRenamed.Hit, parcelNamed.Hit})
}
