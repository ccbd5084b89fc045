// Package job turns a plan into tasks and runs them: the only place that knows
// both plan nodes and operators.
//
// It knows no concrete connector, format, backend or Python worker: they come in
// as [Parts] from cmd/gorge.
package job

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/exchange"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/plan"
	"github.com/gorge-stream/gorge/internal/state"
	"github.com/gorge-stream/gorge/internal/task"
	"github.com/gorge-stream/gorge/internal/udf"
)

// Parts are the implementations that a job is built from, by their words in the
// pipeline file.
type Parts struct {
	Connectors map[string]connector.Registration
	Formats    map[string]codec.Format
	// State makes the backend of one operator in one task; lasting tells that it
	// outlives a block, so that it may grow large.
	State func(layout state.Layout, groups keygroup.Range, lasting bool) (KeyedState, error)
	// Function opens a user-defined function for arguments of the given kinds.
	Function func(ctx context.Context, f plan.Function, args []batch.Kind) (Function, error)
}

// KeyedState is the state of one operator in one task.
type KeyedState interface {
	state.Backend
	state.Durable
}

// Function is an open user-defined function.
type Function interface {
	udf.Func
	// Close ends its workers. The job calls it once, after every task has ended.
	Close() error
}

// Options are the choices of one run.
type Options struct {
	Parallelism int // tasks of a parallel stage, 1 to keygroup.Count
	BatchRows   int // rows of a batch
	BlockBytes  int // bytes of a source's block
	DataDir     string
	HTTP        connector.Mux // nil: no HTTP
	Log         *slog.Logger
	Now         func() time.Time
	Terminal    bool         // standard output is a terminal
	FS          vfs.FS       // of everything that has to be durable
	Checkpoints *Checkpoints // nil: none
	// Stalled is told why a sink can take nothing now, and "" when it goes on; may be
	// nil. Any goroutine may call it.
	Stalled func(sink, reason string)
}

// Defaults of Options.
const (
	DefaultBatchRows  = 4096
	DefaultBlockBytes = 512 << 10
)

// Job is a pipeline ready to run, once.
type Job struct {
	plan  *plan.Plan
	parts Parts
	opts  Options

	ctx    context.Context //nolint:containedctx // the lifetime of the tasks, made before Run
	cancel context.CancelFunc

	feeds     []namedFeed
	tasks     []runnable
	inboxes   []*exchange.Inbox
	functions map[string]Function
	nodes     []*nodeStatus
	sinks     []epochSink
	keeper    *keeper // nil without checkpoints
	epochs    *epochs

	started atomic.Int64 // nanoseconds since 1970
	ended   atomic.Int64

	mu  sync.Mutex
	err error // first error; guarded by mu
}

type namedFeed struct {
	name, connector string
	source          connector.Source
	feed            *task.Feed
}

// epochSink is a sink that takes part in epochs.
type epochSink struct {
	node *plan.Node
	sink connector.Sink
}

// runnable is one task and how to run it.
type runnable struct {
	name  string
	stats *task.Stats
	inbox *exchange.Inbox // nil for source tasks
	nodes []*plan.Node    // by node of the chain
	run   func() error
	// abandon closes the chain of a task that never ran.
	abandon func() error
}

// Run runs the job to the end of its input, or until the context ends, which
// aborts it, or an error. It returns the first error. It may be called once.
func (j *Job) Run(ctx context.Context) error {
	j.started.Store(j.opts.Now().UnixNano())
	unwatch := context.AfterFunc(ctx, func() { j.fail(context.Cause(ctx)) })
	defer unwatch()
	var wg sync.WaitGroup
	wg.Go(func() { j.epochs.run(j.ctx) })
	for _, t := range j.tasks {
		wg.Go(func() {
			if err := t.run(); err != nil {
				j.fail(err)
			}
		})
	}
	wg.Wait()
	j.ended.Store(j.opts.Now().UnixNano())
	j.close()
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// Abandon releases a job that is not going to run.
func (j *Job) Abandon() {
	for _, t := range j.tasks {
		_ = t.abandon()
	}
	j.close()
}

// Stop ends the run. With checkpoints it takes a last one, from which the next run
// goes on. Without, it ends the input: what the sources have accepted is processed,
// windows close as at the end of a file.
func (j *Job) Stop() {
	if j.keeper != nil {
		j.epochs.tell(checkpoint.Stop{})
		return
	}
	for _, f := range j.feeds {
		f.feed.Stop()
	}
}

// Resumable reports whether the next run goes on where this one stops.
func (j *Job) Resumable() bool { return j.keeper != nil }

// fail ends every task with the first error of all.
func (j *Job) fail(err error) {
	j.mu.Lock()
	first := j.err == nil && !errors.Is(err, task.ErrStopped)
	if first {
		j.err = err
	}
	j.mu.Unlock()
	if !first {
		return
	}
	j.cancel()
	for _, f := range j.feeds {
		f.feed.Fail(task.ErrStopped)
	}
	for _, b := range j.inboxes {
		b.Close(task.ErrStopped)
	}
}

// close releases what tasks share, after all of them have ended.
func (j *Job) close() {
	var errs []error
	for _, f := range j.feeds {
		errs = append(errs, f.feed.Close())
	}
	for _, b := range j.inboxes {
		b.Close(task.ErrStopped)
	}
	for _, s := range j.sinks {
		errs = append(errs, s.sink.Close())
	}
	for _, f := range j.functions {
		errs = append(errs, f.Close())
	}
	j.cancel()
	if err := errors.Join(errs...); err != nil {
		j.mu.Lock()
		if j.err == nil {
			j.err = err
		}
		j.mu.Unlock()
	}
}
