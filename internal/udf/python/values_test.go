package python

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
)

// batchOf makes a batch of the given kinds; set fills row i.
func batchOf(kinds []batch.Kind, rows int, set func(b *batch.Batch, i int)) *batch.Batch {
	s := &batch.Schema{Time: -1}
	for _, k := range kinds {
		s.Fields = append(s.Fields, batch.Field{Name: k.String(), Kind: k, Nullable: true})
	}
	b := batch.NewPool(s, max(rows, 1)).Get()
	for i := range rows {
		set(b, i)
	}
	b.SetLen(rows)
	return b
}

// text writes a value of a column as text; null is "-".
func text(c *batch.Column, i int) string {
	if c.IsNull(i) {
		return "-"
	}
	switch k := c.Kind(); k {
	case batch.Bool:
		return fmt.Sprint(c.Bool(i))
	case batch.Int32:
		return fmt.Sprint(c.Int32s()[i])
	case batch.Int64, batch.Timestamp:
		return fmt.Sprint(c.Int64s()[i])
	case batch.Float32:
		return fmt.Sprint(c.Float32s()[i])
	case batch.Float64:
		return fmt.Sprint(c.Float64s()[i])
	default:
		return string(c.Bytes(i))
	}
}

func TestEveryKindGoesThereAndBack(t *testing.T) {
	kinds := []batch.Kind{batch.Bool, batch.Int32, batch.Int64, batch.Float32, batch.Float64, batch.String, batch.Binary, batch.Timestamp}
	file := script(t, `
import numpy as np
import gorge

def same(*columns):
    expected = ["bool", "int32", "int64", "float32", "float64", "object", "object", "datetime64[us]"]
    assert [str(c.dtype) for c in columns] == expected, [str(c.dtype) for c in columns]
    for c in columns:
        assert not c.flags.writeable
        assert type(c) is np.ndarray
    assert all(type(v) is str for v in columns[5]) and all(type(v) is bytes for v in columns[6])
    return columns

@gorge.udf(nulls="mask")
def masked(*columns):
    for c in columns:
        assert gorge.mask(c).tolist() == [i % 5 == 3 for i in range(len(c))]
    return columns
`)
	texts := []string{"", "a", "exactly twelve", "größer", "日本", strings.Repeat("long ", 50), "x\x00y", "end"}
	for _, name := range []string{"same", "masked"} {
		p := mustOpen(t, Spec{Name: name, File: file, Workers: 2, Args: kinds, Returns: kinds}, Options{MaxRows: 64})
		args := batchOf(kinds, 1000, func(b *batch.Batch, i int) {
			b.Col(0).SetBool(i, i%3 == 0)
			b.Col(1).Int32s()[i] = int32(math.MinInt32 + i)
			b.Col(2).Int64s()[i] = math.MaxInt64 - int64(i)
			b.Col(3).Float32s()[i] = float32(i) / 3
			b.Col(4).Float64s()[i] = float64(i) / 7
			b.Col(5).SetText(i, texts[i%len(texts)])
			b.Col(6).SetBytes(i, append([]byte{0xff, 0xfe}, texts[i%len(texts)]...))
			b.Col(7).Int64s()[i] = 1_700_000_000_000_000 - 3*int64(i)
			if i%64%5 == 3 {
				for c := range kinds {
					b.Col(c).SetNull(i)
				}
			}
		})
		r := run(t, p, args)
		for _, f := range r.Failures {
			t.Fatalf("%s: row %d: %s\n%s", name, f.Row, f.Message, f.Traceback)
		}
		for c := range kinds {
			for i := range 1000 {
				if want, got := text(args.Col(c), i), text(r.Batch.Col(c), i); want != got {
					t.Fatalf("%s: column %d row %d: %q came back as %q", name, c, i, want, got)
				}
			}
		}
		r.Batch.Release()
		args.Release()
	}
}

