package expr

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
)

// fullBatch fills every column of testSchema; every third row of a nullable
// column is null when nulls is set.
func fullBatch(capacity int, nulls bool) *batch.Batch {
	b := batch.NewPool(testSchema, capacity).Get()
	for at, f := range testSchema.Fields {
		c := b.Col(at)
		for i := range capacity {
			next := func(n int) int { return (i*7 + at) % n }
			setRandom(c, i, next)
			switch f.Kind {
			case batch.Int64:
				c.Int64s()[i] = int64(i % 1000)
			case batch.Timestamp:
				c.Int64s()[i] = 1_769_862_896_789_000 + int64(i*1000)
			}
			if nulls && f.Nullable && i%3 == 0 {
				c.SetNull(i)
			}
		}
	}
	b.SetLen(capacity)
	return b
}

func compile(t testing.TB, src string) *Program {
	t.Helper()
	p, err := Compile(parse(t, src), testSchema)
	if err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	return p
}

func TestEvalAllocatesNothing(t *testing.T) {
	replacer := strings.NewReplacer("[i]", "i", "[f]", "f", "[s]", "s", "[b]", "b", "[t]", "t")
	for _, nulls := range []bool{false, true} {
		b := fullBatch(1000, nulls)
		for _, list := range templates {
			for _, template := range list {
				if underRace && strings.Contains(template, "matches") {
					continue
				}
				p := compile(t, replacer.Replace(template))
				eval := func() {
					if _, err := p.Eval(b); err != nil {
						t.Fatal(err)
					}
				}
				eval()
				if n := testing.AllocsPerRun(5, eval); n > 0 {
					t.Errorf("%s: %v allocations per batch of 1000 rows", template, n)
				}
			}
		}
		p := compile(t, "i > 3 and s != 'a'")
		sel, _ := p.Filter(b, nil)
		if n := testing.AllocsPerRun(5, func() { sel, _ = p.Filter(b, sel) }); n > 0 {
			t.Errorf("Filter: %v allocations", n)
		}
		b.Release()
	}
}

func TestProgramGrowsWithTheBatch(t *testing.T) {
	for _, src := range []string{"i + 1", "upper(s)", "b and i > 3", "null == i", "if(b, 'x', s)", "k + 1", "coalesce(s, 'none')"} {
		p := compile(t, src)
		for _, n := range []int{1, 64, 65, 10, 1000, 0} {
			b := fullBatch(max(n, 1), true)
			b.SetLen(n)
			out, err := p.Eval(b)
			if err != nil {
				t.Fatal(err)
			}
			fresh, err := compile(t, src).Eval(b)
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				if a, b := readRow(out, i), readRow(fresh, i); a != b {
					t.Fatalf("%s: row %d of %d is %v with used columns, %v with new ones", src, i, n, a, b)
				}
			}
			b.Release()
		}
	}
}

func TestBareColumnIsTheInputsOwn(t *testing.T) {
	b := fullBatch(10, true)
	defer b.Release()
	for i, f := range testSchema.Fields {
		p := compile(t, f.Name)
		out, err := p.Eval(b)
		if err != nil || out != b.Col(i) || p.Type() != (Type{f.Kind, f.Nullable}) {
			t.Errorf("%s: %s, %v", f.Name, p.Type(), err)
		}
	}
	// A null of the input keeps the value that it has.
	b.Col(0).Int64s()[0] = 77
	if _, err := compile(t, "int(i)").Eval(b); err != nil || b.Col(0).Int64s()[0] != 77 {
		t.Errorf("the input was written to: %d, %v", b.Col(0).Int64s()[0], err)
	}
}

func TestValuesUnderNullsAreZero(t *testing.T) {
	b := fullBatch(100, true)
	defer b.Release()
	for _, src := range []string{"i + 1", "f * 2", "s + 'x and more than twelve bytes'", "t + 1", "b == c", "1 / g", "if(b, i, null)"} {
		out, err := compile(t, src).Eval(b)
		if err != nil {
			t.Fatal(err)
		}
		zero := batch.NewColumn(out.Kind(), 1)
		zero.SetZero(0)
		nulls := 0
		for i := range b.Len() {
			if !out.IsNull(i) {
				continue
			}
			nulls++
			var same bool
			switch out.Kind() {
			case batch.Bool:
				same = !out.Bool(i)
			case batch.String:
				same = out.Views()[i] == batch.View{}
			default:
				same = values[int64](out, i+1)[i] == 0
			}
			if !same {
				t.Errorf("%s: row %d is null with a value", src, i)
			}
		}
		if nulls == 0 {
			t.Errorf("%s has no nulls", src)
		}
	}
}

