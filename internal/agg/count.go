package agg

import (
	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/record"
)

var countFunc = &Function{
	Name: "count", Doc: "Number of rows; with an argument, number of its values that are not null.", Example: "count()",
	MaxArgs: 1, Mergeable: true, Running: true, Windowed: true,
	Result: func([]batch.Kind) (batch.Kind, bool, error) { return batch.Int64, false, nil },
	build: func(args []Arg, _ []float64) recipe {
		return recipe{parts: []planned{countOf(args)}, result: countResult}
	},
}

func countResult(b record.Block, offs []int, refs []record.Ref, out *batch.Column, at int) {
	b = b.From(offs[0])
	o := out.Int64s()[at:]
	for i, r := range refs {
		o[i] = *b.Int(r, 0)
	}
}

// countOf is the part that counts rows, or the values of a nullable column.
func countOf(args []Arg) planned {
	if len(args) == 0 || !args[0].Nullable {
		return planned{key{what: "count", column: -1}, countRows{}}
	}
	return planned{key{what: "count", column: args[0].Column}, countValues{}}
}

type countRows struct{}

func (countRows) Words() int               { return 1 }
func (countRows) Init(d []uint64) []uint64 { return append(d, 0) }

func (countRows) Update(b record.Block, refs []record.Ref, _ Input) {
	for _, r := range refs {
		*b.Int(r, 0)++
	}
}

func (countRows) Merge(to record.Block, dst record.Ref, from record.Block, src record.Ref) {
	*to.Int(dst, 0) += *from.Int(src, 0)
}

type countValues struct{ countRows }

func (countValues) Update(b record.Block, refs []record.Ref, in Input) {
	valid := in.Col.Validity()
	if valid == nil {
		countRows{}.Update(b, refs, in)
		return
	}
	for i, r := range refs {
		k := in.From + i
		*b.Word(r, 0) += valid[k>>6] >> (uint(k) & 63) & 1
	}
}
