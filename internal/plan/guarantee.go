package plan

import (
	"fmt"

	"github.com/gorge-stream/gorge/internal/delivery"
	"github.com/gorge-stream/gorge/internal/spec"
)

// Path is the way of rows from a source to a sink and what it holds.
type Path struct {
	// Nodes are the names from the source to the sink; "averages.late" is the late output of averages.
	Nodes     []string
	Guarantee delivery.Guarantee
	// Weakest names the link that the guarantee comes from: a source, a sink or "engine"; Why says why.
	Weakest, Why string
}

// guarantees finds what each path holds, also those of dead letters, and refuses demands above it.
func (c *compiler) guarantees() {
	for _, n := range c.plan.Nodes {
		s, ok := n.Op.(*Sink)
		if !ok {
			continue
		}
		for _, in := range n.Inputs {
			c.plan.Paths = append(c.plan.Paths, c.path(n, in))
		}
		path := c.plan.Paths[len(c.plan.Paths)-1]
		if s.Delivery == nil || *s.Delivery <= path.Guarantee {
			continue
		}
		v := c.parts[n.Name].value
		c.errorf(codeDelivery, placeOf(v, "delivery", n.Place), "the sink %s asks for %s, but its path holds %s", n.Name, *s.Delivery, path.Guarantee).
			WithCause(fmt.Errorf("%s: %s", path.Weakest, path.Why)).
			WithHint("write delivery: %s, or leave it out", path.Guarantee)
	}
}

// enginePromise is what the engine itself holds between the edges.
func enginePromise(c Checkpoint) delivery.Promise {
	if c.Off {
		return delivery.Promise{Guarantee: delivery.AtMostOnce, Why: "checkpoint: off: after a crash the run starts from the beginning"}
	}
	return delivery.Promise{Guarantee: delivery.ExactlyOnce, Why: "state and positions are in every checkpoint"}
}

// path follows the rows of an input of a sink back to their source; a chain is
// as strong as its weakest link. Of equal links the first counts, the engine
// before all: it cannot be mended at the edges.
func (c *compiler) path(n *Node, in Ref) Path {
	e := enginePromise(c.plan.Checkpoint)
	p := Path{Nodes: []string{n.Name}, Guarantee: e.Guarantee, Weakest: "engine", Why: e.Why}
	sinks := []*Node{n} // dead letters of a sink have passed it, last first
	for r := in; ; r = r.Node.Inputs[0] {
		p.Nodes = append([]string{refWords(r)}, p.Nodes...)
		switch op := r.Node.Op.(type) {
		case *Source:
			p.weaken(r.Node.Name, promised(c.cat.Sources[op.Connector].Promise, op.Set))
			for i := len(sinks) - 1; i >= 0; i-- {
				p.weaken(sinks[i].Name, c.sinkPromise(sinks[i].Op.(*Sink)))
			}
			return p
		case *Sink:
			sinks = append(sinks, r.Node)
		}
	}
}

// weaken takes in a link of the path.
func (p *Path) weaken(name string, got delivery.Promise) {
	if got.Guarantee < p.Guarantee {
		p.Guarantee, p.Weakest, p.Why = got.Guarantee, name, got.Why
	}
}

func promised(promise func(*spec.Values) delivery.Promise, set *spec.Values) delivery.Promise {
	if promise == nil {
		return delivery.Promise{Guarantee: delivery.ExactlyOnce}
	}
	return promise(set)
}

// sinkPromise is what a sink holds: the connector's promise, or less where the
// file does without epochs.
func (c *compiler) sinkPromise(s *Sink) delivery.Promise {
	p := promised(c.cat.Sinks[s.Connector].Promise, s.Set)
	if s.Direct() && c.cat.Sinks[s.Connector].AtEnd == nil && p.Guarantee > delivery.AtLeastOnce {
		why := fmt.Sprintf("asked for by delivery: %s: rows leave before the checkpoint", *s.Delivery)
		return delivery.Promise{Guarantee: delivery.AtLeastOnce, Why: why}
	}
	return p
}

// Direct reports whether the file asks for rows that leave at once: the sink
// then takes no part in epochs, unless it shows its rows only when they are whole.
func (s *Sink) Direct() bool { return s.Delivery != nil && *s.Delivery <= delivery.AtLeastOnce }
