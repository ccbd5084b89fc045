// Package statetest is the suite that every state backend must pass: what the
// contract in package state promises, checked against a Go map.
package statetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
)

// Open makes an empty backend.
type Open func(layout state.Layout, groups keygroup.Range) state.Backend

// Run runs the suite.
func Run(t *testing.T, open Open) {
	t.Run("records are found again under their keys", func(t *testing.T) { findsAgain(t, open) })
	t.Run("every kind of key decodes to what was encoded", func(t *testing.T) { decodes(t, open) })
	t.Run("panes are independent and sorted", func(t *testing.T) { panes(t, open) })
	t.Run("retain keeps exactly the wanted records", func(t *testing.T) { retains(t, open) })
	t.Run("a dropped pane leaves nothing behind", func(t *testing.T) { reuses(t, open) })
	t.Run("a scan goes in the order of the hashes", func(t *testing.T) { ordered(t, open) })
	t.Run("a range of key groups is enough room", func(t *testing.T) { ranges(t, open) })
}

var keySchema = &batch.Schema{Time: -1, Fields: []batch.Field{{Name: "k", Kind: batch.String, Nullable: true}}}

// keyText returns one of n keys: short, exactly 12 and 13 bytes, long, empty.
func keyText(i int) string {
	switch i % 5 {
	case 0:
		return fmt.Sprintf("dev-%d", i)
	case 1:
		return fmt.Sprintf("%012d", i)
	case 2:
		return fmt.Sprintf("%013d", i)
	case 3:
		return fmt.Sprintf("a long key with a common prefix %d", i)
	}
	if i == 4 {
		return ""
	}
	return fmt.Sprint(i)
}

func fill(b *batch.Batch, keys []int) {
	for r, k := range keys {
		if k < 0 {
			b.Col(0).SetNull(r)
			continue
		}
		b.Col(0).SetText(r, keyText(k))
	}
	b.SetLen(len(keys))
}

// add raises word 0 of the record of each key by 1.
func add(t *testing.T, p state.Pane, pool *batch.Pool, enc *state.KeyEncoder, keys []int) {
	t.Helper()
	for part := range slices.Chunk(keys, pool.Cap()) {
		b := pool.Get()
		fill(b, part)
		refs := make([]record.Ref, len(part))
		if err := p.Locate(enc.Encode(b), refs); err != nil {
			t.Fatal(err)
		}
		for _, r := range refs {
			*p.Block().Int(r, 0)++
		}
		b.Release()
	}
}

// scan returns word 0 by key text; null is "<null>".
func scan(t *testing.T, p state.Pane, enc *state.KeyEncoder) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	pool := batch.NewPool(keySchema, 64)
	refs := make([]record.Ref, 64)
	for n, c := p.Scan(0, refs); n > 0; n, c = p.Scan(c, refs) {
		var k state.Keys
		p.Keys(refs[:n], &k)
		b := pool.Get()
		enc.Decode(&k, []*batch.Column{b.Col(0)}, 0)
		for i, r := range refs[:n] {
			text := "<null>"
			if !b.Col(0).IsNull(i) {
				text = string(b.Col(0).Bytes(i))
			}
			if _, twice := out[text]; twice {
				t.Fatalf("key %q has two records", text)
			}
			out[text] = *p.Block().Int(r, 0)
		}
		b.Release()
	}
	return out
}

func text(k int) string {
	if k < 0 {
		return "<null>"
	}
	return keyText(k)
}

func same(t *testing.T, got, want map[string]int64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for k, v := range want {
		if got[k] != v {
			t.Fatalf("key %q: %d, want %d", k, got[k], v)
		}
	}
}

func findsAgain(t *testing.T, open Open) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, universe := range []int{1, 10, 5_000, 60_000} {
		s := open(state.Layout{Init: []uint64{100, 7}}, keygroup.All)
		enc := state.NewKeyEncoder(keySchema, []int{0})
		p, err := s.Pane(0)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]int64{}
		var keys []int
		for range 3 * universe {
			k := r.IntN(universe) - 1
			keys = append(keys, k)
			if want[text(k)] == 0 {
				want[text(k)] = 100
			}
			want[text(k)]++
		}
		add(t, p, batch.NewPool(keySchema, 512), enc, keys)
		same(t, scan(t, p, enc), want)
		s.Close()
	}
}

func panes(t *testing.T, open Open) {
	s := open(state.Layout{Init: []uint64{0}}, keygroup.All)
	defer s.Close()
	enc := state.NewKeyEncoder(keySchema, []int{0})
	pool := batch.NewPool(keySchema, 16)
	for i, id := range []int64{30, -10, 20} {
		p, err := s.Pane(id)
		if err != nil {
			t.Fatal(err)
		}
		for range i + 1 {
			add(t, p, pool, enc, []int{1})
		}
	}
	if got := s.Panes(); !slices.Equal(got, []int64{-10, 20, 30}) {
		t.Fatalf("panes %v", got)
	}
	for id, want := range map[int64]int64{30: 1, -10: 2, 20: 3} {
		p, err := s.Pane(id)
		if err != nil {
			t.Fatal(err)
		}
		same(t, scan(t, p, enc), map[string]int64{keyText(1): want})
	}
	s.Drop(20)
	s.Drop(99)
	if got := s.Panes(); !slices.Equal(got, []int64{-10, 30}) {
		t.Fatalf("panes %v after drop", got)
	}
}

