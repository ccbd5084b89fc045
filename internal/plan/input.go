package plan

import (
	"strings"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/deadletter"
	"github.com/gorge-stream/gorge/internal/diag"
)

var portNames = [...]string{Main: "", Late: "late", Dead: "dead"}

// input finds what a step or sink reads and builds it first. ok is false when
// there is nothing to read; the reason was added, perhaps for another part.
func (c *compiler) input(p *part) (ref Ref, schema *batch.Schema, ok bool) {
	v := p.value.get("from")
	if v == nil || v.kind != yamlScalar {
		return Ref{}, nil, false // refused where the settings were read
	}
	name, portName, hasPort := strings.Cut(v.text, ".")
	from := c.parts[name]
	switch {
	case from == nil:
		c.errorf(codeInput, v.place, "%s reads %q, which does not exist", p, clip(name)).WithHint("%s", choices(name, c.readable(p)))
		return Ref{}, nil, false
	case from.kind == partSink:
		e := c.errorf(codeInput, v.place, "%s reads %s, but a sink has no output", p, from)
		if portName == "dead" {
			e.WithHint("rows that a sink refuses go to the dead_letters section")
		} else {
			e.WithHint("read what the sink reads")
		}
		return Ref{}, nil, false
	case from.state == partOpen:
		c.errorf(codeCycle, v.place, "%s reads itself: %s", p, c.cycle(from, p)).WithHint("a pipeline is a graph without circles: read a source or an earlier step")
		return Ref{}, nil, false
	}
	n := c.build(from)
	if n == nil {
		return Ref{}, nil, false
	}
	if !hasPort {
		return Ref{Node: n}, n.Schema, true
	}
	return c.port(from, n, portName, v.place)
}

// port resolves NAME.late and NAME.dead.
func (c *compiler) port(from *part, n *Node, name string, place diag.Place) (Ref, *batch.Schema, bool) {
	switch name {
	case "late":
		w, ok := n.Op.(*WindowAggregate)
		if !ok {
			c.errorf(codeInput, place, "%s has no late rows", from).WithHint("only window steps have a late output")
			return Ref{}, nil, false
		}
		if !w.LateOutput {
			c.errorf(codeInput, place, "%s drops its late rows", from).WithHint("add late: side to %s", from)
			return Ref{}, nil, false
		}
		in := n.Inputs[0]
		return Ref{Node: n, Port: Late}, schemaOf(in), true
	case "dead":
		if why := c.noDeadLetters(n); why != "" {
			c.errorf(codeInput, place, "%s has no dead letters", from).WithHint("%s", why)
			return Ref{}, nil, false
		}
		return Ref{Node: n, Port: Dead}, deadletter.Schema, true
	}
	c.errorf(codeInput, place, "%s has no output %q", from, clip(name)).WithHint("possible are %s.late and %s.dead", from.name, from.name)
	return Ref{}, nil, false
}

// noDeadLetters says why a node never makes a dead letter, or returns "".
func (c *compiler) noDeadLetters(n *Node) string {
	switch op := n.Op.(type) {
	case *Source:
		if op.OnBadRecord != DeadLetter {
			return "set on_bad_record: dead_letter in the source " + n.Name
		}
		return ""
	case *Call:
		if f := c.functions[op.Function]; f.OnError != ErrorDeadLetter {
			return "set on_error: dead_letter in the function " + f.Name
		}
		return ""
	}
	return "sources and call steps have dead letters"
}

// schemaOf is the schema of the rows that pass a ref.
func schemaOf(r Ref) *batch.Schema {
	switch r.Port {
	case Late:
		return schemaOf(r.Node.Inputs[0])
	case Dead:
		return deadletter.Schema
	}
	return r.Node.Schema
}

// readable lists the names that p could read.
func (c *compiler) readable(p *part) []string {
	var out []string
	for _, name := range sortedKeys(c.parts) {
		if q := c.parts[name]; q != p && q.kind != partSink {
			out = append(out, name)
		}
	}
	return out
}

// cycle writes the way from part first, which is open, along "from" back to itself.
func (c *compiler) cycle(first, last *part) string {
	// The open parts form a chain: last reads first, and each one was opened by the one that reads it.
	names := []string{last.name}
	for p := first; p != last && len(names) <= len(c.parts); {
		names = append(names, p.name)
		v := p.value.get("from")
		if v == nil {
			break
		}
		name, _, _ := strings.Cut(v.text, ".")
		if p = c.parts[name]; p == nil {
			break
		}
	}
	return strings.Join(append(names, last.name), " -> ")
}

// origin returns the source that the rows of a ref come from.
func origin(r Ref) *Node {
	n := r.Node
	for len(n.Inputs) > 0 {
		n = n.Inputs[0].Node
	}
	return n
}
