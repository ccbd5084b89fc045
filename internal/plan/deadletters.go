package plan

import (
	"github.com/gorge-stream/gorge/internal/deadletter"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

// DeadLetters is the name of the sink that takes the dead letters that no step
// or sink of the file reads. No part of a file has this name.
const DeadLetters = "dead_letters"

// encodeSuffix is behind the name of a sink in the name of its Encode node.
const encodeSuffix = ".encode"

// IsDeadLetters reports whether the node is the sink of dead letters, or encodes for it.
func IsDeadLetters(n *Node) bool {
	return n.Name == DeadLetters || n.Name == DeadLetters+encodeSuffix
}

// deadLetters reads the section of the sink of dead letters.
func (c *compiler) deadLetters(v *yamlValue) {
	before := len(c.found)
	op, settings, _ := c.sinkEdge(v, deadLettersDecl, "the section "+DeadLetters)
	if len(c.found) == before && c.fits(op, deadletter.Schema, settings, "the section "+DeadLetters) {
		c.dead, c.deadPlace = op, settings.place
	}
}

// addDeadLetters adds the sink that reads every Dead port that nobody reads and
// that may have rows. The sink's own Dead port stays without a reader.
func (c *compiler) addDeadLetters() {
	op := c.dead
	if op == nil {
		op = c.defaultDeadLetters()
	}
	n := &Node{Name: DeadLetters, Op: op, Place: c.deadPlace}
	for _, m := range c.plan.Nodes {
		if c.makesDeadLetters(m) && len(c.plan.readers(m, Dead)) == 0 {
			n.Inputs = append(n.Inputs, Ref{Node: m, Port: Dead})
		}
	}
	switch {
	case len(n.Inputs) > 0 && op != nil:
		c.plan.Nodes = append(c.plan.Nodes, n)
	case c.dead != nil:
		c.warnf(codeUnread, c.deadPlace, "no dead letter ever goes to the section %s", DeadLetters).
			WithHint("nothing refuses rows, or a step or sink reads all that is refused: remove the section")
	}
}

// defaultDeadLetters is the sink for files that name none; nil when the catalog has none.
func (c *compiler) defaultDeadLetters() *Sink {
	info, ok := c.cat.Sinks[c.cat.DeadLetters]
	if !ok {
		return nil
	}
	op := &Sink{Connector: c.cat.DeadLetters, Set: spec.NewValues(info.Decl, diag.Place{}, nil), Format: info.DefaultFormat, Bytes: info.Bytes}
	if f, ok := c.cat.Formats[op.Format]; ok {
		op.FormatSet = spec.NewValues(f.Decl, diag.Place{}, nil)
	}
	return op
}

// makesDeadLetters reports whether the Dead port of a node may have rows.
func (c *compiler) makesDeadLetters(n *Node) bool {
	switch op := n.Op.(type) {
	case *Source:
		return op.Format != "" && op.OnBadRecord == DeadLetter
	case *Call:
		return c.functions[op.Function].OnError == ErrorDeadLetter
	case *Sink:
		return c.cat.Sinks[op.Connector].Dead
	}
	return false
}
