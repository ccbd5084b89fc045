package job

import (
	"context"
	"fmt"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/deadletter"
	"github.com/gorge-stream/gorge/internal/exchange"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/operator"
	"github.com/gorge-stream/gorge/internal/plan"
	"github.com/gorge-stream/gorge/internal/state"
	"github.com/gorge-stream/gorge/internal/task"
)

// builder makes the tasks of a job. Every map is by plan node.
type builder struct {
	*Job
	pools  map[*plan.Node]*batch.Pool
	status map[*plan.Node]*nodeStatus
	// entries are the edges between stages: for each stage its inputs in order.
	entries [][]entry
	boxes   [][]*exchange.Inbox // by stage and task
}

// entry is one input of a stage: an output of a node in another stage, and the
// nodes of the stage that read it.
type entry struct {
	from    plan.Ref
	readers []*plan.Node
}

// Build makes a job of a plan; nothing runs yet, but sources, sinks and
// functions are open. An error closes what was opened.
func Build(ctx context.Context, p *plan.Plan, parts Parts, opts Options) (*Job, error) {
	if opts.Parallelism < 1 || opts.Parallelism > keygroup.Count {
		return nil, fmt.Errorf("parallelism must be 1 to %d, not %d", keygroup.Count, opts.Parallelism)
	}
	if opts.BatchRows < 1 || opts.BatchRows > 1<<16 {
		return nil, fmt.Errorf("rows of a batch must be 1 to %d, not %d", 1<<16, opts.BatchRows)
	}
	j := &Job{plan: p, parts: parts, opts: opts, functions: map[string]Function{}}
	j.ctx, j.cancel = context.WithCancel(context.WithoutCancel(ctx))
	b := &builder{Job: j, pools: map[*plan.Node]*batch.Pool{}, status: map[*plan.Node]*nodeStatus{}}
	if err := b.build(ctx); err != nil {
		j.Abandon()
		return nil, err
	}
	return j, nil
}

func (b *builder) build(ctx context.Context) error {
	for _, n := range b.plan.Nodes {
		s := &nodeStatus{node: n}
		b.status[n] = s
		b.nodes = append(b.nodes, s)
	}
	if err := b.openCheckpoints(ctx); err != nil {
		return err
	}
	b.connect()
	for i := range b.plan.Stages {
		if err := b.stage(ctx, i); err != nil {
			return err
		}
	}
	b.Job.epochs = newEpochs(b.Job, b.coordination(), b.keeper)
	return nil
}

// coordination returns what the coordinator goes by.
func (b *builder) coordination() checkpoint.Config {
	if b.keeper == nil {
		return checkpoint.Config{First: 1, Failures: 1, Off: true}
	}
	c := b.plan.Checkpoint
	return checkpoint.Config{Interval: c.Interval, Timeout: c.Timeout, Failures: maxFailures, First: b.keeper.first}
}

// maxFailures is how many checkpoints in a row may fail until the job does.
const maxFailures = 5

// tasks returns the number of tasks of a stage.
func (b *builder) width(stage int) int {
	s := &b.plan.Stages[stage]
	if s.Partitioning == plan.Single || s.Partitioning == plan.ByKey && len(s.Keys) == 0 {
		return 1
	}
	return b.opts.Parallelism
}

// connect finds the edges between stages and makes the inboxes.
func (b *builder) connect() {
	b.entries = make([][]entry, len(b.plan.Stages))
	b.boxes = make([][]*exchange.Inbox, len(b.plan.Stages))
	for i, s := range b.plan.Stages {
		for _, n := range s.Nodes {
			for _, ref := range n.Inputs {
				if ref.Node.Stage != i {
					b.enter(i, ref, n)
				}
			}
		}
		if len(b.entries[i]) == 0 {
			continue
		}
		var inputs []exchange.Input
		for _, e := range b.entries[i] {
			from := e.from.Node.Stage
			in := exchange.Input{Gather: exchange.All, Senders: b.width(from)}
			if b.plan.Stages[from].Partitioning == plan.BySplit {
				in.Gather = exchange.One
			}
			inputs = append(inputs, in)
		}
		for range b.width(i) {
			box := exchange.NewInbox(inputs, exchange.DefaultLimits)
			b.boxes[i] = append(b.boxes[i], box)
			b.inboxes = append(b.inboxes, box)
		}
	}
}

func (b *builder) enter(stage int, from plan.Ref, reader *plan.Node) {
	for k := range b.entries[stage] {
		if e := &b.entries[stage][k]; e.from == from {
			e.readers = append(e.readers, reader)
			return
		}
	}
	b.entries[stage] = append(b.entries[stage], entry{from, []*plan.Node{reader}})
}

// stage builds the tasks of one stage.
func (b *builder) stage(ctx context.Context, i int) error {
	s := &b.plan.Stages[i]
	var source *sourceStage
	if src, ok := s.Nodes[0].Op.(*plan.Source); ok {
		var err error
		if source, err = b.openSource(ctx, s.Nodes[0], src); err != nil {
			return err
		}
	}
	for t := range b.width(i) {
		c := &chainBuilder{builder: b, stage: i, task: t, tasks: b.width(i), index: map[*plan.Node]int{}}
		if err := c.nodes(ctx, s.Nodes); err != nil {
			c.abandon()
			return err
		}
		name := fmt.Sprintf("%s/%d", s.Nodes[0].Name, t)
		if source != nil {
			err := source.addTask(c, name)
			if err != nil {
				c.abandon()
				return err
			}
			continue
		}
		var inputs [][]task.Consumer
		for _, e := range b.entries[i] {
			inputs = append(inputs, c.consumersOf(e.readers))
		}
		chain := task.NewChain(b.ctx, c.chain, nil, c.edges, c.passed())
		run := &task.Task{Name: name, Inbox: b.boxes[i][t], Inputs: inputs, Chain: chain, Stats: &task.Stats{}}
		b.tasks = append(b.tasks, runnable{name: name, stats: run.Stats, inbox: run.Inbox, run: run.Run, nodes: c.planNodes, abandon: func() error { return chain.Close(false) }})
	}
	return nil
}

