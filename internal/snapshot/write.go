package snapshot

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/failpoint"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/state"
)

// The places of writing at which a crash is worth trying.
var (
	segmentEncoded = failpoint.New("snapshot/segment-encoded")
	segmentPut     = failpoint.New("snapshot/segment-put")
	cutPut         = failpoint.New("snapshot/cut-put")
)

// target is the size of a segment, about: large enough that the requests of an object
// store cost little, small enough to keep a few in memory. Tests change it.
var target = 4 << 20

// inFlight is how many segments are put at the same time.
const inFlight = 2

// buffers are reused by all writes.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// Write encodes a cut and puts it into the store. It returns the segments that are
// in the store, also with an error. There is one for every key group of the base, even
// if it has no record: that the group is empty must be known. Of a cut without panes
// nothing is written, because nothing that was written before counts for later panes.
func Write(ctx context.Context, store checkpoint.Store, cut state.Cut, h Header) ([]checkpoint.Segment, error) {
	if len(h.Step) > maxStep || h.Words > maxWords {
		return nil, fmt.Errorf("step %.40s has a longer name or longer records than a segment can hold", h.Step)
	}
	if len(cut.Panes()) == 0 {
		return nil, nil
	}
	h.Base = h.Base.Overlap(h.Groups)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &writer{ctx: ctx, cancel: cancel, store: store, header: h, slots: make(chan struct{}, inFlight), next: h.Groups.First}
	err := cut.Chunks(w.add)
	if err == nil && (w.buffer != nil || len(w.puts) == 0 && h.Base.Len() > 0 && !failpoint.Bug("snapshot-empty-base-is-not-written")) {
		err = w.flush(h.Groups.End)
	}
	segments, putErr := w.wait()
	if putErr != nil { // it is what a failed flush goes back to
		err = putErr
	}
	if err != nil {
		return segments, fmt.Errorf("write the state of step %s: %w", h.Step, err)
	}
	cutPut.Hit()
	return segments, nil
}

// writer writes one cut. Its fields belong to the goroutine of Write, but for what
// a put says.
type writer struct {
	ctx    context.Context //nolint:containedctx // of one call of Write: it ends with the first put that failed
	cancel context.CancelFunc
	store  checkpoint.Store
	header Header // of the cut
	slots  chan struct{}
	puts   []*put
	wg     sync.WaitGroup

	// The segment that is being encoded; buffer is nil between segments.
	buffer   *[]byte
	index    []entry
	next     keygroup.Group // where its groups begin
	rows     int64
	baseRows int64
}

// put is one segment on its way. Its goroutine owns it until the wait group says that it is done.
type put struct {
	segment checkpoint.Segment
	buffer  *[]byte
	err     error
}

// add encodes one chunk.
func (w *writer) add(c *state.Chunk) error {
	if !w.header.Groups.Contains(c.Group) || len(w.index) > 0 && c.Group < w.index[len(w.index)-1].group {
		return fmt.Errorf("the cut has key group %d out of order", c.Group)
	}
	if w.buffer != nil && len(*w.buffer) >= target {
		end := c.Group
		if w.index[len(w.index)-1].group == c.Group {
			end++ // this one and the next segment have a part of it each
		}
		if err := w.flush(end); err != nil {
			return err
		}
		w.next = c.Group
	}
	if w.buffer == nil {
		w.begin()
	}
	b := *w.buffer
	if len(w.index) == 0 || w.index[len(w.index)-1].group != c.Group {
		w.index = append(w.index, entry{c.Group, uint32(len(b))})
	}
	var err error
	*w.buffer, err = appendChunk(b, c, w.header.Words)
	n := int64(len(c.Keys.Views) + len(c.Gone.Views))
	w.rows += n
	if w.header.Base.Contains(c.Group) {
		w.baseRows += n
	}
	if err == nil && len(*w.buffer) >= maxObject-(keygroup.Count*entryBytes+trailerBytes) {
		err = fmt.Errorf("the state of key group %d takes more than a segment can hold; raise the parallelism", c.Group)
	}
	return err
}

// begin leaves room for the header, whose length is known and whose content is not.
func (w *writer) begin() {
	w.buffer = buffers.Get().(*[]byte)
	*w.buffer = appendHeader((*w.buffer)[:0], &w.header)
	w.index, w.rows, w.baseRows = w.index[:0], 0, 0
}

// flush ends the segment with the key groups before end and puts it.
func (w *writer) flush(end keygroup.Group) error {
	if w.buffer == nil {
		w.begin()
	}
	h := w.header
	h.Groups = keygroup.Range{First: w.next, End: end}
	h.Base = h.Base.Overlap(h.Groups)
	appendHeader((*w.buffer)[:0], &h)
	*w.buffer = appendIndex(*w.buffer, w.index)
	p := &put{buffer: w.buffer, segment: checkpoint.Segment{
		Size: int64(len(*w.buffer)), Epoch: h.Epoch, Groups: h.Groups, Base: h.Base, Rows: w.rows, BaseRows: w.baseRows,
	}}
	w.buffer = nil
	segmentEncoded.Hit()
	w.puts = append(w.puts, p)
	select {
	case w.slots <- struct{}{}:
	case <-w.ctx.Done():
		p.err = w.ctx.Err()
		return p.err
	}
	w.wg.Go(func() {
		p.err = p.run(w.ctx, w.store)
		if p.err != nil {
			w.cancel()
		}
		<-w.slots
	})
	return nil
}

// run puts the segment.
func (p *put) run(ctx context.Context, store checkpoint.Store) error {
	data := *p.buffer
	p.segment.CRC = checkpoint.Checksum(data)
	p.segment.Object = checkpoint.ChunkName(sha256.Sum256(data))
	if err := store.Put(ctx, p.segment.Object, data); err != nil {
		return fmt.Errorf("put %s: %w", p.segment.Object, err)
	}
	segmentPut.Hit()
	buffers.Put(p.buffer)
	return nil
}

// wait waits for the puts and returns the segments that are in the store and the
// error that was first, not one that came of it.
func (w *writer) wait() ([]checkpoint.Segment, error) {
	w.wg.Wait()
	var segments []checkpoint.Segment
	var first error
	for _, p := range w.puts {
		switch {
		case p.err == nil:
			segments = append(segments, p.segment)
		case first == nil || errors.Is(first, context.Canceled):
			first = p.err
		}
	}
	return segments, first
}
