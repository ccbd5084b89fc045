package agg

import (
	"math"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/record"
)

var varianceFunc = moments("variance", "Population variance of the values.", "variance(temperature)", func(v float64) float64 { return v })

var stddevFunc = moments("stddev", "Population standard deviation of the values.", "stddev(avg_temp)", math.Sqrt)

func moments(name, doc, example string, of func(variance float64) float64) *Function {
	return &Function{
		Name: name, Doc: doc, Example: example,
		MinArgs: 1, MaxArgs: 1, Mergeable: true, Running: true, Windowed: true,
		Result: floatResult(name),
		build: func(args []Arg, _ []float64) recipe {
			return recipe{[]planned{{key{what: "moments", column: args[0].Column}, welford{}}}, func(b record.Block, offs []int, refs []record.Ref, out *batch.Column, at int) {
				b = b.From(offs[0])
				o := out.Float64s()[at:]
				for i, r := range refs {
					if n := *b.Float(r, 0); n == 0 {
						out.SetNull(at + i)
					} else {
						o[i] = of(*b.Float(r, 2) / n)
					}
				}
			}}
		},
	}
}

// welford keeps the count, the mean and the sum of squared differences from the
// mean, as three floats; the count is exact to 2^53.
type welford struct{}

func (welford) Words() int               { return 3 }
func (welford) Init(d []uint64) []uint64 { return append(d, 0, 0, 0) }

func (welford) Update(b record.Block, refs []record.Ref, in Input) {
	for i, r := range refs {
		if in.Col.IsNull(in.From + i) {
			continue
		}
		x := floatAt(in.Col, in.From+i)
		n := *b.Float(r, 0) + 1
		mean := b.Float(r, 1)
		d := x - *mean
		*mean += d / n
		*b.Float(r, 0) = n
		*b.Float(r, 2) += d * (x - *mean)
	}
}

func (welford) Merge(to record.Block, dst record.Ref, from record.Block, src record.Ref) {
	na, nb := *to.Float(dst, 0), *from.Float(src, 0)
	if nb == 0 {
		return
	}
	if na == 0 { // as it is: the sums below would round, or overflow
		for w := range 3 {
			*to.Word(dst, w) = *from.Word(src, w)
		}
		return
	}
	n := na + nb
	d := *from.Float(src, 1) - *to.Float(dst, 1)
	*to.Float(dst, 0) = n
	*to.Float(dst, 1) += d * nb / n
	*to.Float(dst, 2) += *from.Float(src, 2) + d*d*na*nb/n
}

// floatAt returns the value of row i of an Int64 or Float64 column as a float.
func floatAt(c *batch.Column, i int) float64 {
	if c.Kind() == batch.Float64 {
		return c.Float64s()[i]
	}
	return float64(c.Int64s()[i])
}
