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
	// Weakest names the link that the guarantee comes from: the source, the sink or "engine"; Why says why.
	Weakest, Why string
}

// guarantees finds what each path holds and refuses demands above it.
func (c *compiler) guarantees() {
	for _, n := range c.plan.Nodes {
		s, ok := n.Op.(*Sink)
		if !ok {
			continue
		}
		path := c.path(n, s)
		c.plan.Paths = append(c.plan.Paths, path)
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
var enginePromise = delivery.Promise{Guarantee: delivery.AtMostOnce, Why: "the engine keeps no checkpoints yet: after a crash rows under way are lost"}

// path follows a sink back to its source; a chain is as strong as its weakest
// link. Of equal links the source is named first: it cannot be mended here.
func (c *compiler) path(n *Node, s *Sink) Path {
	p := Path{Nodes: []string{n.Name}}
	var src *Node
	for r := n.Inputs[0]; ; r = r.Node.Inputs[0] {
		name := r.Node.Name
		if r.Port != Main {
			name += "." + portNames[r.Port]
		}
		p.Nodes = append([]string{name}, p.Nodes...)
		if src = r.Node; len(src.Inputs) == 0 {
			break
		}
	}
	op := src.Op.(*Source)
	p.Guarantee, p.Weakest, p.Why = enginePromise.Guarantee, "engine", enginePromise.Why
	weaken := func(name string, promise func(*spec.Values) delivery.Promise, set *spec.Values) {
		if promise == nil {
			return
		}
		if got := promise(set); got.Guarantee < p.Guarantee {
			p.Guarantee, p.Weakest, p.Why = got.Guarantee, name, got.Why
		}
	}
	weaken(src.Name, c.cat.Sources[op.Connector].Promise, op.Set)
	weaken(n.Name, c.cat.Sinks[s.Connector].Promise, s.Set)
	return p
}
