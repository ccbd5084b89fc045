package agg

import (
	"math"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/record"
)

var firstFunc = ends("first", "Value of the row with the smallest event time that has one.", "first(site)", false)

var lastFunc = ends("last", "Value of the row with the greatest event time that has one.", "last(site)", true)

func ends(name, doc, example string, last bool) *Function {
	return &Function{
		Name: name, Doc: doc, Example: example,
		MinArgs: 1, MaxArgs: 1, Mergeable: true, Running: true, Windowed: true,
		Result: func(args []batch.Kind) (batch.Kind, bool, error) { return Widened(args[0]), true, nil },
		build: func(args []Arg, _ []float64) recipe {
			p := endOf{last: last, bytes: args[0].Kind.Views()}
			return recipe{[]planned{countOf(args), {key{what: name, column: args[0].Column}, p}}, valueResult}
		},
	}
}

// endOf keeps the value in its first words and the event time of it in the last.
// Rows without event times count in the order of the input.
type endOf struct{ last, bytes bool }

func (p endOf) timeWord() int {
	if p.bytes {
		return 2
	}
	return 1
}

func (p endOf) Words() int { return p.timeWord() + 1 }

func (p endOf) Init(d []uint64) []uint64 {
	d = append(d, unset)
	if p.bytes {
		d = append(d, 0)
	}
	if p.last {
		return append(d, 1<<63) // the smallest time
	}
	return append(d, math.MaxInt64)
}

// wins reports whether a row at time t displaces one at time kept. The first row
// of all must win whatever its time: for last, >= does it; for first a record
// that still has the largest time does, and a tie at the largest time is harmless
// for every row but the first, which taken tells.
func (p endOf) wins(kept, t batch.Time, taken bool) bool {
	if p.last {
		return t >= kept
	}
	return t < kept || !taken
}

func (p endOf) Update(b record.Block, refs []record.Ref, in Input) {
	tw := p.timeWord()
	for i, r := range refs {
		if in.Col.IsNull(in.From + i) {
			continue
		}
		var t batch.Time
		if in.Times != nil {
			t = in.Times[in.From+i]
		}
		if !p.wins(*b.Int(r, tw), t, *b.Int(r, tw) != math.MaxInt64) {
			continue
		}
		*b.Int(r, tw) = t
		if p.bytes {
			keepBytes(b, r, in.Col.Bytes(in.From+i))
		} else {
			*b.Word(r, 0) = wordOf(in.Col, in.From+i)
		}
	}
}

func (p endOf) Merge(to record.Block, dst record.Ref, from record.Block, src record.Ref) {
	tw := p.timeWord()
	t, kept := *from.Int(src, tw), *to.Int(dst, tw)
	if t == int64(p.Init(nil)[tw]) || !p.wins(kept, t, kept != math.MaxInt64) {
		return
	}
	*to.Int(dst, tw) = t
	if p.bytes {
		keepBytes(to, dst, keptBytes(from, src))
	} else {
		*to.Word(dst, 0) = *from.Word(src, 0)
	}
}
