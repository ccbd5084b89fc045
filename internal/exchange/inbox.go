package exchange

import (
	"sync"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
)

// Gather says how the messages of the senders of one input make one sequence.
type Gather uint8

// The ways to gather; see the package doc, O2.
const (
	One Gather = iota
	All
)

// Input declares one input of a task: the tasks of one stage that send to it.
type Input struct {
	Gather  Gather
	Senders int
}

// Limits bound what one sender may have waiting in one inbox. A sender that has
// reached either waits; one message always fits.
type Limits struct {
	Messages int
	Bytes    int
}

// DefaultLimits keep both sides busy and the memory of an inbox small.
var DefaultLimits = Limits{Messages: 64, Bytes: 4 << 20}

// Inbox is the bounded queue in front of a task: one FIFO per sender, merged
// into one sequence per input. Push may be called by all senders at once, Pop by
// the task that owns the inbox.
type Inbox struct {
	limits Limits

	mu      sync.Mutex
	arrived *sync.Cond // the receiver waits for messages
	left    *sync.Cond // senders wait for room
	inputs  []*input   // all below guarded by mu
	turn    int        // input that is looked at first
	waiting bool
	bytes   int
	err     error
}

type input struct {
	gather  Gather
	senders []fifo
	next    uint64 // Seq that is being delivered, for One
	parts   []part // where each sender is in the block, for All
	mark    Message
	// barrier is the one that the input has come to, while others have not; nothing is
	// taken from it since heldAt.
	barrier *Barrier
	heldAt  time.Time
}

// part is where a sender is in the block.
type part struct {
	at     batch.Time
	marked bool
}

// NewInbox makes an inbox for the inputs.
func NewInbox(inputs []Input, limits Limits) *Inbox {
	b := &Inbox{limits: limits}
	b.arrived, b.left = sync.NewCond(&b.mu), sync.NewCond(&b.mu)
	for _, in := range inputs {
		q := &input{gather: in.Gather, parts: make([]part, in.Senders)}
		q.begin()
		for range in.Senders {
			q.senders = append(q.senders, fifo{ring: make([]Message, limits.Messages)})
		}
		b.inputs = append(b.inputs, q)
	}
	return b
}

