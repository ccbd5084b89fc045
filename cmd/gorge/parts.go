package main

import (
	"context"
	"path/filepath"
	"strconv"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/job"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/plan"
	"github.com/gorge-stream/gorge/internal/state"
	"github.com/gorge-stream/gorge/internal/state/disk"
	"github.com/gorge-stream/gorge/internal/state/memory"
	"github.com/gorge-stream/gorge/internal/udf/python"
)

// newUDFLatency makes the metric of how long a batch was with a worker.
func newUDFLatency() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "gorge_udf_latency_seconds",
		Help:    "Time from handing a batch to a UDF worker to its answer.",
		Buckets: prometheus.ExponentialBuckets(5e-6, 4, 12),
	}, []string{"function"})
}

// parts are the implementations that the job is built from.
func (e *engine) parts(registry *prometheus.Registry) job.Parts {
	latency := newUDFLatency()
	registry.MustRegister(latency)
	return job.Parts{
		Connectors: e.flags.connectors(),
		Formats:    formats,
		State:      e.state(),
		Function: func(ctx context.Context, f plan.Function, args []batch.Kind) (job.Function, error) {
			seconds := latency.WithLabelValues(f.Name)
			return e.openFunction(ctx, f, args, func(_ int, d time.Duration) { seconds.Observe(d.Seconds()) })
		},
	}
}

// stateDir is where state on disk is below the data directory. It holds nothing
// that outlives a run: the checkpoints do.
const stateDir = "state"

// state returns what makes the state backends of the run.
func (e *engine) state() func(state.Layout, keygroup.Range, bool) (job.KeyedState, error) {
	made := 0
	return func(l state.Layout, g keygroup.Range, lasting bool) (job.KeyedState, error) {
		if !e.plan.State.Disk || !lasting {
			return memory.New(l, g), nil
		}
		made++
		return disk.New(l, g, disk.Options{
			Dir: filepath.Join(e.dataDir(), stateDir, strconv.Itoa(made)), FS: vfs.Default, MemoryLimit: e.plan.State.MemoryLimit, Log: e.log,
		})
	}
}

// openFunction starts the Python workers of a function.
func (e *engine) openFunction(ctx context.Context, f plan.Function, args []batch.Kind, observe func(int, time.Duration)) (job.Function, error) {
	path := f.File
	if !filepath.IsAbs(path) {
		path = filepath.Join(e.dir, path)
	}
	return python.Open(ctx, python.Spec{
		Name: f.Name, File: path, Version: f.Version, Workers: f.Workers, Timeout: f.Timeout, Args: args, Returns: f.Returns,
	}, python.Options{Log: e.log, Observe: observe})
}
