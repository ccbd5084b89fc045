package expr

import (
	"reflect"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
)

func parse(t testing.TB, src string) *Expr {
	t.Helper()
	e, err := Parse(src)
	if err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	return e
}

func TestColumnsAreListedOnceInOrderOfAppearance(t *testing.T) {
	for src, want := range map[string][]string{
		"1 + 2":                             nil,
		"b + a * b - c":                     {"b", "a", "c"},
		"if(z, y, x in [w, 1, v])":          {"z", "y", "x", "w", "v"},
		"0 < a < b":                         {"a", "b"},
		`col("wind speed") > col("b") ?? c`: {"wind speed", "b", "c"},
	} {
		if got := parse(t, src).Columns(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", src, got, want)
		}
	}
}

func TestCallGivesNameAndArgumentsWithTheirSource(t *testing.T) {
	src := "anomaly_score( avg(x) /* of all */ , (mean), [1, 2][0] ?? std, 'é' + \")\" )"
	if _, err := Parse(src); err == nil {
		t.Fatal("a member was accepted")
	}
	src = "anomaly_score( avg(x , y) /* of all */ , (mean), a ?? std, 'é' + \")\" )"
	name, args, ok := parse(t, src).Call()
	if !ok || name != "anomaly_score" {
		t.Fatalf("call %q, %v", name, ok)
	}
	var texts []string
	for _, a := range args {
		texts = append(texts, a.Source())
	}
	if want := []string{"avg(x , y)", "(mean)", "a ?? std", "'é' + \")\""}; !reflect.DeepEqual(texts, want) {
		t.Errorf("arguments %q, want %q", texts, want)
	}
	if offset, width := args[1].Place(); string([]rune(src)[offset:offset+width]) != "mean" {
		t.Errorf("the second argument is at %d, %d characters", offset, width)
	}
	_, inner, ok := args[0].Call()
	if !ok || len(inner) != 2 || inner[1].Source() != "y" {
		t.Errorf("the inner call has the arguments %v", inner)
	}
	if name, args, ok := parse(t, "count()").Call(); !ok || name != "count" || len(args) != 0 {
		t.Errorf("count(): %q %v %v", name, args, ok)
	}
	for _, src := range []string{"a + b", "x", "a ? b : c", "a ?? b", "not a", "3", "(f(x)) + 1", "'a' contains 'b'"} {
		if name, _, ok := parse(t, src).Call(); ok {
			t.Errorf("%s is a call of %s", src, name)
		}
	}
}

func TestBareColumnsAndLiterals(t *testing.T) {
	for src, want := range map[string]string{"x": "x", "(x)": "x", "col('a b')": "a b", "+x": "x"} {
		if name, ok := parse(t, src).IsColumn(); !ok || name != want {
			t.Errorf("%s: column %q, %v", src, name, ok)
		}
	}
	for src, want := range map[string]any{
		"42": int64(42), "-42": int64(-42), "0x1F": int64(31), "1_000": int64(1000), "1.5": 1.5, "-0.5": -0.5, "1e3": 1000.0, ".5": 0.5,
		"'a'": "a", `"\u00e9\n"`: "é\n", "`raw\\n`": `raw\n`, "true": true, "false": false, "null": nil, "nil": nil,
	} {
		if v, ok := parse(t, src).Literal(); !ok || v != want {
			t.Errorf("%s: literal %v, %v", src, v, ok)
		}
	}
	e := parse(t, "x + 1")
	if _, ok := e.IsColumn(); ok {
		t.Error("x + 1 is a column")
	}
	if _, ok := e.Literal(); ok {
		t.Error("x + 1 is a literal")
	}
}

