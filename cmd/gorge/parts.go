package main

import (
	"context"
	"path/filepath"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/file"
	"github.com/gorge-stream/gorge/internal/job"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/plan"
	"github.com/gorge-stream/gorge/internal/state"
	"github.com/gorge-stream/gorge/internal/state/memory"
	"github.com/gorge-stream/gorge/internal/udf/python"
)

// parts are the implementations that the job is built from.
func (e *engine) parts() job.Parts {
	return job.Parts{
		Connectors: connectors,
		Formats:    formats,
		State:      func(l state.Layout, g keygroup.Range) state.Backend { return memory.New(l, g) },
		Function:   e.openFunction,
		DeadLetters: func() (connector.SinkWriter, error) {
			return file.OpenAppend(e.deadLetterFile())
		},
	}
}

// deadLetterFile is where dead letters go when the pipeline names no sink for them.
func (e *engine) deadLetterFile() string { return filepath.Join(e.dataDir(), "dead-letters.ndjson") }

// openFunction starts the Python workers of a function.
func (e *engine) openFunction(ctx context.Context, f plan.Function, args []batch.Kind) (job.Function, error) {
	path := f.File
	if !filepath.IsAbs(path) {
		path = filepath.Join(e.dir, path)
	}
	return python.Open(ctx, python.Spec{
		Name: f.Name, File: path, Version: f.Version, Workers: f.Workers, Timeout: f.Timeout, Args: args, Returns: f.Returns,
	}, python.Options{Log: e.log})
}
