package exchange

import (
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/state"
)

// Target is where an edge of one sender leads: the inboxes of the receiving
// tasks, and the sender's place in them.
type Target struct {
	Inboxes []*Inbox
	Input   int
	Sender  int
	// Parts: the sender is one of several that the receivers gather from, and
	// tells where it is in the block (see the package doc, O4).
	Parts bool
}

// Edge is the sending end of one task towards one stage. One goroutine owns it.
type Edge struct {
	to Target
	// keys is nil when the receiving stage has one task.
	keys    *state.KeyEncoder
	pool    *batch.Pool
	parts   []*batch.Batch // rows under way, by receiver
	sel     [][]uint32
	seq     uint64
	part    batch.Time // Before of the part of the block that is being sent
	blocked time.Duration
}

// NewEdge makes an edge. With several inboxes keys names the key columns and
// pool makes batches of the schema of the edge; else both may be nil.
func NewEdge(to Target, keys *state.KeyEncoder, pool *batch.Pool) *Edge {
	e := &Edge{to: to, keys: keys, pool: pool, part: batch.MinTime}
	if len(to.Inboxes) > 1 {
		e.parts = make([]*batch.Batch, len(to.Inboxes))
		e.sel = make([][]uint32, len(to.Inboxes))
	}
	return e
}

// Begin tells the Seq of the messages that follow.
func (e *Edge) Begin(seq uint64) { e.seq = seq }

// begin begins a part of the block: what is under way goes out before it.
func (e *Edge) begin(part batch.Time) error {
	e.part = part
	for i := range e.to.Inboxes {
		if e.parts != nil {
			if err := e.flush(i); err != nil {
				return err
			}
		}
		if err := e.push(i, Message{Kind: Part, Seq: e.seq, Part: part}); err != nil {
			return err
		}
	}
	return nil
}

// Send sends the rows of b, whose ownership moves, to the owners of their keys.
func (e *Edge) Send(b *batch.Batch) error {
	if b.Len() == 0 {
		b.Release()
		return nil
	}
	if e.to.Parts && b.Before > e.part {
		if err := e.begin(b.Before); err != nil {
			b.Release()
			return err
		}
	}
	if e.parts == nil {
		return e.push(0, Message{Kind: Data, Seq: e.seq, Batch: b})
	}
	defer b.Release()
	n := len(e.sel)
	hashes := e.keys.Encode(b).Hashes
	for i := range e.sel {
		if cap(e.sel[i]) < b.Len() {
			e.sel[i] = make([]uint32, 0, b.Cap())
		}
		e.sel[i] = e.sel[i][:0]
	}
	if n == 2 {
		// Both lists are written and one of them grows: no branch to mispredict.
		a, c := e.sel[0][:b.Len()], e.sel[1][:b.Len()]
		x, y := 0, 0
		for i, h := range hashes {
			a[x], c[y] = uint32(i), uint32(i)
			o := int(h >> 63)
			x += 1 - o
			y += o
		}
		e.sel[0], e.sel[1] = a[:x], c[:y]
	} else {
		for i, h := range hashes {
			o := keygroup.Owner(h, n)
			e.sel[o] = append(e.sel[o], uint32(i))
		}
	}
	for i, sel := range e.sel {
		if err := e.add(i, b, sel); err != nil {
			return err
		}
	}
	return nil
}

// add copies rows to the batch under way for a receiver and sends it when it is full.
func (e *Edge) add(to int, b *batch.Batch, sel []uint32) error {
	for len(sel) > 0 {
		p := e.parts[to]
		// Rows of one batch share one Before.
		if p != nil && p.Before != b.Before {
			if err := e.flush(to); err != nil {
				return err
			}
			p = nil
		}
		if p == nil {
			p = e.pool.Get()
			p.Before = b.Before
			e.parts[to] = p
		}
		sel = sel[p.AppendRows(b, sel):]
		if p.Len() == p.Cap() {
			if err := e.flush(to); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *Edge) flush(to int) error {
	p := e.parts[to]
	if p == nil {
		return nil
	}
	e.parts[to] = nil
	return e.push(to, Message{Kind: Data, Seq: e.seq, Batch: p})
}

// Mark ends the block: it sends the rows under way and a mark to every receiver.
func (e *Edge) Mark(watermark batch.Time, dry bool) error {
	e.part = batch.MinTime
	for i := range e.to.Inboxes {
		if e.parts != nil {
			if err := e.flush(i); err != nil {
				return err
			}
		}
		if err := e.push(i, Message{Kind: Mark, Seq: e.seq, Watermark: watermark, Dry: dry}); err != nil {
			return err
		}
	}
	return nil
}

// Barrier sends the rows under way, which are what sinks refuse when they cut their
// output, and a barrier to every receiver, in place of a mark.
func (e *Edge) Barrier(b Barrier) error {
	e.part = batch.MinTime
	for i := range e.to.Inboxes {
		if e.parts != nil {
			if err := e.flush(i); err != nil {
				return err
			}
		}
		if err := e.push(i, Message{Kind: Cut, Seq: e.seq, Barrier: b}); err != nil {
			return err
		}
	}
	return nil
}

func (e *Edge) push(to int, m Message) error {
	waited, err := e.to.Inboxes[to].Push(e.to.Input, e.to.Sender, m)
	e.blocked += waited
	return err
}

// Blocked returns for how long the sender has waited for room since the last call.
func (e *Edge) Blocked() time.Duration {
	d := e.blocked
	e.blocked = 0
	return d
}

// Close releases the rows under way.
func (e *Edge) Close() {
	for i, p := range e.parts {
		if p != nil {
			p.Release()
			e.parts[i] = nil
		}
	}
}
