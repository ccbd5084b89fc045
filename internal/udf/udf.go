// Package udf runs user-defined functions: the contract between an operator
// that has columns and a function that lives in a Python worker.
//
// The package knows workers and slots of shared memory. It does not know keys,
// windows, state or the plan.
package udf

import (
	"context"

	"github.com/gorge-stream/gorge/internal/batch"
)

// Func is one user-defined function, ready to be called by any number of tasks.
type Func interface {
	// Start hands the columns of args to a worker and returns at once, or blocks
	// while every slot is taken. The function copies what it needs: the caller
	// keeps its reference to args and may release it after Wait returned.
	Start(ctx context.Context, args *batch.Batch) (Call, error)
	// Signature returns what the function takes and gives, as declared or found at load.
	Signature() Signature
}

// Call is one call under way. Exactly one Wait must follow each Start, from the
// same goroutine; calls of one goroutine may be waited for in the order of their Starts.
type Call interface {
	// Wait blocks until the result is there. The result has one column per
	// output and the rows of args in order; its ownership moves to the caller.
	// Rows that failed are named by Failures and are null in the result.
	// The error is for what ends the job: a lost pool, a cancelled context.
	Wait(ctx context.Context) (Result, error)
}

// Result is what came back of one call.
type Result struct {
	Batch    *batch.Batch
	Failures []Failure // by ascending row; valid until the next Start of the goroutine
}

// Failure is one row for which the function failed.
type Failure struct {
	Row       int
	Code      string // "exception", "wrong_length", "wrong_dtype", "timeout", "worker_died", "too_large"
	Message   string // one sentence: type and text of the exception
	Traceback string // the user's frames only
}

// Signature is the shape of a function.
type Signature struct {
	Name    string
	Version int
	Args    int          // number of arguments; -1 when it takes any number
	Results []batch.Kind // kinds of the outputs
}