func retains(t *testing.T, open Open) {
	s := open(state.Layout{Init: []uint64{0}}, keygroup.All)
	defer s.Close()
	enc := state.NewKeyEncoder(keySchema, []int{0})
	p, err := s.Pane(0)
	if err != nil {
		t.Fatal(err)
	}
	var keys []int
	want := map[string]int64{}
	for k := range 3000 {
		n := 1 + k%3
		for range n {
			keys = append(keys, k)
		}
		if n == 2 {
			want[keyText(k)] = 2
		}
	}
	pool := batch.NewPool(keySchema, 512)
	add(t, p, pool, enc, keys)
	if err := p.Retain(func(r record.Ref) bool { return *p.Block().Int(r, 0) == 2 }); err != nil {
		t.Fatal(err)
	}
	same(t, scan(t, p, enc), want)
	add(t, p, pool, enc, keys)
	got := scan(t, p, enc)
	if len(got) != 3000 || got[keyText(1)] != 4 || got[keyText(0)] != 1 {
		t.Fatalf("after adding again: %d records, %d and %d", len(got), got[keyText(1)], got[keyText(0)])
	}
}

func reuses(t *testing.T, open Open) {
	s := open(state.Layout{Init: []uint64{5}}, keygroup.All)
	defer s.Close()
	enc := state.NewKeyEncoder(keySchema, []int{0})
	pool := batch.NewPool(keySchema, 512)
	for id := range int64(5) {
		p, err := s.Pane(id)
		if err != nil {
			t.Fatal(err)
		}
		if got := scan(t, p, enc); len(got) != 0 {
			t.Fatalf("a new pane has %d records", len(got))
		}
		var keys []int
		want := map[string]int64{}
		for k := range 2000 {
			keys = append(keys, k+int(id)*1000)
			want[keyText(k+int(id)*1000)] = 6
		}
		add(t, p, pool, enc, keys)
		same(t, scan(t, p, enc), want)
		s.Drop(id)
	}
	if s.Bytes() < 0 {
		t.Errorf("%d bytes", s.Bytes())
	}
}

func ranges(t *testing.T, open Open) {
	const owners = 7
	pool := batch.NewPool(keySchema, 512)
	enc := state.NewKeyEncoder(keySchema, []int{0})
	total := 0
	for o := range owners {
		s := open(state.Layout{Init: []uint64{0}}, keygroup.Owned(o, owners))
		p, err := s.Pane(0)
		if err != nil {
			t.Fatal(err)
		}
		var mine []int
		for k := range 10_000 {
			b := pool.Get()
			fill(b, []int{k})
			if keygroup.Owner(enc.Encode(b).Hashes[0], owners) == o {
				mine = append(mine, k)
			}
			b.Release()
		}
		add(t, p, pool, enc, mine)
		got := scan(t, p, enc)
		if len(got) != len(mine) {
			t.Fatalf("owner %d has %d of %d records", o, len(got), len(mine))
		}
		total += len(got)
		s.Close()
	}
	if total != 10_000 {
		t.Errorf("%d of 10000 keys have an owner", total)
	}
}

// ordered adds keys in random orders, so few that runs of slots go around the end
// of a small table as well: a scan must not tell in which order they came, and
// they must be found behind it.
func ordered(t *testing.T, open Open) {
	r := rand.New(rand.NewPCG(5, 6))
	enc := state.NewKeyEncoder(keySchema, []int{0})
	pool := batch.NewPool(keySchema, 16)
	for _, groups := range []keygroup.Range{keygroup.All, keygroup.Owned(2, 3)} {
		for range 300 {
			s := open(state.Layout{Init: []uint64{0, 3, 5}}, groups)
			p, err := s.Pane(0)
			if err != nil {
				t.Fatal(err)
			}
			var keys []int
			b := pool.Get()
			for n := r.IntN(120); len(keys) < n; {
				k := r.IntN(1 << 20)
				fill(b, []int{k})
				if groups.Contains(keygroup.Of(enc.Encode(b).Hashes[0])) {
					keys = append(keys, k)
				}
			}
			b.Release()
			add(t, p, pool, enc, keys)
			want := scan(t, p, enc)
			checkOrder(t, p)
			add(t, p, pool, enc, keys)
			checkOrder(t, p)
			for k := range want {
				want[k] *= 2
			}
			same(t, scan(t, p, enc), want)
			s.Close()
		}
	}
}

