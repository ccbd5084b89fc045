package agg

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/record"
)

// table is records of one set, n of them.
type table struct {
	set   *Set
	words []uint64
	arena []byte
}

func newTable(s *Set, n int) *table {
	t := &table{set: s}
	for range n {
		t.words = append(t.words, s.Init()...)
	}
	return t
}

func (t *table) block() record.Block {
	return record.Block{Base: unsafe.Pointer(unsafe.SliceData(t.words)), Arena: &t.arena}
}

func (t *table) ref(i int) record.Ref { return record.Ref(i * t.set.Words()) }

func call(name string, kind batch.Kind, nullable bool, params ...float64) Call {
	f, ok := Lookup(name)
	if !ok {
		panic(name)
	}
	c := Call{Function: f, Params: params}
	if f.MaxArgs > 0 && kind != batch.Invalid {
		c.Args = []Arg{{Column: 0, Kind: kind, Nullable: nullable}}
	}
	return c
}

// results returns the result of every record: nil for null.
func (t *table) results(c Call, i, n int) []any {
	var kinds []batch.Kind
	for _, a := range c.Args {
		kinds = append(kinds, a.Kind)
	}
	kind, _, err := c.Function.Result(kinds)
	if err != nil {
		panic(err)
	}
	out := batch.NewColumn(kind, n)
	refs := make([]record.Ref, n)
	for k := range refs {
		refs[k] = t.ref(k)
	}
	t.set.Result(i, t.block(), refs, out, 0)
	var got []any
	for k := range n {
		switch {
		case out.IsNull(k):
			got = append(got, nil)
		case kind == batch.Float64:
			got = append(got, out.Float64s()[k])
		case kind.Views():
			got = append(got, string(out.Bytes(k)))
		case kind == batch.Bool:
			got = append(got, out.Bool(k))
		default:
			got = append(got, out.Int64s()[k])
		}
	}
	return got
}

func floats(v []any) (*batch.Column, []batch.Time) {
	c := batch.NewColumn(batch.Float64, max(1, len(v)))
	times := make([]batch.Time, len(v))
	for i, x := range v {
		times[i] = batch.Time(i)
		if x == nil {
			c.SetNull(i)
		} else {
			c.Float64s()[i] = x.(float64)
		}
	}
	return c, times
}

func one(t *testing.T, name string, v []any, params ...float64) any {
	t.Helper()
	col, times := floats(v)
	c := call(name, batch.Float64, true, params...)
	tab := newTable(NewSet([]Call{c}), 1)
	tab.set.Update(tab.block(), make([]record.Ref, len(v)), []*batch.Column{col}, times, 0)
	return tab.results(c, 0, 1)[0]
}

func TestFloatResults(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		name string
		in   []any
		want any
	}{
		{"count", []any{1.0, nil, 3.0}, int64(2)},
		{"count", nil, int64(0)},
		{"sum", []any{1e100, 1.0, -1e100}, 1.0},
		{"sum", []any{0.1, 0.2, 0.3}, 0.6},
		{"sum", []any{nil}, nil},
		{"sum", []any{inf, 1.0}, inf},
		{"sum", []any{inf, -inf}, nan},
		{"avg", []any{1.0, 2.0, nil, 6.0}, 3.0},
		{"avg", nil, nil},
		{"mean", []any{2.0}, 2.0},
		{"min", []any{3.0, -1.0, nan}, -1.0},
		{"min", []any{nan, nil}, nan},
		{"max", []any{3.0, 5.0}, 5.0},
		{"max", []any{3.0, nan, 5.0}, nan},
		{"max", []any{-inf}, -inf},
		{"max", []any{nil}, nil},
		{"first", []any{nil, 7.0, 8.0}, 7.0},
		{"last", []any{7.0, 8.0, nil}, 8.0},
		{"variance", []any{1.0, 3.0}, 1.0},
		{"variance", []any{5.0}, 0.0},
		{"variance", []any{nil}, nil},
		{"variance", []any{1e9 + 1, 1e9 + 2, 1e9 + 3}, 2.0 / 3},
		{"stddev", []any{1.0, 5.0}, 2.0},
		{"stddev", []any{1.0, nan}, nan},
	} {
		got := one(t, c.name, c.in)
		if g, ok := got.(float64); ok && math.IsNaN(g) {
			if w, ok := c.want.(float64); ok && math.IsNaN(w) {
				continue
			}
		}
		if got != c.want {
			t.Errorf("%s(%v) = %v, want %v", c.name, c.in, got, c.want)
		}
	}
	if got := one(t, "ewm_mean", []any{10.0, nil, 20.0, 30.0}, 0.5); got != 22.5 {
		t.Errorf("ewm_mean = %v, want 22.5", got)
	}
}

func TestIntegerSumsAreExactIn128Bits(t *testing.T) {
	c := call("sum", batch.Int64, false)
	a := call("avg", batch.Int64, false)
	tab := newTable(NewSet([]Call{c, a}), 1)
	col := batch.NewColumn(batch.Int64, 4)
	copy(col.Int64s(), []int64{math.MaxInt64, math.MaxInt64, -math.MaxInt64, -math.MaxInt64})
	refs := make([]record.Ref, 2)
	tab.set.Update(tab.block(), refs, []*batch.Column{col}, nil, 0)
	if got := tab.results(c, 0, 1)[0]; got != nil {
		t.Errorf("a sum beyond int64 is %v, want null", got)
	}
	if got := tab.results(a, 1, 1)[0]; got != float64(math.MaxInt64) {
		t.Errorf("average %v", got)
	}
	tab.set.Update(tab.block(), refs, []*batch.Column{col}, nil, 2)
	if got := tab.results(c, 0, 1)[0]; got != int64(0) {
		t.Errorf("back in range: %v, want 0", got)
	}
}

