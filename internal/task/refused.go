package task

import (
	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/deadletter"
	"github.com/gorge-stream/gorge/internal/operator"
)

// Refused makes dead letters of the rows that a sink of a chain refuses, and
// sends them to who reads the Dead port of its node.
type Refused struct {
	// Step is the name of the sink.
	Step string

	out  *output
	part batch.Time // Before of the rows that the sink took last
	err  error      // of a letter that could not be sent
}

// Row takes one row. Methods of the sink call it, in the goroutine of the task.
// An error shows when the method returns: the sink has no use for it.
func (r *Refused) Row(code, reason, detail string, row []byte) {
	b := deadletter.Pool.Get()
	deadletter.Append(b, &deadletter.Letter{Step: r.Step, Code: code, Reason: reason, Detail: detail, Payload: row})
	b.Before = r.part
	if err := r.out.Emit(operator.Dead, b); err != nil && r.err == nil {
		r.err = err
	}
}

// before tells the part of the block that the letters that follow belong to.
func (r *Refused) before(part batch.Time) {
	if r != nil {
		r.part = part
	}
}

// first returns err, or else why a letter could not be sent.
func (r *Refused) first(err error) error {
	if err == nil && r != nil {
		return r.err
	}
	return err
}
