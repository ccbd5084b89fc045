package job

import (
	"context"
	"fmt"
	"time"

	"github.com/gorge-stream/gorge/internal/agg"
	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/expr"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/operator"
	"github.com/gorge-stream/gorge/internal/plan"
	"github.com/gorge-stream/gorge/internal/spec"
	"github.com/gorge-stream/gorge/internal/state"
	"github.com/gorge-stream/gorge/internal/task"
	"github.com/gorge-stream/gorge/internal/window"
)

// node makes the operator or sink of a plan node for one task.
func (c *chainBuilder) node(ctx context.Context, n *plan.Node) (task.Node, error) {
	c.cut = nil
	op, err := c.operator(ctx, n)
	if err != nil {
		return task.Node{}, err
	}
	if op != nil {
		return task.Node{Op: op, Cut: c.cut}, nil
	}
	refused := &task.Refused{Step: n.Name}
	sink, epochs, err := c.sink(ctx, n, n.Op.(*plan.Sink), refused.Row)
	return task.Node{Sink: sink, Epochs: epochs, Refused: refused}, err
}

// operator makes the operator of a node, nil for a sink.
func (c *chainBuilder) operator(ctx context.Context, n *plan.Node) (operator.Operator, error) {
	in := c.portPool(n.Inputs[0]).Schema()
	switch op := n.Op.(type) {
	case *plan.Filter:
		where, err := expr.Compile(op.Where, in)
		if err != nil {
			return nil, err
		}
		return operator.NewFilter(where, c.portPool(n.Inputs[0]), &c.status[n].counters(c.task).filtered), nil
	case *plan.Project:
		return c.project(n, op, in)
	case *plan.WindowAggregate:
		return c.windowAggregate(ctx, n, op)
	case *plan.Combine:
		return c.combine(n, op)
	case *plan.Running:
		return c.running(ctx, n, op, in)
	case *plan.Call:
		return c.call(ctx, n, op, in)
	case *plan.Encode:
		f := c.parts.Formats[op.Format]
		enc, err := f.NewEncoder(op.Set, op.Schema)
		if err != nil {
			return nil, err
		}
		return operator.NewEncode(enc, c.pool(n)), nil
	case *plan.Sink:
		return nil, nil
	}
	panic(fmt.Sprintf("job: no operator for %T", n.Op))
}

func (c *chainBuilder) project(n *plan.Node, op *plan.Project, in *batch.Schema) (operator.Operator, error) {
	byName := map[string]*expr.Expr{}
	for _, col := range op.Columns {
		byName[col.Name] = col.Expr
	}
	var cols []operator.Column
	for i, f := range n.Schema.Fields {
		e := byName[f.Name]
		if f.Name == "" && i == n.Schema.Time {
			cols = append(cols, operator.Column{Input: in.Time})
			continue
		}
		if name, ok := e.IsColumn(); ok && in.Fields[in.Index(name)].Kind == f.Kind {
			cols = append(cols, operator.Column{Input: in.Index(name)})
			continue
		}
		p, err := expr.Compile(e, in)
		if err != nil {
			return nil, err
		}
		cols = append(cols, operator.Column{Program: p})
	}
	return operator.NewProject(cols, c.pool(n)), nil
}

// aggregates compiles aggregate columns over a schema.
func aggregates(list []plan.Aggregate, in *batch.Schema) (*operator.Aggregates, error) {
	var calls []operator.AggregateCall
	var texts []string
	for _, a := range list {
		f, ok := agg.Lookup(a.Function)
		if !ok {
			panic(fmt.Sprintf("job: the plan names aggregate %q, which there is not", a.Function))
		}
		call := operator.AggregateCall{Function: f, Params: a.Params}
		for _, e := range a.Args {
			p, err := expr.Compile(e, in)
			if err != nil {
				return nil, err
			}
			call.Args = append(call.Args, p)
			texts = append(texts, e.String())
		}
		calls = append(calls, call)
	}
	return operator.NewAggregates(calls, texts), nil
}

// groups returns the key groups of the task.
func (c *chainBuilder) groups() keygroup.Range { return keygroup.Owned(c.task, c.tasks) }

