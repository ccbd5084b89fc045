// Package exchange moves batches between the tasks of different stages: typed
// messages, bounded inboxes, partitioning by key.
//
// It knows sequences of blocks, queues and key hashes. It does not know
// operators, windows or what makes a watermark.
//
// # Order
//
// The blocks of a source are numbered 0, 1, 2, ... ([Message.Seq]). Several
// tasks decode them in parallel, yet every receiver sees them in this order:
//
//	O1  A sender pushes messages with ascending Seq; the messages of one block
//	    end with a Mark of its Seq.
//	O2  From the tasks of a source stage (gather One) each Seq comes from exactly
//	    one sender; from any other stage (gather All) it comes from every sender.
//	O3  A receiver delivers all messages of Seq n before any of n+1; those of
//	    several senders in the order of the senders; then one Mark.
//	    A barrier takes the place of a Mark, and comes once from all inputs of a
//	    receiver: those that have it wait for the others.
//	O4  A sender that is one of several tells all receivers when it comes to rows
//	    with a higher batch.Batch.Before within a block (the results of the next
//	    window). O3 then holds part by part.
//
// So what a task sees depends on the input alone and not on scheduling, a
// barrier is a place in the sequence, and nothing can overtake it. As senders
// have ascending ranges of key hashes, it does not depend on their number either.
//
// # No deadlock
//
// Queues are bounded per sender and receiver. A receiver always takes the lowest
// Seq first, of one Seq the lowest part, of one part that of the first sender; and
// a sender works on one at a time: the task that has the lowest unfinished one
// never waits for a queue that is full of higher ones.
package exchange

import (
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
)

// Kind is the kind of a message.
type Kind uint8

// The kinds.
const (
	Data Kind = iota // a batch
	Part             // the sender begins the next part of a block
	Mark             // the end of a block, with the watermark behind it
	Cut              // a barrier, which has a Seq of its own
)

// Barrier cuts the stream into epochs: what comes before it belongs to the epoch,
// what follows does not. It never overtakes anything and nothing overtakes it.
type Barrier struct {
	Epoch uint64
	// Full: all state is to be copied, not only what has changed.
	Full bool
	// Last: the stream ends here. Final: because the input has ended.
	Last, Final bool
}

// Message is what travels on an edge.
type Message struct {
	Kind  Kind
	Seq   uint64
	Batch *batch.Batch // of Data; its ownership travels with the message
	// Part of a Part: the Before of the batches that follow.
	Part batch.Time
	// Watermark of a Mark: no row before it follows, except late ones. MaxTime is the end of the input.
	Watermark batch.Time
	// Dry of a Mark: the input has run dry for now, so what is kept back should come out.
	Dry bool
	// Barrier of a Cut; Aligned is for how long the receiver held back inputs that
	// had it already.
	Barrier Barrier
	Aligned time.Duration
}
