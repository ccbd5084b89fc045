package expr

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gorge-stream/gorge/internal/batch"
)

// testSchema has columns of each kind, with and without nulls.
var testSchema = &batch.Schema{Time: -1, Fields: []batch.Field{
	{Name: "i", Kind: batch.Int64, Nullable: true}, {Name: "j", Kind: batch.Int64}, {Name: "k", Kind: batch.Int32, Nullable: true},
	{Name: "f", Kind: batch.Float64, Nullable: true}, {Name: "g", Kind: batch.Float64}, {Name: "h", Kind: batch.Float32, Nullable: true},
	{Name: "s", Kind: batch.String, Nullable: true}, {Name: "u", Kind: batch.String},
	{Name: "b", Kind: batch.Bool, Nullable: true}, {Name: "c", Kind: batch.Bool},
	{Name: "t", Kind: batch.Timestamp, Nullable: true}, {Name: "w", Kind: batch.Timestamp},
}}

// testKinds are the kinds that expressions see.
var testKinds = map[string]batch.Kind{
	"i": batch.Int64, "j": batch.Int64, "k": batch.Int64, "f": batch.Float64, "g": batch.Float64, "h": batch.Float64,
	"s": batch.String, "u": batch.String, "b": batch.Bool, "c": batch.Bool, "t": batch.Timestamp, "w": batch.Timestamp,
}

var (
	someInts   = []int64{0, 1, -1, 2, 3, 7, 10, -5, 1000, math.MaxInt64, math.MinInt64, math.MaxInt64 - 1, math.MinInt64 + 1, 1 << 31, -1 << 31, 1 << 32, 1<<53 + 1}
	someFloats = []float64{0, math.Copysign(0, -1), 1, -1, 0.5, 2.5, -2.5, 3, 10, 1e-9, 1e300, -1e300, 1 << 53, 1 << 63, math.NaN(), math.Inf(1), math.Inf(-1), 5e-324}
	someTexts  = []string{
		"", "a", "b", "ab", "A", " x ", "sensor-7", "exactly12byt", "thirteen byte", "a rather long text with a, b and c", "ZÜRICH", "Straße",
		"日本語テキスト", "12", "-7", "1.5", "1e3", "9223372036854775808", "-9223372036854775808", "true", "false", "nan", "-Inf", "2026-01-31T12:34:56.789Z",
		"2026-02-30", "1969-12-31 23:59", "2024-02-29T00:00:00+05:30", "+292277-01-10T04:00:54Z", "-290308-12-21T19:59:05.224192Z", "a/b/c", "//", "-",
	}
	someTimes = []int64{0, 1, -1, 999_999, 1_769_862_896_789_000, -62_135_596_800_000_000, 951_782_400_000_000, math.MaxInt64, math.MinInt64, math.MinInt64 + 1, -1 << 40}
)

// table is a batch with the same rows as Go values.
type table struct {
	b    *batch.Batch
	rows []reference
}

func drawTable(t *rapid.T, pool *batch.Pool) table {
	b := pool.Get()
	n := rapid.OneOf(rapid.IntRange(0, 5), rapid.IntRange(60, 70), rapid.IntRange(0, pool.Cap())).Draw(t, "rows")
	rows := make([]reference, n)
	for i := range rows {
		rows[i] = reference{}
	}
	seed := rapid.Uint64().Draw(t, "seed")
	next := func(n int) int {
		seed = seed*6364136223846793005 + 1442695040888963407
		return int(seed >> 33 % uint64(n))
	}
	for at, f := range testSchema.Fields {
		col := b.Col(at)
		nulls := f.Nullable && next(3) > 0
		for i := range n {
			if nulls && next(4) == 0 {
				col.SetNull(i)
				rows[i][f.Name] = nil
				continue
			}
			rows[i][f.Name] = setRandom(col, i, next)
		}
	}
	b.SetLen(n)
	return table{b, rows}
}

func setRandom(col *batch.Column, i int, next func(int) int) any {
	switch col.Kind() {
	case batch.Int64:
		v := someInts[next(len(someInts))]
		col.Int64s()[i] = v
		return v
	case batch.Int32:
		v := int32(someInts[next(len(someInts))])
		col.Int32s()[i] = v
		return int64(v)
	case batch.Float64:
		v := someFloats[next(len(someFloats))]
		col.Float64s()[i] = v
		return v
	case batch.Float32:
		v := float32(someFloats[next(len(someFloats))])
		col.Float32s()[i] = v
		return float64(v)
	case batch.String:
		v := someTexts[next(len(someTexts))]
		col.SetText(i, v)
		return v
	case batch.Bool:
		v := next(2) == 0
		col.SetBool(i, v)
		return v
	}
	v := someTimes[next(len(someTimes))]
	col.Int64s()[i] = v
	return instant(v)
}

// author writes random expressions. A template has one letter in brackets for
// each argument: its kind.
type author struct{ t *rapid.T }