func (c *chainBuilder) windowConfig(n *plan.Node, op *plan.WindowAggregate, rows *batch.Schema, input *batch.Pool) (operator.WindowConfig, error) {
	aggs, err := aggregates(op.Aggregates, rows)
	if err != nil {
		return operator.WindowConfig{}, err
	}
	return operator.WindowConfig{
		Keys:       state.NewKeyEncoder(input.Schema(), columns(input.Schema(), op.Keys)),
		KeyCount:   len(op.Keys),
		Assigner:   window.Tumbling{Size: op.Window.Size.Microseconds(), Offset: op.Window.Offset.Microseconds()},
		Trigger:    window.AtEnd{},
		Aggregates: aggs,
		Out:        c.pool(n),
		In:         input,
		Partial:    -1,
		LateOutput: op.LateOutput,
		Late:       &c.status[n].counters(c.task).late,
	}, nil
}

func (c *chainBuilder) windowAggregate(ctx context.Context, n *plan.Node, op *plan.WindowAggregate) (operator.Operator, error) {
	from := n.Inputs[0]
	input := c.portPool(from)
	rows := input.Schema()
	if op.Combine {
		rows = c.portPool(from.Node.Inputs[0]).Schema()
	}
	cfg, err := c.windowConfig(n, op, rows, input)
	if err != nil {
		return nil, err
	}
	if op.Combine {
		cfg.Partial = len(op.Keys) + 1
	}
	if cfg.State, err = c.state(ctx, n, cfg.Aggregates, cfg.Aggregates.Set.Init()); err != nil {
		return nil, err
	}
	return operator.NewWindowAggregate(cfg), nil
}

func (c *chainBuilder) combine(n *plan.Node, op *plan.Combine) (operator.Operator, error) {
	input := c.portPool(n.Inputs[0])
	cfg, err := c.windowConfig(n, op.Of, input.Schema(), input)
	if err != nil {
		return nil, err
	}
	// Before the exchange a task meets keys of every group. Nothing outlives a block,
	// so that there is nothing to copy at a barrier.
	made, err := c.parts.State(state.Layout{Init: cfg.Aggregates.Set.Init()}, keygroup.All, false)
	if err != nil {
		return nil, err
	}
	cfg.State = c.status[n].track(made)
	return operator.NewCombine(cfg), nil
}

// state makes the state of a step in the task, with what the checkpoint has of it.
func (c *chainBuilder) state(ctx context.Context, n *plan.Node, aggs *operator.Aggregates, init []uint64) (state.Backend, error) {
	layout := state.Layout{Init: init}
	if aggs.Set.KeepsTexts() {
		layout.MoveTexts = aggs.Set.MoveTexts
	}
	made, err := c.parts.State(layout, c.groups(), true)
	if err != nil {
		return nil, err
	}
	if c.keeper != nil {
		s := c.keeper.shard(len(c.Job.tasks), len(c.chain), n, c.groups(), len(init), made)
		if err := c.keeper.restore(ctx, s); err != nil {
			made.Close()
			return nil, err
		}
		c.cut = s.cut
	}
	return c.status[n].track(made), nil
}

// passedOn returns the input column of each output column that is not among the
// new ones, which come last.
func passedOn(in, out *batch.Schema, added int) []int {
	var from []int
	for i, f := range out.Fields[:len(out.Fields)-added] {
		if f.Name == "" && i == out.Time {
			from = append(from, in.Time)
		} else {
			from = append(from, columns(in, []string{f.Name})[0])
		}
	}
	return from
}

func (c *chainBuilder) running(ctx context.Context, n *plan.Node, op *plan.Running, in *batch.Schema) (operator.Operator, error) {
	aggs, err := aggregates(op.Stats, in)
	if err != nil {
		return nil, err
	}
	kept, err := c.state(ctx, n, aggs, operator.RunningInit(aggs, op.TTL.Microseconds()))
	if err != nil {
		return nil, err
	}
	return operator.NewRunning(operator.RunningConfig{
		Keys:       state.NewKeyEncoder(in, columns(in, op.Keys)),
		Aggregates: aggs,
		State:      kept,
		Out:        c.pool(n),
		Inputs:     passedOn(in, n.Schema, len(op.Stats)),
		TTL:        op.TTL.Microseconds(),
	}), nil
}