func TestNullable(t *testing.T) {
	for src, want := range map[string]string{
		"j + 1": "int64?", "g + 1": "float64", "f + 1": "float64?", "j / 2": "float64", "j / 0": "float64?", "g / g": "float64?", "j % 10": "int64", "div(j, 2)": "int64",
		"div(j, -1)": "int64?", "abs(g)": "float64", "abs(j)": "int64?", "j > 1": "bool", "i > 1": "bool?", "is_null(i)": "bool", "i ?? 0": "int64", "i ?? k": "int64?",
		"if(b, j, 1)": "int64", "if(c, j, null)": "int64?", "b and c": "bool?", "c and j > 1": "bool", "int(g)": "int64?", "int(u)": "int64?", "int('3')": "int64",
		"float(j)": "float64", "string(g)": "string", "substring(u, 2)": "string", "substring(u, j)": "string?", "u + 'x'": "string", "replace(u, 'a', 'b')": "string?",
		"c in [true, null]": "bool?", "j in [1, 2]": "bool", "i in []": "bool", "w - w": "int64?", "truncate(w, '10s')": "timestamp?", "hour(w)": "int64",
		"g ** 2": "float64", "g ** 3": "float64?", "k": "int32?", "k + 0": "int64?", "h": "float32?", "1 + 2": "int64", "9223372036854775807 + 1": "int64?", "int(null)": "int64?",
		"round(g, 2)": "float64", "round(j)": "int64", "duration('1d')": "int64", "timestamp(j)": "timestamp", "timestamp(u)": "timestamp?", "least(j, g)": "float64",
	} {
		typ, err := Check(parse(t, src), testSchema)
		if err != nil || typ.String() != want {
			t.Errorf("%s is %s, want %s (%v)", src, typ, want, err)
		}
	}
}