// pool returns the pool of batches of a node's main output.
func (b *builder) pool(n *plan.Node) *batch.Pool {
	p := b.pools[n]
	if p == nil {
		p = batch.NewPool(b.schema(n), b.opts.BatchRows)
		b.pools[n] = p
	}
	return p
}

// schema returns the schema of a node's main output.
func (b *builder) schema(n *plan.Node) *batch.Schema {
	switch op := n.Op.(type) {
	case *plan.Encode:
		return operator.ChunkSchema
	case *plan.Combine:
		in := n.Inputs[0].Node.Schema
		return operator.CombineSchema(in, columns(in, op.Of.Keys))
	}
	return n.Schema
}

// portPool returns the pool of batches of any output of a node.
func (b *builder) portPool(r plan.Ref) *batch.Pool {
	switch r.Port {
	case plan.Late:
		return b.portPool(r.Node.Inputs[0])
	case plan.Dead:
		return deadletter.Pool
	}
	return b.pool(r.Node)
}

// columns returns the indexes of the named columns.
func columns(s *batch.Schema, names []string) []int {
	out := make([]int, len(names))
	for i, n := range names {
		if out[i] = s.Index(n); out[i] < 0 {
			panic(fmt.Sprintf("job: the plan names column %q, which %s has not", n, s))
		}
	}
	return out
}

// chainBuilder makes the chain of one task.
type chainBuilder struct {
	*builder
	stage, task, tasks int
	chain              []task.Node
	planNodes          []*plan.Node // of chain
	// cut copies the state of the node being made, nil when it has none.
	cut   func(full bool) (state.Cut, error)
	index map[*plan.Node]int
	edges []*exchange.Edge
}

// nodes adds the nodes of the stage in order and wires their consumers.
func (c *chainBuilder) nodes(ctx context.Context, nodes []*plan.Node) error {
	for _, n := range nodes {
		if _, ok := n.Op.(*plan.Source); ok {
			continue
		}
		made, err := c.node(ctx, n)
		if err != nil {
			return err
		}
		made.Stats = &task.NodeStats{}
		c.status[n].add(made.Stats)
		c.index[n] = len(c.chain)
		c.chain = append(c.chain, made)
		c.planNodes = append(c.planNodes, n)
	}
	for _, n := range nodes {
		i, ok := c.index[n]
		if !ok {
			continue
		}
		for port := range plan.Ports {
			c.chain[i].Consumers[port] = c.consumers(plan.Ref{Node: n, Port: port})
		}
	}
	return nil
}

// passed returns what the next task tells of the barriers that it passes.
func (c *chainBuilder) passed() func(task.Passage) {
	i := len(c.Job.tasks)
	return func(p task.Passage) { c.Job.epochs.passed(i, p) }
}

// consumers returns who reads an output: nodes of this chain and edges to other stages.
func (c *chainBuilder) consumers(from plan.Ref) []task.Consumer {
	var local []*plan.Node
	for _, n := range c.plan.Stages[c.stage].Nodes {
		for _, ref := range n.Inputs {
			if ref == from {
				local = append(local, n)
			}
		}
	}
	out := c.consumersOf(local)
	for s, entries := range c.entries {
		for k, e := range entries {
			if e.from == from {
				out = append(out, task.Consumer{Edge: c.edge(s, k, from)})
			}
		}
	}
	return out
}

func (c *chainBuilder) consumersOf(nodes []*plan.Node) []task.Consumer {
	var out []task.Consumer
	for _, n := range nodes {
		out = append(out, task.Consumer{Node: c.index[n]})
	}
	return out
}

func (c *chainBuilder) edge(stage, input int, from plan.Ref) *exchange.Edge {
	target := exchange.Target{
		Inboxes: c.boxes[stage], Input: input, Sender: c.task,
		Parts: c.tasks > 1 && c.plan.Stages[c.stage].Partitioning != plan.BySplit,
	}
	var keys *state.KeyEncoder
	pool := c.portPool(from)
	if len(target.Inboxes) > 1 {
		keys = state.NewKeyEncoder(pool.Schema(), columns(pool.Schema(), c.plan.Stages[stage].Keys))
	}
	e := exchange.NewEdge(target, keys, pool)
	c.edges = append(c.edges, e)
	return e
}

func (c *chainBuilder) function(name string) *plan.Function {
	for i := range c.plan.Functions {
		if c.plan.Functions[i].Name == name {
			return &c.plan.Functions[i]
		}
	}
	panic(fmt.Sprintf("job: the plan calls function %q, which it does not declare", name))
}

// abandon closes the operators and sinks of a chain that never ran.
func (c *chainBuilder) abandon() {
	_ = task.NewChain(c.ctx, c.chain, nil, c.edges, nil).Close(false)
}