func (c *chainBuilder) call(ctx context.Context, n *plan.Node, op *plan.Call, in *batch.Schema) (operator.Operator, error) {
	args := &batch.Schema{Time: -1}
	var programs []*expr.Program
	var kinds []batch.Kind
	for _, e := range op.Args {
		p, err := expr.Compile(e, in)
		if err != nil {
			return nil, err
		}
		programs = append(programs, p)
		kinds = append(kinds, p.Type().Kind)
		args.Fields = append(args.Fields, batch.Field{Name: e.Source(), Kind: p.Type().Kind, Nullable: p.Type().Nullable})
	}
	f := c.function(op.Function)
	fn, err := c.open(ctx, f, kinds)
	if err != nil {
		return nil, err
	}
	rows, err := c.rowEncoder(in)
	if err != nil {
		return nil, err
	}
	return operator.NewCall(operator.CallConfig{
		Context: c.ctx, Step: n.Name, Place: n.Place, Func: fn,
		Args: programs, ArgPool: batch.NewPool(args, c.opts.BatchRows),
		Out: c.pool(n), Inputs: passedOn(in, n.Schema, len(op.Results)),
		OnFailure: operator.OnFailure(f.OnError), Default: f.Default,
		Rows: rows, Failed: &c.status[n].counters(c.task).failed,
	}), nil
}

// rowEncoder makes the encoder of the rows in dead letters.
func (c *chainBuilder) rowEncoder(s *batch.Schema) (codec.Encoder, error) {
	f := c.parts.Formats["json"]
	return f.NewEncoder(spec.NewValues(f.Decl, diag.Place{}, nil), s)
}

// open opens a function once for all tasks and steps that call it with the same kinds of arguments.
func (c *chainBuilder) open(ctx context.Context, f *plan.Function, args []batch.Kind) (Function, error) {
	key := fmt.Sprintf("%s%v", f.Name, args)
	if fn, ok := c.functions[key]; ok {
		return fn, nil
	}
	fn, err := c.parts.Function(ctx, *f, args)
	if err != nil {
		return nil, err
	}
	c.functions[key] = fn
	return fn, nil
}

// sink makes the writer of a sink in the task, and tells whether it takes part in epochs.
func (c *chainBuilder) sink(ctx context.Context, n *plan.Node, op *plan.Sink, dead func(code, reason, detail string, row []byte)) (w connector.SinkWriter, epochs bool, err error) {
	for _, s := range c.sinks {
		if s.node == n {
			w, err := s.sink.Writer(ctx, connector.WriterEnv{Task: c.task, Dead: dead})
			return w, true, err
		}
	}
	env, err := c.sinkEnv(n, op)
	if err != nil {
		return nil, false, err
	}
	env.Dead = dead
	w, err = c.parts.Connectors[op.Connector].NewSink(op.Set, env)
	return w, false, err
}

// sinkEnv returns what a sink is built from, without its dead letters.
func (b *builder) sinkEnv(n *plan.Node, op *plan.Sink) (connector.SinkEnv, error) {
	from := n.Inputs[0]
	env := connector.SinkEnv{
		Name: n.Name, Schema: b.portPool(from).Schema(), FormatValues: op.FormatSet, Writers: b.width(n.Stage),
		DataDir: b.opts.DataDir, FS: b.opts.FS, HTTP: b.opts.HTTP, Log: b.opts.Log.With("sink", n.Name), Terminal: b.opts.Terminal,
	}
	if tell := b.opts.Stalled; tell != nil {
		env.Stalled = func(reason string) { tell(n.Name, reason) }
	}
	if f, ok := b.parts.Formats[op.Format]; ok {
		env.Format = &f
		if len(f.ContentTypes) > 0 {
			env.ContentType = f.ContentTypes[0]
		}
	}
	if enc, ok := from.Node.Op.(*plan.Encode); ok && from.Port == plan.Main {
		e, err := env.Format.NewEncoder(enc.Set, enc.Schema)
		if err != nil {
			return env, err
		}
		env.Encoded, env.Header, env.Footer = true, e.Header(), e.Footer()
	}
	return env, nil
}

func micros(d time.Duration) int64 { return d.Microseconds() }