func TestOperatorsBindAsDocumented(t *testing.T) {
	for src, want := range map[string]string{
		"a or b and c":             "a or (b and c)",
		"not a > b":                "not (a > b)",
		"not a + 1 > b and c":      "(not ((a + 1) > b)) and c",
		"(not a) == b":             "(not a) == b",
		"not a == b":               "not (a == b)",
		"!a":                       "not a",
		"not x in [1, 2]":          "not (x in [1, 2])",
		"x not in [1]":             "not (x in [1])",
		"not f(not a, b) == c":     "not (f(not a, b) == c)",
		"s not contains 'a'":       `not (s contains "a")`,
		"1 < a < 3":                "(1 < a) and (a < 3)",
		"-a ** 2":                  "-pow(a, 2)",
		"2 ** 3 ^ 2":               "pow(2, pow(3, 2))",
		"(-2) ** 2":                "pow(-2, 2)",
		"a - b - c":                "(a - b) - c",
		"a - (b - c)":              "a - (b - c)",
		"a ? b : c ? d : e":        "if(a, b, if(c, d, e))",
		"(a ?? 0) > 5":             "coalesce(a, 0) > 5",
		"a + b ?? c":               "a + coalesce(b, c)",
		"a && b || !c":             "(a and b) or (not c)",
		"a - -1":                   "a - (-1)",
		"s startsWith 'x'":         `starts_with(s, "x")`,
		"col('in') + col('a.b')":   `col("in") + col("a.b")`,
		"x // a comment\n + 1":     "x + 1",
		"1.0 + 1e30 + 2.5":         "(1.0 + 1e+30) + 2.5",
		"a % b * c / d":            "((a % b) * c) / d",
		"if(a, 'x', null)":         `if(a, "x", null)`,
		"a == 1 and b != 'q\\x00'": `(a == 1) and (b != "q\x00")`,
	} {
		e := parse(t, src)
		if got := e.String(); got != want {
			t.Errorf("%s prints as %s, want %s", src, got, want)
		}
		if again := parse(t, e.String()); again.String() != e.String() {
			t.Errorf("%s prints as %s, which prints as %s", src, e, again)
		}
		if e.Source() != src {
			t.Errorf("the source of %s is %s", src, e.Source())
		}
	}
}

func TestSubstituteReplacesColumnsAndLeavesTheOriginal(t *testing.T) {
	e := parse(t, "abs(score) > 3 and not (site == score)")
	to := e.Substitute(map[string]*Expr{"score": parse(t, "a - b"), "other": parse(t, "1")})
	if got, want := to.Source(), "(abs(a - b) > 3) and (not (site == (a - b)))"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := e.Source(); got != "abs(score) > 3 and not (site == score)" {
		t.Errorf("the original became %s", got)
	}
	if same := e.Substitute(map[string]*Expr{"x": to}); same != e {
		t.Error("an expression without the columns was copied")
	}
	column := parse(t, "score")
	if got := column.Substitute(map[string]*Expr{"score": parse(t, "1 + 1")}).Source(); got != "1 + 1" {
		t.Errorf("a bare column became %s", got)
	}
}

// TestSubstituteOfSubstituteStaysSmall doubles an expression 60 times: written
// out it would fill the memory.
func TestSubstituteOfSubstituteStaysSmall(t *testing.T) {
	e, double := parse(t, "j"), parse(t, "x + x")
	for range 60 {
		e = double.Substitute(map[string]*Expr{"x": e})
	}
	if got := e.Columns(); !reflect.DeepEqual(got, []string{"j"}) {
		t.Errorf("columns %q", got)
	}
	if cost := Cost(e); cost > 100 {
		t.Errorf("cost %d", cost)
	}
	if n := len(e.Source()); n > 2*MaxSource {
		t.Errorf("a source of %d bytes", n)
	}
	p, err := Compile(e, testSchema)
	if err != nil {
		t.Fatal(err)
	}
	b := batch.NewPool(testSchema, 4).Get()
	defer b.Release()
	b.Col(1).Int64s()[0], b.Col(1).Int64s()[1] = 1, 8
	b.SetLen(2)
	out, err := p.Eval(b)
	if err != nil || out.Int64s()[0] != 1<<60 || !out.IsNull(1) {
		t.Errorf("%v, %v, %v", out.Int64s()[0], out.IsNull(1), err)
	}
}