// TestConstants fixes results at the edges of what can be computed.
func TestConstants(t *testing.T) {
	for src, want := range map[string]any{
		"1 / 0": nil, "0 / 0": nil, "-1.5 / 0.0": nil, "1 % 0": nil, "1.5 % 0": nil, "div(1, 0)": nil, "5 / 2": 2.5, "div(-7, 2)": int64(-3), "-7 % 3": int64(-1),
		"9223372036854775807 + 1": nil, "-9223372036854775807 - 2": nil, "4611686018427387904 * 2": nil, "-(-9223372036854775807 - 1)": nil, "abs(-9223372036854775807 - 1)": nil,
		"div(-9223372036854775807 - 1, -1)": nil, "(-9223372036854775807 - 1) % -1": int64(0), "3037000500 * 3037000500": nil, "3037000499 * 3037000499": int64(9223372030926249001),
		"-4611686018427387904 * 2": int64(math.MinInt64), "sqrt(-1)": nil, "log(0)": nil, "log10(-1)": nil, "pow(0, -1)": nil, "pow(-8, 0.5)": nil, "1e308 * 10": math.Inf(1), "exp(1000)": math.Inf(1),
		"int('12x')": nil, "int('')": nil, "int('9223372036854775808')": nil, "int('-9223372036854775808')": int64(math.MinInt64), "int('+5')": int64(5), "int(1e19)": nil, "int(-1.9)": int64(-1),
		"int(9.223372036854775e18)": int64(9223372036854774784), "int(9223372036854775808.0)": nil, "int(float('nan'))": nil, "bool(float('nan'))": nil, "is_nan(float('NaN'))": true, "float('0x10')": nil, "float('1_0')": nil,
		"float('1e999')": nil, "float('-inf')": math.Inf(-1), "bool('yes')": nil, "bool('true')": true, "float('nan') == float('nan')": false, "float('nan') != 1": true, "float('nan') < 1": false,
		"float('nan') in [float('nan')]": false, "between(1, float('nan'), 2)": false, "least(1, float('nan')) > 0": false, "null == null": nil, "null != 1": nil, "1 in [2, null]": nil, "1 in [1, null]": true, "int(null) in []": false,
		"null and false": false, "null or true": true, "not bool(null)": nil, "between(5, null, 3)": false, "between(2, null, 3)": nil, "if(null, 1, 2)": int64(2), "coalesce(null, null, 'x')": "x", "is_null(null)": true,
		"from_epoch_ms(9223372036854775)": int64(9223372036854775000), "from_epoch_ms(9223372036854776)": nil, "truncate(timestamp(-9223372036854775807 - 1), 'year')": nil, "truncate(timestamp(-1), '1s')": int64(-1_000_000),
		"timestamp(9223372036854775807) + 1": nil, "timestamp('2026-02-29')": nil, "timestamp('2024-02-29')": int64(1709164800000000), "timestamp('2026-01-31T25:00:00Z')": nil, "timestamp('2026-01-31T12:00:00+01:00')": int64(1769857200000000),
		"timestamp('2026-01-31T12:00')": int64(1769860800000000), "timestamp('2026-1-31')": nil, "timestamp('2026-01-31T12:00:00.1234567Z')": int64(1769860800123456), "timestamp('2026-01-31 ')": nil,
		"timestamp('2026-01-31') - timestamp('2026-01-30') == duration('1d')": true, "duration('1w2d3h')": int64((9*24 + 3) * 3600 * 1_000_000), "duration('1.5s')": int64(1_500_000), "duration('-5m')": int64(-300_000_000),
		"string(1e21)": "1e+21", "string(100000.0)": "100000", "string(0.1)": "0.1", "string(timestamp(0))": "1970-01-01T00:00:00Z", "string(timestamp(-1))": "1969-12-31T23:59:59.999999Z",
		"string(timestamp(9223372036854775807))": "+294247-01-10T04:00:54.775807Z", "timestamp(string(timestamp(-9223372036854775807 - 1))) == timestamp(-9223372036854775807 - 1)": true,
		"substring('gorge', 0)": nil, "substring('gorge', -2)": "ge", "substring('gorge', 4, 9)": "ge", "substring('gorge', 9)": "", "substring('gorge', 1, -1)": nil, "substring('日本語', 2, 1)": "本", "substring('gorge', -9, 6)": "go",
		"split_part('a/b', '/', 3)": nil, "split_part('a/b', '/', -1)": "b", "split_part('a/b', '', 1)": nil, "split_part('', '/', 1)": "", "replace('aaa', 'a', 'bb')": "bbbbbb", "replace('abc', '', 'x')": "abc",
		"upper('straße')": "STRAßE", "lower('ÀÉ')": "àé", "length('')": int64(0), "trim('\\u00a0x\\t')": "x", "round(2.5)": 3.0, "round(-2.5)": -3.0, "round(2.345, 2)": 2.35, "round(1250, -2)": 1300.0, "round(1e300, 2)": 1e300,
		"weekday(timestamp('1969-12-28'))": int64(7), "hour(timestamp(-1))": int64(23), "year(timestamp('-000001-06-01'))": int64(-1), "2 ** 10": 1024.0, "1 == 1.0": true, "9007199254740993 == 9007199254740992.0": true, "'a' < 'B'": false,
		"'a' + 'b' + 'c'": "abc", "1 < 2 < 3": true, "3 > 2 > 2": false, "true == false": false, "string(true)": "true", "int(true)": int64(1), "float(false)": 0.0, "sign(-0.0)": math.Copysign(0, -1),
	} {
		e := parse(t, src)
		p, err := Compile(e, testSchema)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		if !p.root.konst || !same64(p.root.value, want) {
			t.Errorf("%s is %v, want %v", src, p.root.value, want)
		}
	}
}

// TestNothingIsReadUnderNulls lets the views of null rows point nowhere, as a
// decoder may leave them.
func TestNothingIsReadUnderNulls(t *testing.T) {
	b := fullBatch(100, false)
	defer b.Release()
	dangling := batch.LongView([]byte("a rather long text with a, b and c"), 1<<30)
	for at, f := range testSchema.Fields {
		if f.Kind == batch.String && f.Nullable {
			for i := 0; i < 100; i += 2 {
				b.Col(at).SetNull(i)
				b.Col(at).Views()[i] = dangling
			}
		}
	}
	replacer := strings.NewReplacer("[i]", "i", "[f]", "f", "[s]", "s", "[b]", "b", "[t]", "t")
	for _, list := range templates {
		for _, template := range list {
			src := replacer.Replace(template)
			for _, src := range []string{src, strings.ReplaceAll(src, "s,", "u,"), "is_null(" + src + ")"} {
				if _, err := compile(t, src).Eval(b); err != nil {
					t.Errorf("%s: %v", src, err)
				}
			}
		}
	}
}

func TestCalendarAgreesWithPackageTime(t *testing.T) {
	start := time.Date(1599, 12, 30, 0, 0, 0, 0, time.UTC)
	for day := range int64(2 * daysPerEra) {
		at := start.AddDate(0, 0, int(day))
		number := at.Unix() / 86400
		d := dateOf(number)
		if y, m, n := at.Date(); d != (date{int64(y), int64(m), int64(n)}) || d.number() != number {
			t.Fatalf("day %d is %v with the number %d, want %v", number, d, d.number(), at)
		}
	}
}

