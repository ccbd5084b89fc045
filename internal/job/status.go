package job

import (
	"sync/atomic"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/operator"
	"github.com/gorge-stream/gorge/internal/plan"
	"github.com/gorge-stream/gorge/internal/state"
	"github.com/gorge-stream/gorge/internal/task"
)

// nodeStatus gathers what the tasks count for one plan node. Its slices are
// complete before the job runs; the counters are read at any time.
type nodeStatus struct {
	node    *plan.Node
	stats   []*task.NodeStats
	sources []*task.SourceStats
	own     []*nodeCounters // by task
	states  []*trackedState
}

// nodeCounters are what one operator counts beside its rows.
type nodeCounters struct {
	filtered, late, failed operator.Counter
}

func (s *nodeStatus) add(n *task.NodeStats) { s.stats = append(s.stats, n) }

func (s *nodeStatus) counters(task int) *nodeCounters {
	for len(s.own) <= task {
		s.own = append(s.own, &nodeCounters{})
	}
	return s.own[task]
}

// track wraps a backend so that its size can be read from outside the task.
func (s *nodeStatus) track(b state.Backend) state.Backend {
	t := &trackedState{Backend: b}
	s.states = append(s.states, t)
	return t
}

// trackedState publishes the size of a backend whenever a pane comes or goes.
type trackedState struct {
	state.Backend
	bytes atomic.Int64
}

// Pane returns the pane and publishes the size.
func (t *trackedState) Pane(id int64) (state.Pane, error) {
	p, err := t.Backend.Pane(id)
	t.bytes.Store(t.Backend.Bytes())
	return p, err
}

// Drop drops the pane and publishes the size.
func (t *trackedState) Drop(id int64) {
	t.Backend.Drop(id)
	t.bytes.Store(t.Backend.Bytes())
}

// NodeStatus is what one node of the plan has done so far.
type NodeStatus struct {
	Name, Kind string
	RowsIn     int64
	RowsOut    int64
	Late       int64
	Filtered   int64
	Failed     int64 // rows for which a function failed
	Bad        int64 // records that could not be decoded
	Dead       int64 // dead letters emitted
	BytesIn    int64
	StateBytes int64
	// Encoded: the node is a sink that takes chunks of rows, which its encode node counts.
	Encoded bool
	// Letters: the node is the sink of dead letters, or encodes for it.
	Letters bool
}

func (s *nodeStatus) read() NodeStatus {
	out := NodeStatus{Name: s.node.Name, Kind: Kind(s.node), Letters: plan.IsDeadLetters(s.node)}
	for _, n := range s.stats {
		out.RowsIn += n.In.Load()
		out.RowsOut += n.Out.Load()
		out.Dead += n.Dead.Load()
	}
	for _, n := range s.sources {
		out.RowsOut += n.Rows.Load()
		out.Bad += n.Bad.Load()
		out.BytesIn += n.Bytes.Load()
	}
	for _, n := range s.own {
		out.Late += n.late.Load()
		out.Filtered += n.filtered.Load()
		out.Failed += n.failed.Load()
	}
	if len(s.node.Inputs) > 0 {
		_, out.Encoded = s.node.Inputs[0].Node.Op.(*plan.Encode)
	}
	for _, b := range s.states {
		out.StateBytes += b.bytes.Load()
	}
	return out
}

// Kind returns the word for what a node does: "source", "where", "window", ...
func Kind(n *plan.Node) string {
	switch n.Op.(type) {
	case *plan.Source:
		return "source"
	case *plan.Filter:
		return "where"
	case *plan.Project:
		return "select"
	case *plan.WindowAggregate:
		return "window"
	case *plan.Combine:
		return "combine"
	case *plan.Running:
		return "running"
	case *plan.Call:
		return "call"
	case *plan.Encode:
		return "encode"
	}
	return "sink"
}

// SplitStatus is the event time of one split of a source.
type SplitStatus struct {
	Source, Split string
	Max           batch.Time // batch.MinTime: no row yet
	Idle, Ended   bool
	Clamped       int64
}

// TaskStatus is what one task has done so far.
type TaskStatus struct {
	Name       string
	Times      task.Times
	Watermark  batch.Time
	QueueBytes int
}

// Status is what a job has done so far.
type Status struct {
	Running     bool
	Elapsed     time.Duration
	Nodes       []NodeStatus
	Tasks       []TaskStatus
	Splits      []SplitStatus
	DeadLetters int64 // given to the sink of dead letters
	Batches     int64 // live batches of the process
}

// Status returns what the job has done so far. Any goroutine may call it.
func (j *Job) Status() Status {
	now := j.opts.Now()
	s := Status{Batches: batch.Live()}
	if start := j.started.Load(); start != 0 {
		end := j.ended.Load()
		s.Running = end == 0
		if end == 0 {
			end = now.UnixNano()
		}
		s.Elapsed = time.Duration(end - start)
	}
	for _, n := range j.nodes {
		got := n.read()
		if got.Letters && !got.Encoded {
			s.DeadLetters = got.RowsIn
		}
		s.Nodes = append(s.Nodes, got)
	}
	for _, t := range j.tasks {
		ts := TaskStatus{Name: t.name, Times: t.stats.Times(now), Watermark: t.stats.Watermark()}
		if t.inbox != nil {
			ts.QueueBytes = t.inbox.Bytes()
		}
		s.Tasks = append(s.Tasks, ts)
	}
	for _, f := range j.feeds {
		splits, status := f.feed.Status()
		for i, w := range status {
			s.Splits = append(s.Splits, SplitStatus{f.name, splits[i].ID, w.Max, w.Idle, w.Ended, w.Clamped})
		}
	}
	return s
}

// Totals are the figures of the summary.
type Totals struct{ In, Out, Late, Dead, Bad int64 }

// Totals returns the rows read, written, late and dead so far.
func (s Status) Totals() Totals {
	t := Totals{Dead: s.DeadLetters}
	for _, n := range s.Nodes {
		if n.Letters {
			continue
		}
		switch n.Kind {
		case "source":
			t.In += n.RowsOut
			t.Bad += n.Bad
		case "encode":
			t.Out += n.RowsIn
		case "sink":
			if !n.Encoded {
				t.Out += n.RowsIn
			}
		}
		t.Late += n.Late
	}
	return t
}
