package agg

import (
	"math"
	"math/bits"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/record"
)

var sumFunc = &Function{
	Name: "sum", Doc: "Sum of the values: exact for integers (null beyond int64), compensated for floats.", Example: "sum(temperature)",
	MinArgs: 1, MaxArgs: 1, Mergeable: true, Running: true, Windowed: true,
	Result: func(args []batch.Kind) (batch.Kind, bool, error) {
		return Widened(args[0]), true, numeric("sum", args)
	},
	build: func(args []Arg, _ []float64) recipe {
		if Widened(args[0].Kind) == batch.Int64 {
			return recipe{[]planned{countOf(args), sumOf(args[0])}, sumIntResult}
		}
		return recipe{[]planned{countOf(args), sumOf(args[0])}, func(b record.Block, offs []int, refs []record.Ref, out *batch.Column, at int) {
			n, s := b.From(offs[0]), b.From(offs[1])
			o := out.Float64s()[at:]
			for i, r := range refs {
				if *n.Int(r, 0) == 0 {
					out.SetNull(at + i)
					continue
				}
				o[i] = compensated(*s.Float(r, 0), *s.Float(r, 1))
			}
		}}
	},
}

func sumIntResult(b record.Block, offs []int, refs []record.Ref, out *batch.Column, at int) {
	n, s := b.From(offs[0]), b.From(offs[1])
	o := out.Int64s()[at:]
	for i, r := range refs {
		lo, hi := *s.Int(r, 0), *s.Int(r, 1)
		if *n.Int(r, 0) == 0 || hi != lo>>63 {
			out.SetNull(at + i)
			continue
		}
		o[i] = lo
	}
}

var avgFunc = average("avg", "Arithmetic mean of the values.", "avg(temperature)")

var meanFunc = average("mean", "The same as avg.", "mean(avg_temp)")

func average(name, doc, example string) *Function {
	return &Function{
		Name: name, Doc: doc, Example: example,
		MinArgs: 1, MaxArgs: 1, Mergeable: true, Running: true, Windowed: true,
		Result: floatResult(name),
		build: func(args []Arg, _ []float64) recipe {
			isInt := Widened(args[0].Kind) == batch.Int64
			return recipe{[]planned{countOf(args), sumOf(args[0])}, func(b record.Block, offs []int, refs []record.Ref, out *batch.Column, at int) {
				n, s := b.From(offs[0]), b.From(offs[1])
				o := out.Float64s()[at:]
				for i, r := range refs {
					k := float64(*n.Int(r, 0))
					switch {
					case k == 0:
						out.SetNull(at + i)
					case isInt:
						o[i] = int128(*s.Word(r, 0), *s.Int(r, 1)) / k
					default:
						o[i] = compensated(*s.Float(r, 0), *s.Float(r, 1)) / k
					}
				}
			}}
		},
	}
}

// int128 returns the nearest float64 of a two's complement number of two words.
func int128(lo uint64, hi int64) float64 {
	if hi == int64(lo)>>63 {
		return float64(int64(lo))
	}
	return float64(hi)*(1<<64) + float64(lo)
}

// sumOf is the part that sums a column: two words.
func sumOf(a Arg) planned {
	k := key{what: "sum", column: a.Column}
	if Widened(a.Kind) == batch.Int64 {
		return planned{k, sumInt{}}
	}
	return planned{k, sumFloat{}}
}

// sumFloat keeps the sum and the compensation of what rounding lost.
type sumFloat struct{}

func (sumFloat) Words() int               { return 2 }
func (sumFloat) Init(d []uint64) []uint64 { return append(d, 0, 0) }

// compensated adds the compensation unless the sum is infinite or NaN, where it means nothing.
func compensated(sum, c float64) float64 {
	if math.IsInf(sum, 0) || math.IsNaN(sum) {
		return sum
	}
	return sum + c
}

// twoSum returns a+b rounded and the exact rounding error (Knuth, TAOCP 2, 4.2.2, theorem B): no branch.
func twoSum(a, b float64) (s, e float64) {
	s = a + b
	t := s - a
	return s, (a - (s - t)) + (b - t)
}

func (sumFloat) Update(b record.Block, refs []record.Ref, in Input) {
	v := in.Col.Float64s()[in.From:][:len(refs)]
	valid := in.Col.Validity()
	if valid == nil {
		for i, r := range refs {
			p, c := b.Float(r, 0), b.Float(r, 1)
			s, e := twoSum(*p, v[i])
			*p = s
			*c += e
		}
		return
	}
	for i, r := range refs {
		if k := in.From + i; valid[k>>6]>>(uint(k)&63)&1 != 0 {
			p, c := b.Float(r, 0), b.Float(r, 1)
			s, e := twoSum(*p, v[i])
			*p = s
			*c += e
		}
	}
}

func (sumFloat) Merge(to record.Block, dst record.Ref, from record.Block, src record.Ref) {
	p, c := to.Float(dst, 0), to.Float(dst, 1)
	s, e := twoSum(*p, *from.Float(src, 0))
	*p = s
	*c += e + *from.Float(src, 1)
}

// sumInt is a 128-bit two's complement sum: low word, high word.
type sumInt struct{}

func (sumInt) Words() int               { return 2 }
func (sumInt) Init(d []uint64) []uint64 { return append(d, 0, 0) }

func (sumInt) Update(b record.Block, refs []record.Ref, in Input) {
	v := in.Col.Int64s()[in.From:][:len(refs)]
	valid := in.Col.Validity()
	for i, r := range refs {
		if k := in.From + i; valid != nil && valid[k>>6]>>(uint(k)&63)&1 == 0 {
			continue
		}
		add128(b, r, uint64(v[i]), uint64(v[i]>>63))
	}
}

func add128(b record.Block, r record.Ref, lo, hi uint64) {
	l, c := bits.Add64(*b.Word(r, 0), lo, 0)
	*b.Word(r, 0) = l
	*b.Word(r, 1) += hi + c
}

func (sumInt) Merge(to record.Block, dst record.Ref, from record.Block, src record.Ref) {
	add128(to, dst, *from.Word(src, 0), *from.Word(src, 1))
}