func TestBinary(t *testing.T) {
	s := &batch.Schema{Time: -1, Fields: []batch.Field{{Name: "payload", Kind: batch.Binary, Nullable: true}}}
	b := batch.NewPool(s, 4).Get()
	defer b.Release()
	b.SetLen(3)
	b.Col(0).SetBytes(0, []byte("a valid text of some length"))
	b.Col(0).SetBytes(1, []byte{0xff, 0})
	b.Col(0).SetNull(2)
	for src, want := range map[string][]any{
		"string(payload)":             {"a valid text of some length", nil, nil},
		"length(payload)":             {int64(27), int64(2), nil},
		"payload == payload":          {true, true, nil},
		"string(payload) ?? 'broken'": {"a valid text of some length", "broken", "broken"},
	} {
		p, err := Compile(parse(t, src), s)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		out, err := p.Eval(b)
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range want {
			if got := readRow(out, i); got != w {
				t.Errorf("%s: row %d is %v, want %v", src, i, got, w)
			}
		}
	}
}

func TestTextsAreBounded(t *testing.T) {
	s := &batch.Schema{Time: -1, Fields: []batch.Field{{Name: "x", Kind: batch.String}}}
	b := batch.NewPool(s, 600).Get()
	defer b.Release()
	b.SetLen(600)
	for i := range 600 {
		b.Col(0).SetText(i, strings.Repeat("a", 1<<11))
	}
	p, err := Compile(parse(t, "replace(x, 'a', x)"), s) // 4 MiB a row
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Eval(b)
	if err != nil || out.CountNulls(600) != 600 {
		t.Errorf("%d of 600 rows are null (%v)", out.CountNulls(600), err)
	}
	if p, err = Compile(parse(t, "if(true, x + x, '') + x"), s); err != nil {
		t.Fatal(err)
	}
	p.texts = 1 << 20
	if _, err = p.Eval(b); err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("600 texts of 6 KiB: %v", err)
	}
	b.SetLen(100)
	if out, err = p.Eval(b); err != nil || len(out.Bytes(99)) != 3<<11 {
		t.Errorf("100 texts of 6 KiB: %v", err)
	}
}

func TestEqualPartsAreComputedOnce(t *testing.T) {
	p := compile(t, "sqrt(g) > 1 and sqrt(g) < 3 or between(sqrt(g), 5, 6)")
	count := 0
	seen := map[*shared]bool{}
	var visit func(k kernel)
	visit = func(k kernel) {
		switch k := k.(type) {
		case *orKernel:
			visit(k.a)
			visit(k.b)
		case *andKernel:
			visit(k.a)
			visit(k.b)
		case *test1[float64]:
			count++
			for s, ok := k.a.(*shared); ok; s, ok = s.kernel.(*shared) {
				if _, nested := s.kernel.(*shared); !nested {
					seen[s] = true
				}
			}
		}
	}
	visit(p.root.kernel)
	if count != 4 || len(seen) != 1 {
		t.Errorf("%d comparisons of %d square roots", count, len(seen))
	}
}

func TestFilterNeedsABoolean(t *testing.T) {
	b := fullBatch(3, false)
	defer b.Release()
	if _, err := compile(t, "i + 1").Filter(b, nil); err == nil {
		t.Error("a filter on an int64 was accepted")
	}
	sel, err := compile(t, "true").Filter(b, make([]uint32, 7))
	if err != nil || !slices.Equal(sel, []uint32{0, 1, 2}) {
		t.Errorf("%v, %v", sel, err)
	}
}

func BenchmarkEval(b *testing.B) {
	const n = 4096
	for _, nulls := range []bool{false, true} {
		in := fullBatch(n, nulls)
		for _, src := range []string{
			"abs(f) > 3", "f * 1.8 + 32", "g + g", "i + j", "i * j", "b and c or not b", "u == 'sensor-7'", "u == 'a rather long text with a, b and c'", "u != s", "j in [1, 2, 3]",
			"i / j", "if(c, f, g)", "hour(w)", "truncate(w, '10s')", "upper(u)", "u contains 'nso'", "u matches '^s.*7$'", "f ?? 0.0", "abs(f) > 3 and i < 500 and c",
		} {
			b.Run(fmt.Sprintf("%s/nulls=%v", src, nulls), func(b *testing.B) {
				p := compile(b, src)
				for b.Loop() {
					if _, err := p.Eval(in); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
			})
		}
		in.Release()
	}
}
