package job

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gorge-stream/gorge/internal/batch"
)

// metric is one exported family.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func newMetric(kind prometheus.ValueType, name, help string, labels ...string) metric {
	return metric{prometheus.NewDesc("gorge_"+name, help, labels, nil), kind}
}

// The metrics of a job, by the conventions of Prometheus: base units, counters end in _total.
var (
	mEvents   = newMetric(prometheus.CounterValue, "events_processed_total", "Rows that entered a node.", "node", "kind")
	mEmitted  = newMetric(prometheus.CounterValue, "events_emitted_total", "Rows that a node emitted.", "node", "kind")
	mBytes    = newMetric(prometheus.CounterValue, "source_bytes_total", "Bytes read by a source.", "node")
	mBad      = newMetric(prometheus.CounterValue, "bad_records_total", "Records that a source could not decode.", "node")
	mLate     = newMetric(prometheus.CounterValue, "late_rows_total", "Rows that came after their window had closed.", "node")
	mFiltered = newMetric(prometheus.CounterValue, "filtered_rows_total", "Rows that a where step dropped.", "node")
	mFailed   = newMetric(prometheus.CounterValue, "udf_failed_rows_total", "Rows for which a user-defined function failed.", "node")
	mDead     = newMetric(prometheus.CounterValue, "dead_letters_total", "Dead letters given to the sink of dead letters.")
	mState    = newMetric(prometheus.GaugeValue, "state_bytes", "Memory of the keyed state of a node.", "node")
	mBusy     = newMetric(prometheus.CounterValue, "task_busy_seconds_total", "Time a task worked.", "task")
	mIdle     = newMetric(prometheus.CounterValue, "task_idle_seconds_total", "Time a task waited for input.", "task")
	mBlocked  = newMetric(prometheus.CounterValue, "task_blocked_seconds_total", "Time a task waited for room downstream.", "task")
	mQueue    = newMetric(prometheus.GaugeValue, "queue_bytes", "Memory of the batches waiting in front of a task.", "task")
	mMark     = newMetric(prometheus.GaugeValue, "watermark_seconds", "Watermark of a task, seconds since 1970; absent before there is one and after the end of the input.", "task")
	mLag      = newMetric(prometheus.GaugeValue, "watermark_lag_seconds", "Processing time less the watermark of a task.", "task")
	mIdleness = newMetric(prometheus.GaugeValue, "split_idle", "1 when a split counts as idle and does not hold the watermark back.", "source", "split")
	mClamped  = newMetric(prometheus.CounterValue, "split_clamped_blocks_total", "Blocks whose newest event time was further ahead than max_ahead.", "source", "split")
	mEpoch    = newMetric(prometheus.GaugeValue, "checkpoint_epoch", "The last epoch that was committed.")
	mAge      = newMetric(prometheus.GaugeValue, "checkpoint_age_seconds", "Time since the last checkpoint was committed, or since the start.")
	mSize     = newMetric(prometheus.GaugeValue, "checkpoint_bytes", "State that the last checkpoint wrote.")
	mGivenUp  = newMetric(prometheus.CounterValue, "checkpoints_abandoned_total", "Checkpoints that could not finish.")
	mBatches  = newMetric(prometheus.GaugeValue, "live_batches", "Batches in use in the process.")

	allMetrics = []metric{mEvents, mEmitted, mBytes, mBad, mLate, mFiltered, mFailed, mDead, mState, mBusy, mIdle, mBlocked, mQueue, mMark, mLag, mIdleness, mClamped, mEpoch, mAge, mSize, mGivenUp, mBatches}
)

var _ prometheus.Collector = (*Job)(nil)

// Describe sends the descriptions of the metrics.
func (j *Job) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range allMetrics {
		ch <- m.desc
	}
	for _, c := range j.epochs.stats.collectors() {
		c.Describe(ch)
	}
}

// Collect reads the counters of the tasks: nothing is done for metrics while rows flow.
func (j *Job) Collect(ch chan<- prometheus.Metric) {
	send := func(m metric, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, v, labels...)
	}
	s := j.Status()
	for _, n := range s.Nodes {
		if n.Kind == "source" {
			send(mBytes, float64(n.BytesIn), n.Name)
			send(mBad, float64(n.Bad), n.Name)
		} else {
			send(mEvents, float64(n.RowsIn), n.Name, n.Kind)
		}
		if n.Kind != "sink" {
			send(mEmitted, float64(n.RowsOut), n.Name, n.Kind)
		}
		switch n.Kind {
		case "window", "combine":
			send(mLate, float64(n.Late), n.Name)
			send(mState, float64(n.StateBytes), n.Name)
		case "running":
			send(mState, float64(n.StateBytes), n.Name)
		case "where":
			send(mFiltered, float64(n.Filtered), n.Name)
		case "call":
			send(mFailed, float64(n.Failed), n.Name)
		}
	}
	now := float64(j.opts.Now().UnixMicro()) / 1e6
	for _, t := range s.Tasks {
		send(mBusy, t.Times.Busy.Seconds(), t.Name)
		send(mIdle, t.Times.Idle.Seconds(), t.Name)
		send(mBlocked, t.Times.Blocked.Seconds(), t.Name)
		send(mQueue, float64(t.QueueBytes), t.Name)
		if t.Watermark != batch.MinTime && t.Watermark != batch.MaxTime {
			send(mMark, float64(t.Watermark)/1e6, t.Name)
			send(mLag, now-float64(t.Watermark)/1e6, t.Name)
		}
	}
	for _, sp := range s.Splits {
		idle := 0.0
		if sp.Idle {
			idle = 1
		}
		send(mIdleness, idle, sp.Source, sp.Split)
		send(mClamped, float64(sp.Clamped), sp.Source, sp.Split)
	}
	if c := j.Checkpoint(); c != nil {
		last := time.Unix(0, j.started.Load())
		if c.Committed > 0 {
			last = c.CommittedAt
		}
		send(mEpoch, float64(c.Committed))
		send(mAge, j.opts.Now().Sub(last).Seconds())
		send(mSize, float64(c.Bytes))
		send(mGivenUp, float64(c.Abandoned))
		for _, h := range j.epochs.stats.collectors() {
			h.Collect(ch)
		}
	}
	send(mDead, float64(s.DeadLetters))
	send(mBatches, float64(s.Batches))
}
