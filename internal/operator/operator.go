// Package operator is what happens to batches inside a task: the contract, and
// one file per operator.
//
// An operator knows columns and its keyed state. It knows no goroutine, queue,
// clock, storage or plan; package task drives it and package job builds it.
package operator

import "github.com/gorge-stream/gorge/internal/batch"

// Port names one of the outputs of an operator.
type Port uint8

// The ports. A port that nobody reads is counted and released by the task.
const (
	Main Port = iota // the result
	Late             // rows that came after their window had closed
	Dead             // dead letters, with the schema of package deadletter
	Ports
)

// Output takes what an operator emits, at once and in the calling goroutine.
type Output interface {
	// Emit hands a batch to the next consumer of the port; the ownership moves,
	// also when an error comes back. The error ends the task: return it unchanged.
	Emit(port Port, b *batch.Batch) error
}

// Operator transforms batches. All its methods are called by the one goroutine
// of its task, in the order of the input, and never at the same time.
type Operator interface {
	// ProcessBatch takes one batch, whose ownership moves to the operator also
	// when it returns an error. The batch may have other holders: see batch.Sole.
	ProcessBatch(b *batch.Batch, out Output) error
	// OnWatermark tells that no row with an event time before t follows, except
	// late ones. t never goes back. The end of the input is batch.MaxTime. Before
	// it returns, the operator has emitted all that its earlier input makes: work
	// under way elsewhere (a call to a UDF worker) is waited for. The task calls
	// it after every block even when t did not move, and forwards t itself.
	OnWatermark(t batch.Time, out Output) error
	// Close releases what the operator holds. It is called once, also after an error.
	Close()
}
