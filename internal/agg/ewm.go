package agg

import "github.com/gorge-stream/gorge/internal/record"

var ewmMeanFunc = &Function{
	Name: "ewm_mean", Doc: "Exponentially weighted mean: alpha x value + (1 - alpha) x mean so far, starting with the first value; alpha is in (0, 1].",
	Example: "ewm_mean(avg_temp, 0.2)",
	MinArgs: 1, MaxArgs: 1, Params: 1, Running: true,
	Result: floatResult("ewm_mean"),
	build: func(args []Arg, params []float64) recipe {
		k := key{what: "ewm", column: args[0].Column, param: params[0]}
		return recipe{[]planned{countOf(args), {k, ewm{alpha: params[0]}}}, valueResult}
	},
}

// ewm keeps the mean and whether there is one.
type ewm struct{ alpha float64 }

func (ewm) Words() int               { return 2 }
func (ewm) Init(d []uint64) []uint64 { return append(d, 0, 0) }

func (p ewm) Update(b record.Block, refs []record.Ref, in Input) {
	for i, r := range refs {
		if in.Col.IsNull(in.From + i) {
			continue
		}
		x, m := floatAt(in.Col, in.From+i), b.Float(r, 0)
		if *b.Word(r, 1) == 0 {
			*b.Word(r, 1) = 1
			*m = x
			continue
		}
		*m += p.alpha * (x - *m)
	}
}

// Merge is never called: the function is not Mergeable.
func (ewm) Merge(record.Block, record.Ref, record.Block, record.Ref) {
	panic("agg: ewm_mean cannot be merged")
}
