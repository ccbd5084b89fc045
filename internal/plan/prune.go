package plan

import (
	"slices"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/expr"
)

// needs is what the readers of a node use of its rows.
type needs struct {
	columns map[string]bool
	time    bool // the event time, under whatever name
}

func (n *needs) add(names ...string) {
	for _, name := range names {
		n.columns[name] = true
	}
}

func (n *needs) expressions(list ...*expr.Expr) {
	for _, e := range list {
		n.add(e.Columns()...)
	}
}

// prune takes out the columns that nobody uses, from the sinks back to the
// decoders of the sources. The event time stays, without a name, where only the
// engine uses it: a source that declares one always has it (its watermark is
// what people look at), steps pass it on as far as somebody works by it.
func prune(p *Plan) {
	used := map[*Node]*needs{}
	at := func(n *Node) *needs {
		if used[n] == nil {
			used[n] = &needs{columns: map[string]bool{}}
		}
		return used[n]
	}
	for _, n := range slices.Backward(p.Nodes) {
		for _, in := range n.Inputs {
			schema := schemaOf(in)
			for in.Port == Late { // rows of the input of the window step
				in = in.Node.Inputs[0]
			}
			into := &needs{columns: map[string]bool{}} // dead letters need nothing
			if in.Port == Main {
				into = at(in.Node)
			}
			require(n, at(n), into, schema)
		}
	}
	for _, n := range p.Nodes {
		narrow(n, at(n))
	}
}

// require adds to in what n uses of its input to make what its readers use of
// it. Aggregates and columns that nobody uses are taken out of n on the way.
func require(n *Node, out, in *needs, schema *batch.Schema) {
	pass := func(made ...string) {
		for name := range out.columns {
			if !slices.Contains(made, name) {
				in.add(name)
			}
		}
		in.time = in.time || out.time
	}
	switch op := n.Op.(type) {
	case *Sink:
		in.add(schema.Names()...)
	case *Filter:
		pass()
		in.expressions(op.Where)
	case *Project:
		op.Columns = keep(op.Columns, out, func(c Named) string { return c.Name })
		for _, c := range op.Columns {
			in.expressions(c.Expr)
		}
		in.time = in.time || out.time
	case *Call:
		pass(op.Results...)
		in.expressions(op.Args...)
	case *Running:
		var made []string
		for _, a := range op.Stats {
			made = append(made, a.Name)
		}
		pass(made...)
		op.Stats = keep(op.Stats, out, func(a Aggregate) string { return a.Name })
		requireGroup(in, op.Keys, op.Stats)
		in.time = in.time || op.TTL > 0
	case *WindowAggregate:
		op.Aggregates = keep(op.Aggregates, out, func(a Aggregate) string { return a.Name })
		requireGroup(in, op.Keys, op.Aggregates)
		in.time = true
	}
}

func requireGroup(in *needs, keys []string, list []Aggregate) {
	in.add(keys...)
	for _, a := range list {
		in.expressions(a.Args...)
	}
}

// keep returns what is used of a list, but at least its first: an operator
// without a column to make is a case that nobody wants to think about.
func keep[T any](list []T, used *needs, name func(T) string) []T {
	out := slices.DeleteFunc(slices.Clone(list), func(x T) bool { return !used.columns[name(x)] })
	if len(out) == 0 {
		return list[:1:1]
	}
	return out
}

// narrow makes the schema of n anew from the narrowed schema of its input.
func narrow(n *Node, used *needs) {
	old := n.Schema
	field := func(name string) batch.Field { return old.Fields[old.Index(name)] }
	s := &batch.Schema{Time: -1}
	switch op := n.Op.(type) {
	case *Source:
		n.Schema = narrowSource(old, used)
		return
	case *Sink:
		return
	case *Filter:
		n.Schema = schemaOf(n.Inputs[0])
		return
	case *Project:
		for _, c := range op.Columns {
			if old.Time >= 0 && c.Name == old.Fields[old.Time].Name {
				s.Time = len(s.Fields)
			}
			s.Fields = append(s.Fields, field(c.Name))
		}
		if used.time && s.Time < 0 {
			addHiddenTime(s)
		}
	case *WindowAggregate:
		for _, name := range append(slices.Clone(op.Keys), windowStart, windowEnd) {
			s.Fields = append(s.Fields, field(name))
		}
		for _, a := range op.Aggregates {
			s.Fields = append(s.Fields, field(a.Name))
		}
		if used.time {
			addHiddenTime(s)
		}
	case *Running:
		in := schemaOf(n.Inputs[0])
		s.Time, s.Fields = in.Time, slices.Clone(in.Fields)
		for _, a := range op.Stats {
			s.Fields = append(s.Fields, field(a.Name))
		}
	case *Call:
		in := schemaOf(n.Inputs[0])
		s.Time, s.Fields = in.Time, slices.Clone(in.Fields)
		for _, name := range op.Results {
			s.Fields = append(s.Fields, field(name))
		}
	}
	n.Schema = s
}

// narrowSource keeps the used columns in the order of the file.
func narrowSource(old *batch.Schema, used *needs) *batch.Schema {
	s := &batch.Schema{Time: -1}
	for i, f := range old.Fields {
		switch {
		case i == old.Time:
			s.Time = len(s.Fields)
			if !used.columns[f.Name] {
				f.Name = ""
			}
		case !used.columns[f.Name]:
			continue
		}
		s.Fields = append(s.Fields, f)
	}
	if len(s.Fields) == 0 { // rows are counted, but no column is used
		s.Fields = append(s.Fields, cheapest(old))
	}
	return s
}

// cheapest is the column that costs least to decode.
func cheapest(s *batch.Schema) batch.Field {
	best := s.Fields[0]
	for _, f := range s.Fields[1:] {
		if f.Kind.Width() < best.Kind.Width() {
			best = f
		}
	}
	return best
}
