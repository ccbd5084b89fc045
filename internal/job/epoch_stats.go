package job

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/task"
)

// seconds are the buckets of what takes from a fraction of a millisecond to minutes. The
// pause of a task should be within one millisecond, a checkpoint within a hundred.
var seconds = []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}

// epochStats are the figures of the checkpoints of one job.
type epochStats struct {
	phases  *prometheus.HistogramVec
	total   prometheus.Histogram
	pause   prometheus.Histogram
	aligned prometheus.Histogram

	mu    sync.Mutex
	phase checkpoint.Phase // guarded by mu: the one under way, since that time
	since time.Time        // guarded by mu
}

func newEpochStats() *epochStats {
	histogram := func(name, help string) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Name: "gorge_checkpoint_" + name, Help: help, Buckets: seconds}
	}
	return &epochStats{
		phases:  prometheus.NewHistogramVec(histogram("phase_seconds", "Time an epoch spent in a phase: passing, persisting, deciding, committing."), []string{"phase"}),
		total:   prometheus.NewHistogram(histogram("duration_seconds", "Time from a barrier to the commit of its epoch.")),
		pause:   prometheus.NewHistogram(histogram("pause_seconds", "Time a task stood still at a barrier, to copy its state and cut its output.")),
		aligned: prometheus.NewHistogram(histogram("alignment_seconds", "Time a task with several inputs held back those that had the barrier already.")),
	}
}

// enter notes the phase that the coordinator is in.
func (s *epochStats) enter(now checkpoint.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Phase == s.phase {
		return
	}
	switch s.phase {
	case checkpoint.Passing, checkpoint.Persisting, checkpoint.Deciding, checkpoint.Committing:
		s.phases.WithLabelValues(string(s.phase)).Observe(now.Since.Sub(s.since).Seconds())
	}
	s.phase, s.since = now.Phase, now.Since
}

// pass notes what a barrier cost a task.
func (s *epochStats) pass(p task.Passage) {
	s.pause.Observe(p.Pause.Seconds())
	if p.Aligned > 0 {
		s.aligned.Observe(p.Aligned.Seconds())
	}
}

// collectors are the histograms, for Describe and Collect.
func (s *epochStats) collectors() []prometheus.Collector {
	return []prometheus.Collector{s.phases, s.total, s.pause, s.aligned}
}

// CheckpointStatus is how the checkpoints of a job stand.
type CheckpointStatus struct {
	checkpoint.Status
	Bytes int64 // of the state in the last one that was written
}

// Checkpoint returns how the checkpoints stand, nil for a job without. Any goroutine may call it.
func (j *Job) Checkpoint() *CheckpointStatus {
	if j.keeper == nil {
		return nil
	}
	j.epochs.mu.Lock()
	defer j.epochs.mu.Unlock()
	return &CheckpointStatus{Status: j.epochs.status, Bytes: j.keeper.bytes.Load()}
}
