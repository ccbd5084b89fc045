package file

import (
	"context"
	"errors"
	"fmt"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/spec"
)

// output is a sink of this package: what a job does with epochs, and what is
// the same without them, as one epoch that takes the whole run.
type output interface {
	connector.Sink
	// incomplete tells the log what a run that failed leaves.
	incomplete()
}

// newEpochSink makes the sink of a job with checkpoints.
func newEpochSink(set *spec.Values, env connector.SinkEnv) (connector.Sink, error) {
	t := newTarget(set, env)
	shape, err := t.shape()
	if err != nil {
		return nil, err
	}
	switch shape {
	case device:
		t.log.Warn("a pipe or device cannot take back what it was given: after a crash rows are written again", "path", t.path)
		return &direct{target: t}, nil
	case folderOfParts:
		return newFolder(t), nil
	}
	return newSingle(t)
}

// newSink makes the writer of a job without checkpoints.
func newSink(set *spec.Values, env connector.SinkEnv) (connector.SinkWriter, error) {
	t := newTarget(set, env)
	shape, err := t.shape()
	if err != nil {
		return nil, err
	}
	switch shape {
	case device:
		return openDevice(t)
	case folderOfParts:
		f := newFolder(t)
		f.wholeRuns = true
		return openRun(f)
	}
	s, err := newSingle(t)
	if err != nil {
		return nil, err
	}
	return openRun(s)
}

// run is a writer whose output appears when the run ends well.
type run struct {
	out    output
	w      connector.SinkWriter
	rows   bool  // something was written
	failed error // what ended it; sticky
	closed bool
}

var _ connector.SinkWriter = (*run)(nil)

func openRun(out output) (connector.SinkWriter, error) {
	ctx := context.Background()
	err := out.Recover(ctx, 0, nil)
	var w connector.SinkWriter
	if err == nil {
		w, err = out.Writer(ctx, connector.WriterEnv{})
	}
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return &run{out: out, w: w}, nil
}

// Write appends the chunks of the batch.
func (r *run) Write(ctx context.Context, b *batch.Batch) error {
	r.rows = r.rows || b.Len() > 0
	return r.note(r.w.Write(ctx, b))
}

// Flush brings the rows to where a reader can follow them.
func (r *run) Flush(ctx context.Context) error { return r.note(r.w.Flush(ctx)) }

func (r *run) note(err error) error {
	if r.failed == nil {
		r.failed = err
	}
	return err
}

// Prepare has nothing to prepare: the output is complete only at the end of the run.
func (r *run) Prepare(context.Context, connector.Epoch) (connector.Prepared, error) {
	return nil, errors.New("the sink takes no part in epochs")
}

// Close ends the output, and makes it visible when it is complete.
func (r *run) Close(ctx context.Context, complete bool) error {
	if r.closed {
		return nil
	}
	r.closed = true
	err := r.failed
	if complete && err == nil {
		err = r.finish(ctx)
	}
	if r.rows && (!complete || err != nil) {
		r.out.incomplete()
	}
	return errors.Join(err, r.w.Close(ctx, complete), r.out.Close())
}

// finish takes the output through the one epoch of the run.
func (r *run) finish(ctx context.Context) error {
	const epoch = 1
	p, err := r.w.Prepare(ctx, connector.Epoch{ID: epoch, Final: true})
	if err != nil || p == nil {
		return err
	}
	c, err := p.Persist(ctx)
	if err != nil {
		return err
	}
	return r.out.Commit(ctx, epoch, []connector.Committable{c})
}

// lone refuses a second writer.
func lone(task int) error {
	if task != 0 {
		return fmt.Errorf("files are written by one task, and this is number %d", task)
	}
	return nil
}

// errClosed is what a closed writer answers.
var errClosed = errors.New("the sink is closed")