func TestARowWithANullArgumentGivesNullWithoutReachingTheFunction(t *testing.T) {
	p := mustOpen(t, Spec{Name: "f", Args: []batch.Kind{f64, batch.Int64}, File: script(t, `
import numpy as np
def f(x, n):
    if (n == 0).any() or np.isnan(x).any():
        raise ValueError("a null came through")
    if (x == 7).any():
        raise KeyError("seven")
    return x / n
`)}, Options{MaxRows: 64})
	args := batchOf([]batch.Kind{f64, batch.Int64}, 200, func(b *batch.Batch, i int) {
		b.Col(0).Float64s()[i] = float64(i % 100)
		b.Col(1).Int64s()[i] = 2
		if i%3 == 0 {
			b.Col(0).SetNull(i)
			b.Col(0).Float64s()[i] = math.NaN()
		}
		if i%5 == 0 {
			b.Col(1).SetNull(i)
		}
	})
	defer args.Release()
	r := run(t, p, args)
	defer r.Batch.Release()
	if len(r.Failures) != 2 || r.Failures[0].Row != 7 || r.Failures[1].Row != 107 {
		t.Fatalf("failures %v", r.Failures)
	}
	for i := range 200 {
		want := "-"
		if i%3 != 0 && i%5 != 0 && i%100 != 7 {
			want = fmt.Sprint(float64(i%100) / 2)
		}
		if got := text(r.Batch.Col(0), i); got != want {
			t.Errorf("row %d: %s, expected %s", i, got, want)
		}
	}
}

func TestResultsAreCheckedAndConverted(t *testing.T) {
	tests := []struct {
		body    string
		returns batch.Kind
		want    string // of the three rows, or the code and text of the failure
	}{
		{"return x", f64, "1 2 3"},
		{"return x.astype('float32')", f64, "1 2 3"},
		{"return x.astype('int16')", f64, "1 2 3"},
		{"return list(x)", f64, "1 2 3"},
		{"return x[::-1]", f64, "3 2 1"},
		{"return np.broadcast_to(x[:1], 3)", f64, "1 1 1"},
		{"return np.ma.array(x, mask=x == 2)", f64, "1 - 3"},
		{"return np.where(x == 2, np.nan, x)", f64, "1 NaN 3"},
		{"return x > 1", batch.Bool, "false true true"},
		{"return x.astype('uint8')", batch.Int64, "1 2 3"},
		{"return x.astype('int64') + 2**31 - 3", batch.Int32, "2147483646 2147483647 wrong_dtype: function 'f' returned a value that does not fit int32"},
		{"return x", batch.Float32, "1 2 3"},
		{"return x.astype('int64').astype('M8[s]')", batch.Timestamp, "1000000 2000000 3000000"},
		{"return np.array(['2024-01-01', 'NaT', '1969-12-31'], 'M8[D]')[x.astype(int) - 1]", batch.Timestamp, "1704067200000000 - -86400000000"},
		{"return [str(v) for v in x]", batch.String, "1.0 2.0 3.0"},
		{"return np.array([str(v) for v in x])", batch.String, "1.0 2.0 3.0"},
		{"return [None if v == 1 else 'ü' for v in x]", batch.String, "- ü ü"},
		{"return [b'\\xff' for v in x]", batch.Binary, "\xff \xff \xff"},
		{"return [1 if v == 2 else 'a' for v in x]", batch.String, "a wrong_dtype: function 'f' returned an int where string was expected a"},
		{"return ['\\ud800' if v == 2 else 'a' for v in x]", batch.String, "a exception: UnicodeEncodeError: 'utf-8' codec can't encode character '\\ud800' in position 0: surrogates not allowed a"},
		{"return x[:2]", f64, "wrong_length: function 'f' returned shape (2,) for 3 rows"},
		{"return x.reshape(3, 1)", f64, "wrong_length: function 'f' returned shape (3, 1) for 3 rows"},
		{"return 1.0", f64, "wrong_length: function 'f' returned a float; expected an array of float64 with 3 rows"},
		{"return x.sum()", f64, "wrong_length: function 'f' returned a single value for 3 rows"},
		{"return np.array(1.0)", f64, "wrong_length: function 'f' returned a single value for 3 rows"},
		{"return None", f64, "wrong_dtype: function 'f' returned None; expected an array of float64 with 3 rows"},
		{"return x * 1j", f64, "wrong_dtype: function 'f' returned an array of complex128; expected float64"},
		{"return x.astype(object)", f64, "wrong_dtype: function 'f' returned an array of object; expected float64"},
		{"return x > 1", f64, "wrong_dtype: function 'f' returned an array of bool; expected float64"},
		{"return x", batch.Int64, "wrong_dtype: function 'f' returned an array of float64; expected int64"},
		{"return x", batch.String, "wrong_dtype: function 'f' returned an array of float64; expected string values"},
		{"return x, x", f64, "wrong_dtype: function 'f' returned a tuple; expected an array of float64"},
		{"return [[1], [1, 2], 3]", f64, "wrong_dtype: function 'f' returned an uneven list"},
		{"return 'text'", f64, "wrong_length: function 'f' returned a str; expected"},
		{"x -= 1; return x", f64, "exception: ValueError: output array is read-only (arguments are views of shared memory"},
	}
	// One worker for each kind of result serves all its cases; the first argument chooses.
	pools := map[batch.Kind]*Pool{}
	for _, test := range tests {
		if pools[test.returns] != nil {
			continue
		}
		var text strings.Builder
		text.WriteString("import numpy as np\n")
		for i, other := range tests {
			fmt.Fprintf(&text, "def case%d(x): %s\n", i, other.body)
		}
		text.WriteString("def f(which, x): return globals()['case%d' % which[0]](x)\n")
		pools[test.returns] = mustOpen(t, Spec{Name: "f", Args: []batch.Kind{batch.Int64, f64}, Returns: []batch.Kind{test.returns}, File: script(t, text.String())}, Options{})
	}
	for k, test := range tests {
		t.Run(test.body+" as "+test.returns.String(), func(t *testing.T) {
			args := batchOf([]batch.Kind{batch.Int64, f64}, 3, func(b *batch.Batch, i int) {
				b.Col(0).Int64s()[i] = int64(k)
				b.Col(1).Float64s()[i] = float64(i + 1)
			})
			defer args.Release()
			r := run(t, pools[test.returns], args)
			defer r.Batch.Release()
			var got []string
			for i := range 3 {
				got = append(got, text(r.Batch.Col(0), i))
			}
			for _, f := range r.Failures {
				got[f.Row] = f.Code + ": " + f.Message
			}
			switch whole := strings.Join(got, " "); {
			case len(r.Failures) == 3:
				if !strings.HasPrefix(got[0], test.want) || got[1] != got[0] || got[2] != got[0] {
					t.Errorf("got %q", got)
				}
			case whole != test.want:
				t.Errorf("got %q", whole)
			}
		})
	}
}

