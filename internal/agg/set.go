package agg

import (
	"fmt"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/record"
)

// Part is an accumulator: some words of a record and the kernels over them. A
// part is constant after construction and may be shared.
type Part interface {
	// Words returns the size.
	Words() int
	// Init appends the words of a record without rows.
	Init(dst []uint64) []uint64
	// Update adds row in.From+i of the input to the record refs[i], for all refs, in order.
	// Word 0 of the part is word 0 of the block.
	Update(to record.Block, refs []record.Ref, in Input)
	// Merge adds the record src of from to the record dst of to. Rows of to came before those of from.
	Merge(to record.Block, dst record.Ref, from record.Block, src record.Ref)
}

// Input is the rows of one update.
type Input struct {
	Col   *batch.Column // nil for parts without an argument
	Times []batch.Time  // event times, or nil
	From  int           // row of Col and Times that belongs to the first ref
}

// key identifies equal parts: what is computed, of which column.
type key struct {
	what   string
	column int
	param  float64
}

type planned struct {
	key  key
	part Part
}

// recipe is the parts of one call and the kernel that makes its result of them.
type recipe struct {
	parts []planned
	// result writes the results of the records refs to the rows at, at+1, ... of
	// out; offs are the first words of the parts.
	result func(b record.Block, offs []int, refs []record.Ref, out *batch.Column, at int)
}

// Call is one use of a function.
type Call struct {
	Function *Function
	Args     []Arg
	Params   []float64
}

// Set is the accumulators of several calls in one record. It is constant after construction.
type Set struct {
	parts   []planned
	offs    []int // first word of each part
	words   int
	recipes []recipe
	places  [][]int // offsets of the parts of each recipe
	texts   []int   // offsets of the parts that keep texts
}

// NewSet lays the parts of the calls out in one record, equal parts once.
func NewSet(calls []Call) *Set {
	s := &Set{}
	for _, c := range calls {
		r := c.Function.build(c.Args, c.Params)
		var at []int
		for _, p := range r.parts {
			at = append(at, s.place(p))
		}
		s.recipes = append(s.recipes, r)
		s.places = append(s.places, at)
	}
	return s
}

func (s *Set) place(p planned) int {
	for i, q := range s.parts {
		if q.key == p.key {
			return s.offs[i]
		}
	}
	s.parts = append(s.parts, p)
	s.offs = append(s.offs, s.words)
	if k, ok := p.part.(textKeeper); ok && k.keepsText() {
		s.texts = append(s.texts, s.words)
	}
	s.words += p.part.Words()
	return s.offs[len(s.offs)-1]
}

// Words returns the words that the accumulators take in a record.
func (s *Set) Words() int { return s.words }

// Init returns the words of a record without rows.
func (s *Set) Init() []uint64 {
	var w []uint64
	for _, p := range s.parts {
		w = p.part.Init(w)
	}
	if len(w) != s.words {
		panic(fmt.Sprintf("agg: %d initial words for %d", len(w), s.words))
	}
	return w
}

// Update adds the rows from, from+1, ... to the records refs. cols are the argument
// columns, by Arg.Column, of the kinds that Widened gives.
func (s *Set) Update(b record.Block, refs []record.Ref, cols []*batch.Column, times []batch.Time, from int) {
	for i, p := range s.parts {
		in := Input{Times: times, From: from}
		if p.key.column >= 0 {
			in.Col = cols[p.key.column]
		}
		p.part.Update(b.From(s.offs[i]), refs, in)
	}
}

// Merge adds the record src of from to the record dst of to.
func (s *Set) Merge(to record.Block, dst record.Ref, from record.Block, src record.Ref) {
	for i, p := range s.parts {
		p.part.Merge(to.From(s.offs[i]), dst, from.From(s.offs[i]), src)
	}
}

// Result writes the results of call i for the records refs to the rows at, at+1, ... of out.
func (s *Set) Result(i int, b record.Block, refs []record.Ref, out *batch.Column, at int) {
	s.recipes[i].result(b, s.places[i], refs, out, at)
}