func TestCostOrdersFilters(t *testing.T) {
	order := []string{"c", "j > 1", "j > 1 and g < 2", "u == 'a' and j > 1 and g < 2", "lower(u) == 'a'", "u matches 'a.*b'", "u matches 'a' and u matches 'b'", "my_function(u) and u matches 'a' and u matches 'b'"}
	for i := range order[1:] {
		if a, b := Cost(parse(t, order[i])), Cost(parse(t, order[i+1])); a >= b {
			t.Errorf("%s costs %d, %s costs %d", order[i], a, order[i+1], b)
		}
	}
}

func TestParseIsBounded(t *testing.T) {
	for name, src := range map[string]string{
		"brackets":   strings.Repeat("(", 30000) + "1" + strings.Repeat(")", 30000),
		"open":       strings.Repeat("(", 60000),
		"lists":      strings.Repeat("[", 60000),
		"signs":      strings.Repeat("-", 60000) + "1",
		"nots":       strings.Repeat("not ", 15000) + "true",
		"bangs":      strings.Repeat("!", 60000) + "true",
		"powers":     strings.Repeat("2**", 15000) + "2",
		"sum":        strings.Repeat("1+", 30000) + "1",
		"conditions": strings.Repeat("a?b:", 15000) + "c",
		"calls":      strings.Repeat("f(", 20000) + strings.Repeat(")", 20000),
		"long":       strings.Repeat(" ", MaxSource+1),
		"quotes":     "'" + strings.Repeat("x", MaxSource),
		"elements":   "a in [" + strings.Repeat("1,", 30000) + "1]",
	} {
		e, err := Parse(src)
		if err == nil {
			t.Errorf("%s: accepted as %.40s", name, e)
		} else if bad := err.(*Error); bad.Code != CodeTooLarge && bad.Code != CodeSyntax {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, src := range map[string]string{
		"a long chain":     strings.Repeat("c or ", 900) + "c",
		"a long list":      "j in [" + strings.Repeat("1,", 4000) + "1]",
		"many brackets":    strings.Repeat("(", 200) + "c" + strings.Repeat(")", 200),
		"a long condition": strings.Repeat("c?1:", 300) + "2",
	} {
		if _, err := Check(parse(t, src), testSchema); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, list := range templates {
		for _, s := range list {
			f.Add(strings.NewReplacer("[i]", "i", "[f]", "f", "[s]", "s", "[b]", "b", "[t]", "t").Replace(s))
		}
	}
	for _, s := range []string{"", "(", "a.b", "[1]", "count(", "{a: 1}", "let x = 1; x", "a | f", "1..2", "b'x'", "'\\ud800'", "#", "filter(a, # > 1)", "if a {b} else {c}", "\xff", "a?.b", "::f(1)"} {
		f.Add(s)
	}
	b := batch.NewPool(testSchema, 8).Get()
	b.SetLen(8)
	f.Fuzz(func(t *testing.T, src string) {
		e, err := Parse(src)
		if err != nil {
			checkPlace(t, src, err)
			return
		}
		if again, err := Parse(e.String()); err != nil {
			if bad := err.(*Error); bad.Code != CodeTooLarge { // a printed tree has more parentheses
				t.Fatalf("%q prints as %q: %v", src, e, err)
			}
		} else if again.String() != e.String() {
			t.Fatalf("%q prints as %q, which prints as %q", src, e, again)
		}
		p, err := Compile(e, testSchema)
		if err != nil {
			checkPlace(t, src, err)
			return
		}
		out, err := p.Eval(b)
		if err == nil && out.Kind() != p.Type().Kind {
			t.Fatalf("%q: %s for a %s", src, out.Kind(), p.Type())
		}
	})
}

func checkPlace(t *testing.T, src string, err error) {
	e, ok := err.(*Error)
	if !ok {
		t.Fatalf("%q: %T", src, err)
	}
	if n := len([]rune(src)); e.Offset < 0 || e.Offset > n || e.Width < 1 || e.Message == "" || e.Code == "" {
		t.Fatalf("%q: %+v", src, e)
	}
}