func TestSeveralResultsComeBackTogether(t *testing.T) {
	p := mustOpen(t, Spec{Name: "f", Args: []batch.Kind{f64}, Returns: []batch.Kind{f64, batch.Bool, batch.String}, File: script(t, `
def f(x):
    if len(x) == 2:
        return x, x > 0
    return x + 1, x > 1, [f"<{v:.0f}>" for v in x]
`)}, Options{})
	args := floats(1, 3, func(_, i int) float64 { return float64(i) })
	defer args.Release()
	r := run(t, p, args)
	if got := text(r.Batch.Col(0), 2) + text(r.Batch.Col(1), 2) + text(r.Batch.Col(2), 2); got != "3true<2>" {
		t.Errorf("got %q", got)
	}
	r.Batch.Release()
	args.SetLen(2)
	r = run(t, p, args)
	defer r.Batch.Release()
	if len(r.Failures) != 2 || !strings.Contains(r.Failures[0].Message, "returned 2 values; expected 3 arrays") {
		t.Errorf("failures %v", r.Failures)
	}
}

func TestTextsThatDoNotFitASlotAreSplitOrRefused(t *testing.T) {
	kinds := []batch.Kind{batch.String}
	p := mustOpen(t, Spec{Name: "f", Args: kinds, Returns: kinds, File: script(t, `
def f(x): return [v * 3 if v.startswith("grow") else v[:10] for v in x]
`)}, Options{})
	big, huge := strings.Repeat("x", 3<<20), strings.Repeat("y", 5<<20)
	values := []string{"a", big, big, "b", huge, "c", "grow" + big[:2<<20], "grow" + big[:1<<20], "grow" + big[:1<<20], "d"}
	args := batchOf(kinds, len(values), func(b *batch.Batch, i int) { b.Col(0).SetText(i, values[i]) })
	defer args.Release()
	r := run(t, p, args)
	defer r.Batch.Release()
	var failed []int
	for _, f := range r.Failures {
		if f.Code != "too_large" {
			t.Errorf("row %d: %s %s", f.Row, f.Code, f.Message)
		}
		failed = append(failed, f.Row)
	}
	if fmt.Sprint(failed) != "[4 6]" {
		t.Errorf("failed rows %v", failed)
	}
	for i, v := range values {
		want := len(v)
		switch {
		case i == 4 || i == 6:
			continue
		case strings.HasPrefix(v, "grow"):
			want *= 3
		default:
			want = min(want, 10)
		}
		if got := len(r.Batch.Col(0).Bytes(i)); got != want {
			t.Errorf("row %d has %d bytes, expected %d", i, got, want)
		}
	}
}
