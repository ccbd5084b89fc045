// Package null is the sink that counts rows and drops them, for measurements and tests.
//
// It knows batches and nothing else.
package null

import (
	"context"
	"log/slog"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/delivery"
	"github.com/gorge-stream/gorge/internal/spec"
)

// Registration is the connector "null".
var Registration = connector.Registration{
	Sink: &spec.Decl{
		Name:    "null",
		Summary: "Counts rows and drops them.",
		Doc:     "For measurements and for trying out a pipeline. Every task has a writer of its own.",
		Example: "null: {}",
	},
	Parallel: true,
	SinkPromise: func(*spec.Values) delivery.Promise {
		return delivery.Promise{Guarantee: delivery.ExactlyOnce, Why: "rows are dropped on purpose: nobody sees one twice"}
	},
	NewSink: func(_ *spec.Values, env connector.SinkEnv) (connector.SinkWriter, error) {
		return &sink{log: env.Log}, nil
	},
}

type sink struct {
	log    *slog.Logger
	rows   int64
	closed bool
}

var _ connector.SinkWriter = (*sink)(nil)

// Write counts and releases the batch.
func (s *sink) Write(_ context.Context, b *batch.Batch) error {
	s.rows += int64(b.Len())
	b.Release()
	return nil
}

// Flush does nothing.
func (s *sink) Flush(context.Context) error { return nil }

// Prepare does nothing.
func (s *sink) Prepare(context.Context, connector.Epoch) (connector.Prepared, error) { return nil, nil }

// Close tells the count to the log.
func (s *sink) Close(context.Context, bool) error {
	if !s.closed && s.log != nil {
		s.log.Debug("rows dropped", "rows", s.rows)
	}
	s.closed = true
	return nil
}