func TestStringsAndTies(t *testing.T) {
	col := batch.NewColumn(batch.String, 5)
	values := []string{"a rather long string of text", "zz", "a rather long string of texts, longer", "", "a rather long string of tex"}
	for i, v := range values {
		col.SetText(i, v)
	}
	times := []batch.Time{5, 3, 9, 9, 3}
	for name, want := range map[string]string{"min": "", "max": "zz", "first": "zz", "last": ""} {
		c := call(name, batch.String, false)
		tab := newTable(NewSet([]Call{c}), 1)
		tab.set.Update(tab.block(), make([]record.Ref, 5), []*batch.Column{col}, times, 0)
		if got := tab.results(c, 0, 1)[0]; got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

func TestTheArenaGrowsWithTheValuesNotTheUpdates(t *testing.T) {
	c := call("last", batch.String, false)
	tab := newTable(NewSet([]Call{c}), 1)
	col := batch.NewColumn(batch.String, 1)
	col.SetText(0, "a value too long to be inline")
	for i := range 10_000 {
		tab.set.Update(tab.block(), []record.Ref{0}, []*batch.Column{col}, []batch.Time{batch.Time(i)}, 0)
	}
	if len(tab.arena) > 1000 {
		t.Errorf("%d bytes for one value", len(tab.arena))
	}
}

func TestFunctionsShareEqualParts(t *testing.T) {
	s := NewSet([]Call{call("avg", batch.Float64, false), call("count", batch.Invalid, false), call("sum", batch.Float64, false), call("mean", batch.Float64, false)})
	if s.Words() != 3 {
		t.Errorf("%d words, want 3: one count, one sum of two", s.Words())
	}
	s = NewSet([]Call{call("variance", batch.Float64, true), call("stddev", batch.Float64, true)})
	if s.Words() != 3 {
		t.Errorf("%d words, want 3", s.Words())
	}
}

// TestMergingEqualsOnePass splits random rows in two at every place for every
// mergeable function and kind.
func TestMergingEqualsOnePass(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, f := range Functions {
		if !f.Mergeable {
			continue
		}
		for _, kind := range []batch.Kind{batch.Float64, batch.Int64, batch.Bool, batch.Timestamp, batch.String} {
			if _, _, err := f.Result([]batch.Kind{kind}); err != nil {
				continue
			}
			for range 50 {
				n := 1 + r.IntN(20)
				col, times := random(r, kind, n)
				c := call(f.Name, kind, true)
				whole, left, right := newTable(NewSet([]Call{c}), 1), newTable(NewSet([]Call{c}), 1), newTable(NewSet([]Call{c}), 1)
				refs := make([]record.Ref, n)
				cut := r.IntN(n + 1)
				cols := []*batch.Column{col}
				whole.set.Update(whole.block(), refs, cols, times, 0)
				left.set.Update(left.block(), refs[:cut], cols, times, 0)
				right.set.Update(right.block(), refs[cut:], cols, times, cut)
				left.set.Merge(left.block(), 0, right.block(), 0)
				got, want := left.results(c, 0, 1)[0], whole.results(c, 0, 1)[0]
				g, ok1 := got.(float64)
				w, ok2 := want.(float64)
				if ok1 && ok2 && math.Abs(g-w) <= 1e-9*math.Max(1, math.Abs(w)) {
					continue
				}
				if got != want {
					t.Fatalf("%s of %s: merged %v, in one pass %v", f.Name, kind, got, want)
				}
			}
		}
	}
}

func random(r *rand.Rand, kind batch.Kind, n int) (*batch.Column, []batch.Time) {
	c := batch.NewColumn(kind, n)
	times := make([]batch.Time, n)
	for i := range n {
		times[i] = batch.Time(r.IntN(6))
		if r.IntN(4) == 0 {
			c.SetNull(i)
			continue
		}
		switch kind {
		case batch.Float64:
			c.Float64s()[i] = math.Round(r.NormFloat64()*1000) / 8
		case batch.Bool:
			c.SetBool(i, r.IntN(2) == 0)
		case batch.String:
			c.SetText(i, []string{"", "b", "a string that is long enough", "another string that is long"}[r.IntN(4)])
		default:
			c.Int64s()[i] = int64(r.IntN(100)) - 50
		}
	}
	return c, times
}

// TestCompensatedSumAgainstExactArithmetic sums a hard series exactly with big
// floats: the error must stay below one unit in the last place.
func TestCompensatedSumAgainstExactArithmetic(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	var v []any
	exact := new(big.Float).SetPrec(2000)
	for range 100_000 {
		x := math.Ldexp(r.NormFloat64(), r.IntN(60)-30)
		v = append(v, x)
		exact.Add(exact, big.NewFloat(x))
	}
	want, _ := exact.Float64()
	got := one(t, "sum", v).(float64)
	if math.Abs(got-want) > math.Abs(want)*2.3e-16 {
		t.Errorf("sum %v, exact %v", got, want)
	}
}

func TestUpdateAllocatesNothing(t *testing.T) {
	tab := newTable(NewSet([]Call{call("avg", batch.Float64, false), call("count", batch.Invalid, false), call("stddev", batch.Float64, false)}), 100)
	col := batch.NewColumn(batch.Float64, 1024)
	cols := []*batch.Column{col}
	refs := make([]record.Ref, 1024)
	for i := range refs {
		refs[i] = tab.ref(i % 100)
	}
	if n := testing.AllocsPerRun(10, func() { tab.set.Update(tab.block(), refs, cols, nil, 0) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
