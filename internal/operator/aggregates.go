package operator

import (
	"github.com/gorge-stream/gorge/internal/agg"
	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/expr"
)

// Aggregates is the aggregate columns of an operator: the programs that make the
// arguments, and the accumulators. One goroutine owns it.
type Aggregates struct {
	Set   *agg.Set
	args  []*expr.Program
	cols  []*batch.Column
	wide  []*batch.Column // scratch of arguments that are widened
	count int             // calls
}

// AggregateCall is one aggregate column.
type AggregateCall struct {
	Function *agg.Function
	Args     []*expr.Program
	Params   []float64
}

// NewAggregates compiles the calls; equal argument programs are evaluated once,
// by their source text in texts, which has one entry per argument of each call in order.
func NewAggregates(calls []AggregateCall, texts []string) *Aggregates {
	a := &Aggregates{count: len(calls)}
	index := map[string]int{}
	var set []agg.Call
	at := 0
	for _, c := range calls {
		call := agg.Call{Function: c.Function, Params: c.Params}
		for _, p := range c.Args {
			i, ok := index[texts[at]]
			if !ok {
				i = len(a.args)
				index[texts[at]] = i
				a.args = append(a.args, p)
			}
			at++
			t := p.Type()
			call.Args = append(call.Args, agg.Arg{Column: i, Kind: t.Kind, Nullable: t.Nullable})
		}
		set = append(set, call)
	}
	a.Set = agg.NewSet(set)
	a.cols = make([]*batch.Column, len(a.args))
	a.wide = make([]*batch.Column, len(a.args))
	return a
}

// Eval computes the argument columns of the rows of b, valid until the next Eval.
func (a *Aggregates) Eval(b *batch.Batch) ([]*batch.Column, error) {
	for i, p := range a.args {
		c, err := p.Eval(b)
		if err != nil {
			return nil, err
		}
		if k := agg.Widened(c.Kind()); k != c.Kind() {
			if a.wide[i] == nil || a.wide[i].Cap() < b.Len() {
				a.wide[i] = batch.NewColumn(k, b.Cap())
			}
			widen(a.wide[i], c, b.Len())
			c = a.wide[i]
		}
		a.cols[i] = c
	}
	return a.cols, nil
}

// widen copies the first n values of an Int32 or Float32 column to one of twice the width.
func widen(to, from *batch.Column, n int) {
	to.Reset()
	if from.Kind() == batch.Int32 {
		d, s := to.Int64s()[:n], from.Int32s()[:n]
		for i, v := range s {
			d[i] = int64(v)
		}
	} else {
		d, s := to.Float64s()[:n], from.Float32s()[:n]
		for i, v := range s {
			d[i] = float64(v)
		}
	}
	if from.HasNulls() {
		copy(to.MakeNullable(), from.Validity())
	}
}