var templates = map[byte][]string{
	'i': {
		"[i] + [i]", "[i] - [i]", "[i] * [i]", "[i] % [i]", "div([i], [i])", "mod([i], [i])", "-[i]", "abs([i])", "sign([i])", "int([f])", "int([s])",
		"int([b])", "int([t])", "length([s])", "year([t])", "month([t])", "day([t])", "hour([t])", "minute([t])", "second([t])", "weekday([t])",
		"epoch_ms([t])", "[t] - [t]", "if([b], [i], [i])", "[b] ? [i] : [i]", "coalesce([i], [i], [i])", "[i] ?? [i]", "least([i], [i])", "max([i], [i])", "duration('90s')",
		"round([i])", "floor([i])", "coalesce(null, [i])", "if([b], null, [i])", "[i] * 2", "3 + [i]", "[i] - 1", "10 - [i]",
	},
	'f': {
		"[f] + [f]", "[f] - [f]", "[f] * [f]", "[f] / [f]", "[i] / [i]", "[f] % [f]", "-[f]", "abs([f])", "sign([f])", "float([s])", "float([b])", "float([i])",
		"sqrt([f])", "exp([f])", "log([f])", "log10([f])", "pow([f], [f])", "[f] ** 2", "ceil([f])", "floor([f])", "trunc([f])", "round([f])", "round([f], 2)", "round([f], -1)",
		"if([b], [i], [f])", "if([b], [f], [f])", "coalesce([f], [i])", "[f] ?? [f]", "least([f], [i], [f])", "greatest([f], [f])", "[f] * 1.8 + 32", "1 / [f]", "[f] / 0",
		"[f] / 3", "[i] + [f]", "[f] - [i]", "2.5 - [f]",
	},
	's': {
		"[s] + [s]", "concat([s], 'x', [s])", "lower([s])", "upper([s])", "trim([s])", "substring([s], [i])", "substring([s], [i], [i])", "substring([s], 2, 3)", "substring([s], -3)",
		"replace([s], [s], [s])", "replace([s], 'a', 'long replacement')", "split_part([s], '/', 2)", "split_part([s], [s], [i])", "string([i])", "string([f])", "string([b])", "string([t])", "string([s])",
		"if([b], [s], [s])", "coalesce([s], [s])", "least([s], [s])", "greatest([s], [s])", "[b] ? [s] : 'a constant of some length'",
	},
	'b': {
		"[i] == [i]", "[f] == [f]", "[i] == [f]", "[s] == [s]", "[t] == [t]", "[b] == [b]", "[i] != [i]", "[f] != [f]", "[s] != [s]", "[i] < [i]", "[f] < [f]", "[s] < [s]", "[t] < [t]",
		"[i] <= [f]", "[f] <= 1", "[s] <= 'b'", "[t] <= [t]", "[f] > 0.5", "0.5 > [f]", "[i] > [i]", "[s] > [s]", "[f] >= [f]", "[i] >= 3", "3 >= [i]", "[s] >= [s]", "[s] == 'sensor-7'",
		"[s] == 'a rather long text with a, b and c'", "'ab' != [s]", "[b] and [b]", "[b] or [b]", "not [b]", "not [i] > [i]", "between([i], [i], [i])", "between([f], 0, [f])",
		"between([s], 'a', 'b')", "[i] in [1, 2, 3]", "[i] in [1, null]", "[f] in [1, 2.5, null]", "[i] in [0, 1, 2, 3, 4, 5, 6, 7, 10, 1000]", "[i] not in [[i], [i]]", "[s] in ['a', 'ab', 'sensor-7']",
		"[s] in [[s], null]", "[b] in [true]", "[t] in [[t]]", "[i] in []", "is_null([i])", "is_null([f])", "is_null([s])", "not is_null([b])", "is_nan([f])", "[s] contains [s]", "[s] contains 'a'",
		"[s] startsWith 'a'", "ends_with([s], [s])", "[s] matches '^[a-z]+'", "[s] not matches 'a.*b'", "bool([i])", "bool([f])", "bool([s])", "if([b], [b], [b])", "coalesce([b], [b])", "[b] == null", "[b] and null", "null or [b]", "0 < [f] < 3",
	},
	't': {
		"timestamp([s])", "timestamp([i])", "[t] + [i]", "[i] + [t]", "[t] - [i]", "[t] + duration('1h')", "truncate([t], '10s')", "truncate([t], 'month')", "truncate([t], 'week')", "date_trunc('quarter', [t])",
		"truncate([t], 'day')", "truncate([t], '7h')", "from_epoch_ms([i])", "if([b], [t], [t])", "coalesce([t], [t])", "least([t], [t])", "timestamp(string([t]))",
	},
}

var leaves = map[byte][]string{
	'i': {"i", "j", "k", "0", "1", "-1", "7", "9223372036854775807", "-9223372036854775807"},
	'f': {"f", "g", "h", "0.0", "1.5", "-2.0", "1e300"},
	's': {"s", "u", "'a'", "''", "'a text beyond twelve bytes'", "'é/ü'"},
	'b': {"b", "c", "true", "false"},
	't': {"t", "w", "timestamp('2026-01-31T12:34:56Z')"},
}