// Push adds a message of a sender of an input, waiting while the sender's queue
// is full, and returns for how long it waited. The ownership of the batch moves
// even when the inbox was closed, which is the error.
func (b *Inbox) Push(in, sender int, m Message) (waited time.Duration, err error) {
	size := 0
	if m.Batch != nil {
		size = m.Batch.Bytes()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	q := &b.inputs[in].senders[sender]
	if b.err == nil && q.full(b.limits) {
		start := time.Now()
		for b.err == nil && q.full(b.limits) {
			b.left.Wait()
		}
		waited = time.Since(start)
	}
	if b.err != nil {
		if m.Batch != nil {
			m.Batch.Release()
		}
		return waited, b.err
	}
	q.push(m, size)
	b.bytes += size
	if b.waiting {
		b.arrived.Signal()
	}
	return waited, nil
}

// Pop returns the next message in sequence and its input, waiting for it, and
// for how long it waited. A Cut comes from all inputs at once: the input is -1
// when there are several. The error is what Close was given.
func (b *Inbox) Pop() (in int, m Message, waited time.Duration, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var start time.Time
	for {
		if b.err != nil {
			return 0, Message{}, waited, b.err
		}
		if in, m, ok := b.take(); ok {
			if b.waiting {
				b.waiting = false
				waited = time.Since(start)
			}
			return in, m, waited, nil
		}
		if !b.waiting {
			b.waiting = true
			start = time.Now()
		}
		b.arrived.Wait()
	}
}

// take returns a message that is next in its input, inputs in turn.
func (b *Inbox) take() (int, Message, bool) {
	for i := range b.inputs {
		at := (b.turn + i) % len(b.inputs)
		if m, ok := b.takeFrom(b.inputs[at]); ok {
			if m.Kind == Mark {
				b.turn = at + 1
			}
			return at, m, true
		}
	}
	return b.aligned()
}

// aligned returns the barrier when every input has come to it.
func (b *Inbox) aligned() (int, Message, bool) {
	first := b.inputs[0]
	for _, q := range b.inputs {
		if q.barrier == nil {
			return 0, Message{}, false
		}
		if q.heldAt.Before(first.heldAt) {
			first = q
		}
	}
	m := Message{Kind: Cut, Barrier: *first.barrier, Seq: first.mark.Seq}
	in := 0
	if len(b.inputs) > 1 {
		in, m.Aligned = -1, time.Since(first.heldAt)
	}
	for _, q := range b.inputs {
		q.barrier = nil
		q.begin()
	}
	return in, m, true
}

// hold keeps the input back at a barrier.
func (q *input) hold(m Message) {
	q.barrier, q.heldAt = &m.Barrier, time.Now()
	q.mark.Seq = m.Seq
}

// takeFrom returns the next message of an input that is not held back.
func (b *Inbox) takeFrom(q *input) (Message, bool) {
	if q.barrier != nil {
		return Message{}, false
	}
	if q.gather == One {
		return b.takeOne(q)
	}
	for {
		s := q.lowest()
		if s < 0 {
			out := q.mark
			if out.Kind == Cut {
				q.hold(out)
				return Message{}, false
			}
			q.begin()
			return out, true
		}
		f := &q.senders[s]
		if f.n == 0 {
			return Message{}, false
		}
		switch m := b.remove(f); m.Kind {
		case Data:
			return m, true
		case Part:
			q.parts[s].at = m.Part
		case Mark:
			q.parts[s].marked = true
			q.mark.Seq = m.Seq
			q.mark.Watermark = min(q.mark.Watermark, m.Watermark)
			q.mark.Dry = q.mark.Dry || m.Dry
		case Cut:
			q.parts[s].marked = true
			q.mark = m
		}
	}
}

// takeOne returns the next message of an input of which each Seq comes from one sender.
func (b *Inbox) takeOne(q *input) (Message, bool) {
	for s := range q.senders {
		f := &q.senders[s]
		if f.n == 0 || f.head().Seq != q.next {
			continue
		}
		m := b.remove(f)
		switch m.Kind {
		case Mark:
			q.next++
		case Cut:
			q.next++
			q.hold(m)
			return Message{}, false
		}
		return m, true
	}
	return Message{}, false
}

// lowest returns the sender whose part of the block is next: the lowest, of equal
// ones that of the first sender; -1 when all have marked.
func (q *input) lowest() int {
	s := -1
	for i, p := range q.parts {
		if !p.marked && (s < 0 || p.at < q.parts[s].at) {
			s = i
		}
	}
	return s
}

// begin begins the next block of an input that gathers from all senders.
func (q *input) begin() {
	q.mark = Message{Kind: Mark, Watermark: batch.MaxTime}
	for s := range q.parts {
		q.parts[s] = part{at: batch.MinTime}
	}
}

func (b *Inbox) remove(f *fifo) Message {
	wasFull := f.full(b.limits)
	m, size := f.pop()
	b.bytes -= size
	if wasFull && !f.full(b.limits) {
		b.left.Broadcast()
	}
	return m
}

// Bytes returns the memory of the waiting batches.
func (b *Inbox) Bytes() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes
}

// Close ends the inbox with an error for both sides and releases what waits in it.
func (b *Inbox) Close(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return
	}
	b.err = err
	for _, q := range b.inputs {
		for s := range q.senders {
			for f := &q.senders[s]; f.n > 0; {
				if m, _ := f.pop(); m.Batch != nil {
					m.Batch.Release()
				}
			}
		}
	}
	b.bytes = 0
	b.arrived.Broadcast()
	b.left.Broadcast()
}

// fifo is a ring of messages.
type fifo struct {
	ring  []Message
	sizes []int
	first int
	n     int
	bytes int
}

func (f *fifo) full(l Limits) bool {
	return f.n == len(f.ring) || f.n > 0 && f.bytes >= l.Bytes
}

func (f *fifo) head() *Message { return &f.ring[f.first] }

func (f *fifo) push(m Message, size int) {
	if f.sizes == nil {
		f.sizes = make([]int, len(f.ring))
	}
	i := (f.first + f.n) % len(f.ring)
	f.ring[i], f.sizes[i] = m, size
	f.n++
	f.bytes += size
}

func (f *fifo) pop() (Message, int) {
	m, size := f.ring[f.first], f.sizes[f.first]
	f.ring[f.first] = Message{}
	f.first = (f.first + 1) % len(f.ring)
	f.n--
	f.bytes -= size
	return m, size
}
