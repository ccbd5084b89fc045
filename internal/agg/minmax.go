package agg

import (
	"bytes"
	"math"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/record"
)

var minFunc = extreme("min", "Smallest value.", "min(temperature)", false)

var maxFunc = extreme("max", "Greatest value.", "max(temperature)", true)

func extreme(name, doc, example string, greatest bool) *Function {
	return &Function{
		Name: name, Doc: doc, Example: example,
		MinArgs: 1, MaxArgs: 1, Mergeable: true, Running: true, Windowed: true,
		Result: func(args []batch.Kind) (batch.Kind, bool, error) { return Widened(args[0]), true, nil },
		build: func(args []Arg, _ []float64) recipe {
			return recipe{[]planned{countOf(args), {key{what: name, column: args[0].Column}, extremeOf(args[0].Kind, greatest)}}, valueResult}
		},
	}
}

func extremeOf(k batch.Kind, greatest bool) Part {
	switch {
	case k.Views():
		return extremeBytes{greatest}
	case k == batch.Float64 || k == batch.Float32:
		if greatest {
			return extremeWord{batch.Float64, math.Float64bits(math.Inf(-1)), func(a, b uint64) bool { return floatLess(a, b) }}
		}
		return extremeWord{batch.Float64, math.Float64bits(math.NaN()), func(a, b uint64) bool { return floatLess(b, a) }}
	case greatest:
		return extremeWord{Widened(k), 1 << 63, func(a, b uint64) bool { return int64(a) < int64(b) }}
	}
	return extremeWord{Widened(k), math.MaxInt64, func(a, b uint64) bool { return int64(b) < int64(a) }}
}

// floatLess orders floats with NaN above all others.
func floatLess(a, b uint64) bool {
	x, y := math.Float64frombits(a), math.Float64frombits(b)
	return x < y || math.IsNaN(y) && !math.IsNaN(x)
}

// extremeWord keeps one word: the value that no later one displaces.
type extremeWord struct {
	kind batch.Kind
	init uint64
	// displaces reports whether the new value b takes the place of the kept value a.
	displaces func(a, b uint64) bool
}

func (extremeWord) Words() int                 { return 1 }
func (p extremeWord) Init(d []uint64) []uint64 { return append(d, p.init) }

func (p extremeWord) Update(b record.Block, refs []record.Ref, in Input) {
	for i, r := range refs {
		if in.Col.IsNull(in.From + i) {
			continue
		}
		if v := wordOf(in.Col, in.From+i); p.displaces(*b.Word(r, 0), v) {
			*b.Word(r, 0) = v
		}
	}
}

func (p extremeWord) Merge(to record.Block, dst record.Ref, from record.Block, src record.Ref) {
	if v := *from.Word(src, 0); p.displaces(*to.Word(dst, 0), v) {
		*to.Word(dst, 0) = v
	}
}

// wordOf returns the value of row i of a column of a kind that takes one word.
func wordOf(c *batch.Column, i int) uint64 {
	switch c.Kind() {
	case batch.Bool:
		if c.Bool(i) {
			return 1
		}
		return 0
	case batch.Float64:
		return math.Float64bits(c.Float64s()[i])
	}
	return uint64(c.Int64s()[i])
}

// setWord is the reverse of wordOf.
func setWord(c *batch.Column, i int, w uint64) {
	switch c.Kind() {
	case batch.Bool:
		c.SetBool(i, w != 0)
	case batch.Float64:
		c.Float64s()[i] = math.Float64frombits(w)
	default:
		c.Int64s()[i] = int64(w)
	}
}

// valueResult is the result of recipes of a count and a part that keeps a value
// from word 0 on: null when the count is 0.
func valueResult(b record.Block, offs []int, refs []record.Ref, out *batch.Column, at int) {
	n, v := b.From(offs[0]), b.From(offs[1])
	for i, r := range refs {
		switch {
		case *n.Int(r, 0) == 0:
			out.SetNull(at + i)
		case out.Kind().Views():
			out.SetBytes(at+i, keptBytes(v, r))
		default:
			setWord(out, at+i, *v.Word(r, 0))
		}
	}
}

// unset is the first word of a kept value before there is one: no value has this length.
const unset = math.MaxUint64

// inArena marks, in the length of a kept value, that its bytes are in the arena.
const inArena = 1 << 31

// keepBytes stores a value in words 0 and 1 of a record: as a view, or once it
// was too long for one as its length with the mark inArena, and the place in
// the arena in the upper half of word 1 with the room that the entry has there
// in the lower half, both in units of 8 bytes. An entry stays in the arena and
// is overwritten as long as the new value fits into its room, so the arena
// grows with the longest values and not with the number of updates.
func keepBytes(b record.Block, r record.Ref, v []byte) {
	w0, w1 := b.Word(r, 0), b.Word(r, 1)
	units := uint64(len(v)+7) / 8
	kept := *w0 != unset && *w0&inArena != 0
	switch {
	case kept && *w1&math.MaxUint32 >= units:
		copy((*b.Arena)[*w1>>32*8:], v)
	case !kept && len(v) <= batch.InlineMax:
		x := batch.InlineView(v)
		*w0, *w1 = x.W0, x.W1
		return
	default:
		room := units + units/2
		at := uint64(len(*b.Arena)+7) / 8
		a := append(*b.Arena, make([]byte, int(at)*8-len(*b.Arena))...)
		a = append(a, v...)
		*b.Arena = append(a, make([]byte, int(at+room)*8-len(a))...)
		*w1 = at<<32 | room
	}
	*w0 = uint64(len(v)) | inArena
}

// keptBytes returns the value that keepBytes stored.
func keptBytes(b record.Block, r record.Ref) []byte {
	v := (*batch.View)(viewAt(b, r))
	if v.W0&inArena == 0 {
		return v.Bytes(nil)
	}
	at := v.W1 >> 32 * 8
	return (*b.Arena)[at : at+v.W0&(inArena-1)]
}

// extremeBytes keeps a string or binary value, compared byte by byte.
type extremeBytes struct{ greatest bool }

func (extremeBytes) Words() int               { return 2 }
func (extremeBytes) Init(d []uint64) []uint64 { return append(d, unset, 0) }

func (p extremeBytes) Update(b record.Block, refs []record.Ref, in Input) {
	for i, r := range refs {
		if !in.Col.IsNull(in.From + i) {
			p.offer(b, r, in.Col.Bytes(in.From+i))
		}
	}
}

func (p extremeBytes) offer(b record.Block, r record.Ref, v []byte) {
	if *b.Word(r, 0) != unset {
		if c := bytes.Compare(keptBytes(b, r), v); c == 0 || c < 0 != p.greatest {
			return
		}
	}
	keepBytes(b, r, v)
}

func (p extremeBytes) Merge(to record.Block, dst record.Ref, from record.Block, src record.Ref) {
	if *from.Word(src, 0) != unset {
		p.offer(to, dst, keptBytes(from, src))
	}
}
