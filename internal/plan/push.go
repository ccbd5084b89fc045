package plan

import (
	"fmt"
	"slices"

	"github.com/gorge-stream/gorge/internal/expr"
)

// pushFilters moves filters towards the sources, past steps that cost more than
// they do, where the result stays the same row by row.
//
//	P1  A filter moves below a step only when it is the only reader of the step:
//	    another reader needs the rows that the filter drops.
//	P2  Below select: the condition with the columns replaced by their
//	    expressions, when that is not dearer than computing the columns for all
//	    rows, and stays short enough to be read by a person in the plan.
//	P3  Below call: when it uses no result of the call, and no step or sink of the
//	    file reads the dead letters of the call, which would change.
//	P4  Below window: when it uses key columns only, and nobody reads the late
//	    rows, which would change. Whole windows are dropped, the others are untouched.
//	P5  Below running: when it uses key columns only. Any other condition would
//	    take rows out of the statistics of a key that stays.
//	P6  Filters pass each other freely: they have no effects.
func pushFilters(p *Plan) {
	u := &pusher{plan: p}
	u.count()
	for _, n := range slices.Clone(p.Nodes) {
		if _, ok := n.Op.(*Filter); ok {
			u.push(n)
		}
	}
}

// pusher moves filters in a plan.
type pusher struct {
	plan    *Plan
	readers map[Ref]int // how many nodes read an output
}

func (u *pusher) count() {
	u.readers = map[Ref]int{}
	for _, n := range u.plan.Nodes {
		if IsDeadLetters(n) {
			continue
		}
		for _, in := range n.Inputs {
			u.readers[in]++
		}
	}
}

// push moves one filter as far down as it pays.
func (u *pusher) push(f *Node) {
	where := f.Op.(*Filter).Where
	var passed []*Node // the steps between the filter and where it may go, nearest first
	worth := 0         // how many of them it is worth to pass
	above := f
	for {
		in := above.Inputs[0]
		below, ok := u.below(in, where)
		if !ok {
			break
		}
		where = below
		passed = append(passed, in.Node)
		if _, filter := in.Node.Op.(*Filter); !filter {
			worth = len(passed)
		}
		above = in.Node
	}
	if worth > 0 {
		u.plan.move(f, passed[:worth])
		u.count()
	}
}

// below returns the condition as it is in front of the node that in comes from,
// when the filter behind it may move there.
func (u *pusher) below(in Ref, where *expr.Expr) (*expr.Expr, bool) {
	if in.Port != Main || u.readers[in] != 1 {
		return nil, false
	}
	columns := where.Columns()
	switch op := in.Node.Op.(type) {
	case *Filter:
		return where, true
	case *Project:
		by := map[string]*expr.Expr{}
		cost := 0
		for _, c := range op.Columns {
			by[c.Name] = c.Expr
			cost += expr.Cost(c.Expr)
		}
		if grown(where, by) > maxPushed {
			return nil, false
		}
		to := where.Substitute(by)
		// Half of the rows is what a condition keeps when nothing is known about it.
		return to, expr.Cost(to) <= expr.Cost(where)+cost/2
	case *Call:
		return where, !overlap(columns, op.Results) && u.readers[Ref{in.Node, Dead}] == 0
	case *WindowAggregate:
		return where, len(columns) > 0 && within(columns, op.Keys) && !op.LateOutput
	case *Running:
		return where, len(columns) > 0 && within(columns, op.Keys)
	}
	return nil, false
}

// maxPushed is the longest condition in characters that moves below a select. A
// chain of selects that each use a column twice doubles it at each of them.
const maxPushed = 4096

// grown is the most characters that where can have with its columns replaced.
func grown(where *expr.Expr, by map[string]*expr.Expr) int {
	factor := 1
	for _, name := range where.Columns() {
		if e := by[name]; e != nil {
			factor = max(factor, (len(e.Source())+len(name)-1)/len(name))
		}
	}
	return factor * len(where.Source())
}

// move takes f out of its place and puts it in front of the last of the passed nodes.
func (p *Plan) move(f *Node, passed []*Node) {
	where := f.Op.(*Filter).Where
	for _, n := range passed {
		if op, ok := n.Op.(*Project); ok {
			by := map[string]*expr.Expr{}
			for _, c := range op.Columns {
				by[c.Name] = c.Expr
			}
			where = where.Substitute(by)
		}
	}
	f.Op = &Filter{Where: where}
	first, last := passed[0], passed[len(passed)-1]
	p.redirect(f, first)
	f.Inputs = []Ref{last.Inputs[0]}
	last.Inputs = []Ref{{Node: f}}
	f.Schema = schemaOf(f.Inputs[0])
	p.Nodes = slices.Delete(p.Nodes, slices.Index(p.Nodes, f), slices.Index(p.Nodes, f)+1)
	p.insertBefore(last, f)
	for _, n := range slices.Backward(passed) { // filters among them have the schema of their input
		if _, ok := n.Op.(*Filter); ok {
			n.Schema = schemaOf(n.Inputs[0])
		}
	}
	f.Pushed = append(f.Pushed, fmt.Sprintf("runs before %s: fewer rows to work on", last.Name))
	first.Pushed = append(first.Pushed, fmt.Sprintf("its rows are those of %s", f.Name))
}

// redirect lets everybody who reads the main port of from read to instead.
func (p *Plan) redirect(from, to *Node) {
	for _, n := range p.Nodes {
		for i, in := range n.Inputs {
			if in.Node == from && in.Port == Main {
				n.Inputs[i].Node = to
			}
		}
	}
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

func within(a, b []string) bool {
	return !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) })
}
