package plan

import (
	"fmt"
	"slices"

	"github.com/gorge-stream/gorge/internal/agg"
	"github.com/gorge-stream/gorge/internal/batch"
)

// payload is the schema of encoded rows: one chunk of bytes a row.
var payload = &batch.Schema{Time: -1, Fields: []batch.Field{{Name: "payload", Kind: batch.Binary}}}

// addEncoders puts an Encode before each sink that takes bytes. It runs in the
// stage of the rows, so that as many tasks encode as make rows.
func addEncoders(p *Plan) {
	for _, n := range slices.Clone(p.Nodes) {
		s, ok := n.Op.(*Sink)
		if !ok || !s.Bytes {
			continue
		}
		e := &Node{
			Name: n.Name + encodeSuffix, Inputs: n.Inputs, Schema: payload, Place: n.Place,
			Op: &Encode{Format: s.Format, Set: s.FormatSet, Schema: schemaOf(n.Inputs[0])},
		}
		n.Inputs = []Ref{{Node: e}}
		p.insertBefore(n, e)
	}
}

// layOut gives each node a stage.
//
//	S1  A source begins a stage of its own.
//	S2  A step runs in the stage of its input, whatever the port: no queue between them.
//	S3  A step with keys needs all rows of a key in one task. It begins a stage
//	    unless the rows are already partitioned by the same columns in the same order.
//	S4  A step without keys needs all rows in one task.
//	S5  A sink is a single task of its own, unless the connector takes a writer for each task.
//
//	S6  Dead letters that nobody reads are encoded and written by a single task: they are few.
//
// So every stage without a source is entered by exactly one edge, but for that of dead letters.
func layOut(p *Plan) {
	l := &layout{plan: p, keys: map[*Node][]string{}}
	for _, n := range slices.Clone(p.Nodes) {
		l.place(n)
	}
}

type layout struct {
	plan *Plan
	// keys are the columns of a node's main output by which its rows are
	// partitioned, in the order of the stage's keys; nil: not by columns.
	keys map[*Node][]string
}

func (l *layout) begin(n *Node, by Partitioning, keys []string) {
	n.Stage = len(l.plan.Stages)
	l.plan.Stages = append(l.plan.Stages, Stage{Partitioning: by, Keys: keys, Nodes: []*Node{n}})
}

func (l *layout) join(n *Node, stage int) {
	n.Stage = stage
	l.plan.Stages[stage].Nodes = append(l.plan.Stages[stage].Nodes, n)
}

// partition returns the columns by which the rows of a ref are partitioned.
func (l *layout) partition(r Ref) []string {
	switch r.Port {
	case Late:
		if w := r.Node.Op.(*WindowAggregate); len(w.Keys) > 0 {
			return w.Keys
		}
		return l.partition(r.Node.Inputs[0])
	case Dead:
		return nil
	}
	return l.keys[r.Node]
}

func (l *layout) place(n *Node) {
	if IsDeadLetters(n) {
		l.placeDeadLetters(n)
		return
	}
	switch op := n.Op.(type) {
	case *Source:
		l.begin(n, BySplit, nil)
	case *Sink:
		if op.Parallel {
			l.join(n, n.Inputs[0].Node.Stage)
		} else {
			l.begin(n, Single, nil)
		}
	case *WindowAggregate:
		l.group(n, op.Keys)
		l.keys[n] = op.Keys
	case *Running:
		l.group(n, op.Keys)
		l.keys[n] = op.Keys
	case *Project:
		l.join(n, n.Inputs[0].Node.Stage)
		l.keys[n] = renamed(l.partition(n.Inputs[0]), op)
	default:
		l.join(n, n.Inputs[0].Node.Stage)
		l.keys[n] = l.partition(n.Inputs[0])
	}
}

// placeDeadLetters begins the last stage with the encoder or the sink of dead letters.
func (l *layout) placeDeadLetters(n *Node) {
	last := len(l.plan.Stages) - 1
	if IsDeadLetters(l.plan.Stages[last].Nodes[0]) {
		l.join(n, last)
		return
	}
	l.begin(n, Single, nil)
}

// renamed follows key columns through a Project; nil when one gets lost.
func renamed(keys []string, op *Project) []string {
	out := make([]string, 0, len(keys))
	for _, k := range keys {
		for _, c := range op.Columns {
			if name, ok := c.Expr.IsColumn(); ok && name == k {
				out = append(out, c.Name)
				break
			}
		}
	}
	if len(out) != len(keys) {
		return nil
	}
	return out
}

// group places a step with keyed state.
func (l *layout) group(n *Node, keys []string) {
	in := n.Inputs[0]
	here := &l.plan.Stages[in.Node.Stage]
	switch {
	case here.Partitioning == Single, len(keys) > 0 && slices.Equal(keys, l.partition(in)):
		l.join(n, in.Node.Stage)
		if len(keys) > 0 && here.Partitioning == ByKey {
			n.Pushed = append(n.Pushed, "no exchange: the rows are partitioned by its key already")
		}
		return
	}
	// Behind an exchange the tasks hold rows by key: what each combined on its own
	// would depend on their number. In a source stage a block is combined whole.
	if here.Partitioning == BySplit {
		l.combine(n)
	}
	if len(keys) == 0 {
		l.begin(n, Single, nil)
	} else {
		l.begin(n, ByKey, keys)
	}
}

// combine puts a pre-aggregation before the exchange of a window step where it
// always pays: with so few groups that a batch becomes a handful of partial
// results. With many keys it would only hash every row twice.
func (l *layout) combine(n *Node) {
	w, ok := n.Op.(*WindowAggregate)
	if !ok || w.LateOutput {
		return // late rows leave by the port of the step itself
	}
	in := n.Inputs[0]
	schema := schemaOf(in)
	for _, k := range w.Keys {
		if schema.Fields[schema.Index(k)].Kind != batch.Bool {
			return
		}
	}
	for _, a := range w.Aggregates {
		if f, ok := agg.Lookup(a.Function); !ok || !f.Mergeable {
			return
		}
	}
	w.Combine = true
	c := &Node{Name: n.Name + ".combine", Op: &Combine{Of: w}, Inputs: []Ref{in}, Place: n.Place}
	c.Pushed = []string{fmt.Sprintf("partial results of %s before the exchange", n.Name)}
	l.plan.insertBefore(n, c)
	n.Inputs = []Ref{{Node: c}}
	l.join(c, in.Node.Stage)
}

// Reads returns the names of the columns that the source decodes, in the order
// of the file, and how many it has.
func (s *Source) Reads(schema *batch.Schema) (names []string, of int) {
	for i, f := range schema.Fields {
		switch {
		case f.Name != "":
			names = append(names, f.Name)
		case i == schema.Time:
			names = append(names, s.EventTime.Column)
		}
	}
	return names, len(s.Columns)
}
