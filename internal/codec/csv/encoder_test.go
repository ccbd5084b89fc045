package csv

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec/codectest"
)

func encode(t testing.TB, schema *batch.Schema, rows [][]any, pairs ...any) string {
	t.Helper()
	e, err := Format.NewEncoder(settings(pairs...), schema)
	if err != nil {
		t.Fatal(err)
	}
	b := batch.NewPool(schema, len(rows)).Get()
	defer b.Release()
	for i, r := range rows {
		codectest.SetRow(b, i, r)
	}
	b.SetLen(len(rows))
	out, err := e.Encode(append([]byte(nil), e.Header()...), b, 0, len(rows))
	if err != nil {
		t.Fatal(err)
	}
	return string(append(out, e.Footer()...))
}

func TestValuesAreWrittenPlainlyAndQuotedWhereNeeded(t *testing.T) {
	schema := &batch.Schema{Time: -1, Fields: []batch.Field{
		{Name: "a, b", Kind: batch.String, Nullable: true}, {Name: "", Kind: batch.Timestamp}, {Name: "t", Kind: batch.Timestamp, Nullable: true}, {Name: "f", Kind: batch.Float64, Nullable: true}}}
	rows := [][]any{
		{"plain", int64(1), int64(1769851800250000), 10.5},
		{nil, int64(1), nil, nil},
		{"", int64(1), int64(-1), math.NaN()},
		{"say \"hi\"\n", int64(1), int64(-1_500_000), math.Inf(-1)},
		{"NA", int64(1), int64(0), -0.000001},
	}
	for _, c := range []struct {
		pairs []any
		want  string
	}{
		{nil, "\"a, b\",t,f\nplain,2026-01-31T09:30:00.25Z,10.5\n,,\n\"\",1969-12-31T23:59:59.999999Z,NaN\n\"say \"\"hi\"\"\n\",1969-12-31T23:59:58.5Z,-Inf\nNA,1970-01-01T00:00:00Z,-0.000001\n"},
		{[]any{"header", false, "null", "NA", "timestamps", "ms", "delimiter", ";"},
			"plain;1769851800250;10.5\nNA;NA;NA\n;-0.001;NaN\n\"say \"\"hi\"\"\n\";-1500;-Inf\n\"NA\";0;-0.000001\n"},
		{[]any{"header", false, "timestamps", "us", "delimiter", ":"}, "plain:1769851800250000:10.5\n::\n\"\":-1:NaN\n\"say \"\"hi\"\"\n\":-1500000:-Inf\nNA:0:-0.000001\n"},
	} {
		if got := encode(t, schema, rows, c.pairs...); got != c.want {
			t.Errorf("%v\ngot  %q\nwant %q", c.pairs, got, c.want)
		}
	}
}

func TestFloatsAreTheShortestThatReadBack(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 100_000 {
		v := math.Float64frombits(r.Uint64())
		switch r.IntN(4) {
		case 0:
			v = float64(r.Int64N(1e13)-5e12) / 1e4
		case 1:
			v = math.Nextafter(float64(r.Int64N(2e9)-1e9)/1e6, math.Inf(1-2*r.IntN(2)))
		case 2:
			v = float64(r.Int64N(200)-100) / math.Pow10(r.IntN(12))
		}
		got := string(appendFloat(nil, v, 64))
		back, err := strconv.ParseFloat(got, 64)
		if err != nil || math.Float64bits(back) != math.Float64bits(v) && !math.IsNaN(v) {
			t.Fatalf("%v is written %s", v, got)
		}
		if a := math.Abs(v); a < 1e21 && a >= 1e-6 || a == 0 {
			if want := strconv.FormatFloat(v, 'f', -1, 64); got != want {
				t.Fatalf("%s, want %s", got, want)
			}
		}
		w := float32(v)
		got = string(appendFloat(nil, float64(w), 32))
		if back, err := strconv.ParseFloat(got, 32); err != nil || math.Float32bits(float32(back)) != math.Float32bits(w) && w == w {
			t.Fatalf("float32 %v is written %s", w, got)
		}
	}
}

func rowsOf(t testing.TB, n int) *batch.Batch {
	t.Helper()
	b := batch.NewPool(codectest.Schema(reading), n).Get()
	for i := range n {
		codectest.SetRow(b, i, []any{"sensor-" + strconv.Itoa(i), int64(1_700_000_000_000_000 + i/100*1000), float64(i) / 3, int64(i)})
	}
	b.SetLen(n)
	return b
}

func TestEncodingIsFreeOfAllocations(t *testing.T) {
	b := rowsOf(t, 1000)
	defer b.Release()
	e, err := Format.NewEncoder(settings(), b.Schema())
	if err != nil {
		t.Fatal(err)
	}
	var dst []byte
	if n := testing.AllocsPerRun(20, func() {
		if dst, err = e.Encode(dst[:0], b, 0, 1000); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for 1000 rows", n)
	}
}

func BenchmarkEncode(b *testing.B) {
	in := rowsOf(b, 1000)
	defer in.Release()
	e, err := Format.NewEncoder(settings(), in.Schema())
	if err != nil {
		b.Fatal(err)
	}
	var dst []byte
	for b.Loop() {
		if dst, err = e.Encode(dst[:0], in, 0, 1000); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/row")
}
