package job

import (
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/plan"
	"github.com/gorge-stream/gorge/internal/spec"
	"github.com/gorge-stream/gorge/internal/task"
	"github.com/gorge-stream/gorge/internal/watermark"
)

// sourceStage is an open source and what its tasks share.
type sourceStage struct {
	node    *plan.Node
	op      *plan.Source
	feed    *task.Feed
	env     connector.SourceEnv
	decoded bool // blocks are bytes for a decoder
}

func (b *builder) openSource(ctx context.Context, n *plan.Node, op *plan.Source) (*sourceStage, error) {
	reg := b.parts.Connectors[op.Connector]
	env := connector.SourceEnv{
		Name: n.Name, FormatValues: op.FormatSet, Schema: op.Columns, Columns: readColumns(n, op), Batch: n.Schema,
		BlockBytes: b.opts.BlockBytes, BatchRows: b.opts.BatchRows, Limits: codec.Limits{}.WithDefaults(),
		HTTP: b.opts.HTTP, Log: b.opts.Log.With("source", n.Name), DataDir: b.opts.DataDir, FS: b.opts.FS, Epochs: b.keeper != nil,
	}
	s := &sourceStage{node: n, op: op, decoded: op.Format != ""}
	if s.decoded {
		f := b.parts.Formats[op.Format]
		env.Format = &f
	}
	s.env = env
	src, err := reg.NewSource(op.Set, env)
	if err != nil {
		return nil, err
	}
	splits, err := src.Splits(ctx)
	if err == nil && len(splits) == 0 {
		err = diag.New("run/no-splits", "source %s has nothing to read", n.Name)
	}
	if err == nil && b.keeper != nil {
		err = nameable(n.Name, splits)
	}
	if err != nil {
		_ = src.Close()
		return nil, err
	}
	i := len(b.feeds)
	s.feed = task.NewFeed(task.FeedConfig{
		Source: src, Splits: splits, Tasks: b.width(n.Stage),
		OnEnd:     func() { b.Job.epochs.ended() },
		OnBarrier: func(epoch uint64, at checkpoint.Source) { b.Job.epochs.sourceAt(i, epoch, at) },
		Time:      watermark.Config{MaxDisorder: micros(op.EventTime.MaxDisorder), IdleAfter: micros(op.EventTime.IdleAfter), MaxAhead: micros(op.EventTime.MaxAhead)},
		Now:       func() int64 { return b.opts.Now().UnixMicro() },
	})
	b.feeds = append(b.feeds, namedFeed{n.Name, op.Connector, src, s.feed})
	if at := b.keeper.sourceAt(n.Name); at != nil {
		if err := s.feed.Restore(*at); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// nameable refuses splits that no manifest can name, because it is text: the next run
// would take them for others.
func nameable(source string, splits []connector.Split) error {
	for _, s := range splits {
		if !utf8.ValidString(s.ID) {
			return diag.New("run/split-name", "source %s: the name %q is not UTF-8, so that no checkpoint can tell how far it was read", source, s.ID).
				WithHint("rename it, or run without checkpoints: --checkpoint off")
		}
	}
	return nil
}

// readColumns returns the declared columns that the plan needs, in the order of
// the node's schema; the hidden time column is the declared event time.
func readColumns(n *plan.Node, op *plan.Source) []spec.Column {
	var out []spec.Column
	for _, f := range n.Schema.Fields {
		name := f.Name
		if name == "" {
			name = op.EventTime.Column
		}
		for _, c := range op.Columns {
			if c.Name == name {
				out = append(out, c)
			}
		}
	}
	if len(out) != len(n.Schema.Fields) {
		panic(fmt.Sprintf("job: source %s declares %d of the columns %s", n.Name, len(out), n.Schema))
	}
	return out
}

// addTask adds one task that reads the source.
func (s *sourceStage) addTask(c *chainBuilder, name string) error {
	heads := c.consumers(plan.Ref{Node: s.node, Port: plan.Main})
	dead := c.consumers(plan.Ref{Node: s.node, Port: plan.Dead})
	run := &task.Source{
		Name: name, Index: c.task, Step: s.node.Name, Feed: s.feed, Pool: c.pool(s.node), OnBad: task.BadPolicy(s.op.OnBadRecord),
		DeadTo: dead, Stats: &task.Stats{}, Rows: &task.SourceStats{},
	}
	if s.decoded {
		d, err := s.env.Format.NewDecoder(s.env.FormatValues, s.env.Schema, s.env.Columns, s.env.Limits)
		if err != nil {
			return err
		}
		run.Decoder = d
	}
	run.Chain = task.NewChain(c.ctx, c.chain, heads, c.edges, c.passed())
	c.status[s.node].sources = append(c.status[s.node].sources, run.Rows)
	c.Job.tasks = append(c.Job.tasks, runnable{
		name: name, stats: run.Stats, nodes: c.planNodes,
		run:     func() error { return run.Run(c.ctx) },
		abandon: func() error { return run.Chain.Close(false) },
	})
	return nil
}