func checkOrder(t *testing.T, p state.Pane) {
	t.Helper()
	last := uint64(0)
	refs := make([]record.Ref, 7)
	for n, c := p.Scan(0, refs); n > 0; n, c = p.Scan(c, refs) {
		var k state.Keys
		p.Keys(refs[:n], &k)
		for i := range k.Views {
			h := state.HashKey(&k.Views[i], k.Arena)
			if h < last {
				t.Fatalf("hash %x comes behind %x", h, last)
			}
			last = h
		}
	}
}

func decodes(t *testing.T, open Open) {
	for name, fields := range map[string][]batch.Field{
		"int64":     {{Name: "a", Kind: batch.Int64, Nullable: true}},
		"bool":      {{Name: "a", Kind: batch.Bool, Nullable: true}},
		"float64":   {{Name: "a", Kind: batch.Float64, Nullable: true}},
		"int32":     {{Name: "a", Kind: batch.Int32, Nullable: true}},
		"float32":   {{Name: "a", Kind: batch.Float32, Nullable: true}},
		"timestamp": {{Name: "a", Kind: batch.Timestamp, Nullable: true}},
		"binary":    {{Name: "a", Kind: batch.Binary, Nullable: true}},
		"several": {
			{Name: "a", Kind: batch.String, Nullable: true}, {Name: "b", Kind: batch.Int64, Nullable: true},
			{Name: "c", Kind: batch.String, Nullable: true}, {Name: "d", Kind: batch.Bool, Nullable: true},
		},
	} {
		t.Run(name, func(t *testing.T) { decodesKind(t, open, fields) })
	}
}

func decodesKind(t *testing.T, open Open, fields []batch.Field) {
	schema := &batch.Schema{Time: -1, Fields: fields}
	pool := batch.NewPool(schema, 256)
	b := pool.Get()
	defer b.Release()
	r := rand.New(rand.NewPCG(5, 6))
	want := map[string]bool{}
	var cols []int
	for i := range fields {
		cols = append(cols, i)
	}
	for row := range 256 {
		for c := range fields {
			setRandom(b.Col(c), row, r)
		}
		want[show(b, row)] = true
	}
	b.SetLen(256)
	s := open(state.Layout{Init: []uint64{0}}, keygroup.All)
	defer s.Close()
	enc := state.NewKeyEncoder(schema, cols)
	p, err := s.Pane(0)
	if err != nil {
		t.Fatal(err)
	}
	var refs [512]record.Ref
	if err := p.Locate(enc.Encode(b), refs[:256]); err != nil {
		t.Fatal(err)
	}
	n, _ := p.Scan(0, refs[:])
	if n != len(want) {
		t.Fatalf("%d records for %d keys", n, len(want))
	}
	var k state.Keys
	p.Keys(refs[:n], &k)
	out := pool.Get()
	defer out.Release()
	var outs []*batch.Column
	for _, c := range cols {
		outs = append(outs, out.Col(c))
	}
	enc.Decode(&k, outs, 0)
	for row := range n {
		if !want[show(out, row)] {
			t.Fatalf("key %s was never put in", show(out, row))
		}
		delete(want, show(out, row))
	}
}

func setRandom(c *batch.Column, row int, r *rand.Rand) {
	n := int64(r.IntN(7))
	if n == 0 {
		c.SetNull(row)
		return
	}
	switch c.Kind() {
	case batch.Bool:
		c.SetBool(row, n > 3)
	case batch.Int32:
		c.Int32s()[row] = int32(n) - 3
	case batch.Int64, batch.Timestamp:
		c.Int64s()[row] = []int64{math.MinInt64, -1, 0, 1, math.MaxInt64, 7, 8}[n]
	case batch.Float32:
		c.Float32s()[row] = float32(n) / 3
	case batch.Float64:
		// 0 and -0 are one key, and so are all NaN.
		c.Float64s()[row] = []float64{0, math.Copysign(0, -1), 0, 1.5, math.NaN(), -math.NaN(), math.Inf(1)}[n]
	default:
		c.SetText(row, []string{"", "", "a", "a\x00", "exactly 12 b", "thirteen byte", "a much longer value than inline"}[n])
	}
}

func show(b *batch.Batch, row int) string {
	out := ""
	for i := range b.Schema().Fields {
		c := b.Col(i)
		switch {
		case c.IsNull(row):
			out += "null|"
		case c.Kind().Views():
			out += fmt.Sprintf("%q|", c.Bytes(row))
		case c.Kind() == batch.Bool:
			out += fmt.Sprint(c.Bool(row), "|")
		case c.Kind() == batch.Int32:
			out += fmt.Sprint(c.Int32s()[row], "|")
		case c.Kind() == batch.Float32:
			out += fmt.Sprint(c.Float32s()[row], "|")
		case c.Kind() == batch.Float64:
			out += fmt.Sprint(c.Float64s()[row]+0, "|")
		default:
			out += fmt.Sprint(c.Int64s()[row], "|")
		}
	}
	return out
}
