package task

import (
	"context"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/exchange"
	"github.com/gorge-stream/gorge/internal/operator"
	"github.com/gorge-stream/gorge/internal/state"
)

// Consumer is where a batch goes: a later node of the same chain, or an edge.
type Consumer struct {
	Node int // index in the chain; used when Edge is nil
	Edge *exchange.Edge
}

// Node is one operator or sink of a chain and who reads its ports.
type Node struct {
	// Op is nil for a sink.
	Op   operator.Operator
	Sink connector.SinkWriter
	// Epochs: the sink takes part in epochs. Of another one the rows leave at once,
	// and before each barrier, so that none is behind a checkpoint and not out.
	Epochs bool
	// Cut copies the operator's state; nil when it has none that outlives a block.
	Cut func(full bool) (state.Cut, error)
	// Refused takes what the sink refuses; nil for an operator, and for a sink that refuses nothing.
	Refused   *Refused
	Consumers [operator.Ports][]Consumer
	Stats     *NodeStats
}

// NodeStats counts the rows of one node in one task.
type NodeStats struct {
	In, Out, Dead operator.Counter
}

// Passage is what a task hands over when it passes a barrier. By node of its chain:
// state is nil where there is none, and so is output that needs no commit.
type Passage struct {
	Epoch    uint64
	Cuts     []state.Cut
	Prepared []connector.Prepared
	// Pause is for how long the task copied and cut, Aligned for how long it held inputs back.
	Pause, Aligned time.Duration
}

// Chain is the operators of one task in topological order. Only the goroutine
// of the task touches it.
type Chain struct {
	ctx   context.Context //nolint:containedctx // the lifetime of the job: it bounds the writes of the sinks
	nodes []Node
	outs  []output
	heads []Consumer
	edges []*exchange.Edge
	// passed takes what is handed over at a barrier; it must be quick.
	passed func(Passage)
}

// NewChain makes a chain. heads take what enters the task; edges are all edges
// that leave it; passed is told of every barrier and must be quick.
func NewChain(ctx context.Context, nodes []Node, heads []Consumer, edges []*exchange.Edge, passed func(Passage)) *Chain {
	c := &Chain{ctx: ctx, nodes: nodes, heads: heads, edges: edges, passed: passed}
	c.outs = make([]output, len(nodes))
	for i := range c.outs {
		c.outs[i] = output{c, i}
		if r := nodes[i].Refused; r != nil {
			r.out = &c.outs[i]
		}
	}
	return c
}

// output is the Output of one node.
type output struct {
	chain *Chain
	node  int
}

// Emit hands b to every consumer of the port.
func (o *output) Emit(port operator.Port, b *batch.Batch) error {
	n := &o.chain.nodes[o.node]
	switch port {
	case operator.Main:
		n.Stats.Out.Add(int64(b.Len()))
	case operator.Dead:
		n.Stats.Dead.Add(int64(b.Len()))
	}
	return o.chain.deliver(n.Consumers[port], b)
}

// deliver gives b to all consumers; each holds a reference of its own, so b is
// read-only when there are several.
func (c *Chain) deliver(to []Consumer, b *batch.Batch) error {
	if len(to) == 0 {
		b.Release()
		return nil
	}
	for range to[1:] {
		b.Retain()
	}
	for i, t := range to {
		if err := c.give(t, b); err != nil {
			for range to[i+1:] {
				b.Release()
			}
			return err
		}
	}
	return nil
}

func (c *Chain) give(t Consumer, b *batch.Batch) error {
	if t.Edge != nil {
		return t.Edge.Send(b)
	}
	n := &c.nodes[t.Node]
	n.Stats.In.Add(int64(b.Len()))
	if n.Sink != nil {
		n.Refused.before(b.Before)
		return n.Refused.first(n.Sink.Write(c.ctx, b))
	}
	return n.Op.ProcessBatch(b, &c.outs[t.Node])
}

// Push sends a batch into the chain; its ownership moves.
func (c *Chain) Push(b *batch.Batch) error { return c.deliver(c.heads, b) }

// Begin tells the edges the number of the block that follows.
func (c *Chain) Begin(seq uint64) {
	for _, e := range c.edges {
		e.Begin(seq)
	}
}

// End ends the block: operators see the watermark in topological order, edges
// get a mark. When the input is dry or has ended, sinks bring out what they kept back.
func (c *Chain) End(watermark batch.Time, dry bool) error {
	for i := range c.nodes {
		n := &c.nodes[i]
		if n.Op == nil {
			continue
		}
		if err := n.Op.OnWatermark(watermark, &c.outs[i]); err != nil {
			return err
		}
	}
	if dry || watermark == batch.MaxTime {
		for i := range c.nodes {
			n := &c.nodes[i]
			if n.Sink == nil {
				continue
			}
			if err := n.Refused.first(n.Sink.Flush(c.ctx)); err != nil {
				return err
			}
		}
	}
	for _, e := range c.edges {
		if err := e.Mark(watermark, dry); err != nil {
			return err
		}
	}
	return nil
}

// Barrier passes a barrier. All that came before it has left the operators, so
// their state and what the sinks have written is the epoch. send tells to send it on.
func (c *Chain) Barrier(b exchange.Barrier, send bool, aligned time.Duration) error {
	start := time.Now()
	p := Passage{Epoch: b.Epoch, Cuts: make([]state.Cut, len(c.nodes)), Prepared: make([]connector.Prepared, len(c.nodes)), Aligned: aligned}
	for i := range c.nodes {
		n := &c.nodes[i]
		var err error
		switch {
		case n.Epochs:
			p.Prepared[i], err = n.Sink.Prepare(c.ctx, connector.Epoch{ID: b.Epoch, Final: b.Final})
			err = n.Refused.first(err)
		case n.Sink != nil:
			err = n.Refused.first(n.Sink.Flush(c.ctx))
		case n.Cut != nil:
			p.Cuts[i], err = n.Cut(b.Full)
		}
		if err != nil {
			p.Release()
			return err
		}
	}
	p.Pause = time.Since(start)
	for _, e := range c.edges {
		if !send {
			break
		}
		if err := e.Barrier(b); err != nil {
			p.Release()
			return err
		}
	}
	c.passed(p)
	return nil
}

// Release gives up what was handed over.
func (p *Passage) Release() {
	for _, c := range p.Cuts {
		if c != nil {
			c.Release()
		}
	}
}

// Blocked returns for how long the task waited for room downstream since the last call.
func (c *Chain) Blocked() time.Duration {
	var d time.Duration
	for _, e := range c.edges {
		d += e.Blocked()
	}
	return d
}

// Close closes operators, edges and sinks; complete tells that the input ended
// well. It returns the first error of a sink.
func (c *Chain) Close(complete bool) error {
	var first error
	for i := range c.nodes {
		n := &c.nodes[i]
		if n.Op != nil {
			n.Op.Close()
			continue
		}
		if err := n.Sink.Close(c.ctx, complete); err != nil && first == nil {
			first = err
		}
	}
	for _, e := range c.edges {
		e.Close()
	}
	return first
}