func (a author) write(kind byte, depth int) string {
	if depth == 0 {
		return rapid.SampledFrom(leaves[kind]).Draw(a.t, "leaf")
	}
	template := rapid.SampledFrom(slices.Concat(templates[kind], leaves[kind][:2])).Draw(a.t, "template")
	var out strings.Builder
	for i := 0; i < len(template); i++ {
		if template[i] == '[' && i+2 < len(template) && template[i+2] == ']' && strings.IndexByte("ifsbt", template[i+1]) >= 0 {
			out.WriteString("(" + a.write(template[i+1], depth-1) + ")")
			i += 2
			continue
		}
		out.WriteByte(template[i])
	}
	return out.String()
}

// TestKernelsAgreeWithTheInterpreter compares random expressions on random rows.
func TestKernelsAgreeWithTheInterpreter(t *testing.T) {
	live := batch.Live()
	pool := batch.NewPool(testSchema, 150)
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]byte("ifsbt")).Draw(t, "kind")
		src := author{t}.write(kind, rapid.IntRange(1, 3).Draw(t, "depth"))
		e, err := Parse(src)
		if err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		again, err := Parse(e.String())
		if err != nil || again.String() != e.String() {
			t.Fatalf("%s prints as %s, which parses to %v, %v", src, e, again, err)
		}
		p, err := Compile(again, testSchema)
		if err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		for range 2 { // the second time with used scratch columns
			checkTable(t, e, p, drawTable(t, pool))
		}
	})
	if batch.Live() != live {
		t.Errorf("%d batches leaked", batch.Live()-live)
	}
}

type fataler interface{ Fatalf(string, ...any) }

func checkTable(t fataler, e *Expr, p *Program, tab table) {
	defer tab.b.Release()
	out, err := p.Eval(tab.b)
	if err != nil {
		t.Fatalf("%s: %v", e, err)
	}
	if out.Kind() != p.Type().Kind {
		t.Fatalf("%s: type %s, column %s", e, p.Type(), out.Kind())
	}
	var keep []uint32
	for i, row := range tab.rows {
		want := row.eval(e)
		got := readRow(out, i)
		if got == nil && !p.Type().Nullable {
			t.Fatalf("%s: row %d is null, the type %s is not nullable; row %v", e, i, p.Type(), row)
		}
		if !same64(got, want) {
			t.Fatalf("%s: row %d is %v, want %v; row %v", e, i, got, want, row)
		}
		if want == true {
			keep = append(keep, uint32(i))
		}
	}
	if p.Type().Kind == batch.Bool {
		sel, err := p.Filter(tab.b, nil)
		if err != nil || !slices.Equal(sel, keep) {
			t.Fatalf("%s: Filter keeps %v, want %v (%v)", e, sel, keep, err)
		}
	}
}

// readRow returns a row as the reference has it.
func readRow(c *batch.Column, i int) any {
	switch {
	case c.IsNull(i):
		return nil
	case c.Kind() == batch.Timestamp:
		return instant(c.Int64s()[i])
	case c.Kind() == batch.Int32:
		return int64(c.Int32s()[i])
	case c.Kind() == batch.Float32:
		return float64(c.Float32s()[i])
	}
	return valueAt(c, i)
}

func same64(a, b any) bool {
	x, ok := a.(float64)
	y, both := b.(float64)
	if ok && both {
		return math.Float64bits(x) == math.Float64bits(y) || math.IsNaN(x) && math.IsNaN(y)
	}
	return a == b
}

// TestEveryTemplateAgrees runs each template over columns, so that none depends on luck.
func TestEveryTemplateAgrees(t *testing.T) {
	pool := batch.NewPool(testSchema, 200)
	fields := map[byte][]string{'i': {"i", "j", "k"}, 'f': {"f", "g", "h"}, 's': {"s", "u", "s"}, 'b': {"b", "c", "b"}, 't': {"t", "w", "t"}}
	for kind, list := range templates {
		for _, template := range list {
			t.Run(fmt.Sprintf("%c %s", kind, template), func(t *testing.T) {
				rapid.Check(t, func(t *rapid.T) {
					src := template
					for n := 0; ; n++ {
						at := strings.IndexByte(src, '[')
						for at >= 0 && (at+2 >= len(src) || src[at+2] != ']' || fields[src[at+1]] == nil) {
							next := strings.IndexByte(src[at+1:], '[')
							if next < 0 {
								at = -1
								break
							}
							at += 1 + next
						}
						if at < 0 {
							break
						}
						src = src[:at] + fields[src[at+1]][n%3] + src[at+3:]
					}
					e, err := Parse(src)
					if err != nil {
						t.Fatalf("%s: %v", src, err)
					}
					p, err := Compile(e, testSchema)
					if err != nil {
						t.Fatalf("%s: %v", src, err)
					}
					checkTable(t, e, p, drawTable(t, pool))
				})
			})
		}
	}
}
