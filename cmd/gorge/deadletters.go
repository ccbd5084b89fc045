package main

import (
	"context"
	"path/filepath"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/file"
	"github.com/gorge-stream/gorge/internal/delivery"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/plan"
	"github.com/gorge-stream/gorge/internal/spec"
)

// deadLetterPlace is where in the data directory dead letters go when the pipeline names no sink for them.
const deadLetterPlace = "dead-letters.ndjson"

// deadLetterFile is the sink of dead letters for files that name none.
var deadLetterFile = connector.Registration{
	Sink:          &spec.Decl{Name: deadLetters, Summary: "A file of the data directory."},
	DefaultFormat: "json",
	Bytes:         true,
	SinkPromise: func(*spec.Values) delivery.Promise {
		return delivery.Promise{Guarantee: delivery.AtLeastOnce, Why: "dead letters are appended to a file as they come"}
	},
	NewSink: func(_ *spec.Values, env connector.SinkEnv) (connector.SinkWriter, error) {
		return &deadLetterWriter{path: filepath.Join(env.DataDir, deadLetterPlace)}, nil
	},
}

// deadLetterWriter opens the file with the first letter: most runs have none.
type deadLetterWriter struct {
	path string
	file connector.SinkWriter
}

// Write adds encoded letters to the file.
func (w *deadLetterWriter) Write(ctx context.Context, b *batch.Batch) error {
	if w.file == nil {
		f, err := file.OpenAppend(w.path)
		if err != nil {
			b.Release()
			return diag.New("run/dead-letters", "dead letters cannot be written").WithCause(err).
				WithHint("choose another data directory with --data, or name a sink under dead_letters:")
		}
		w.file = f
	}
	return w.file.Write(ctx, b)
}

// Flush does nothing: nothing is kept back.
func (w *deadLetterWriter) Flush(context.Context) error { return nil }

// Prepare prepares nothing: appended letters are final at once.
func (w *deadLetterWriter) Prepare(context.Context, connector.Epoch) (connector.Prepared, error) {
	return nil, nil
}

// Close brings the file to the disk.
func (w *deadLetterWriter) Close(ctx context.Context, complete bool) error {
	if w.file == nil {
		return nil
	}
	return w.file.Close(ctx, complete)
}

// defaultDeadLetters returns where the dead letters of the run are, empty when the pipeline names a sink for them.
func (e *engine) defaultDeadLetters() string {
	for _, n := range e.plan.Nodes {
		if s, ok := n.Op.(*plan.Sink); ok && n.Name == plan.DeadLetters && s.Connector == deadLetters {
			return filepath.Join(e.dataDir(), deadLetterPlace)
		}
	}
	return ""
}
