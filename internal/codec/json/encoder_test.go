package json

import (
	"bytes"
	"encoding/json"
	"math"
	"math/big"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/codec/codectest"
)

// encodeWith is what encoding/json makes of v without HTML escaping.
func encodeWith(t testing.TB, v any) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte{'\n'}))
}

func TestFloatsAreWrittenLikeEncodingJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	values := []float64{0, math.Copysign(0, -1), 1, -1, 0.1, 0.000001, 0.0000009999, 1e-7, 1e9, 999999999.999999, 999999999.9999999, 1e15, 1e20, 1e21, 1.5e21, -1e21, math.MaxFloat64, math.SmallestNonzeroFloat64, 0.30000000000000004, 123456.7, 100, 0.5, 21.5, 1e-6}
	for range often(200_000) {
		values = append(values, float64(r.IntN(2_000_000)-1_000_000)/floatTens[r.IntN(9)], r.NormFloat64()*1000, math.Float64frombits(r.Uint64()), math.Nextafter(float64(r.IntN(1e9))/1e6, r.NormFloat64()*1e9))
	}
	for _, v := range values {
		if !(math.Abs(v) <= math.MaxFloat64) {
			continue
		}
		if got, want := string(appendFloat(nil, v, 64)), encodeWith(t, v); got != want {
			t.Fatalf("%x: got %s, want %s", math.Float64bits(v), got, want)
		}
		if f := float32(v); !math.IsInf(float64(f), 0) {
			if got, want := string(appendFloat(nil, float64(f), 32)), encodeWith(t, f); got != want {
				t.Fatalf("float32 %x: got %s, want %s", math.Float32bits(f), got, want)
			}
		}
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if got := string(appendFloat(nil, v, 64)); got != "null" {
			t.Errorf("%v: got %s, want null", v, got)
		}
	}
}

func TestStringsAreWrittenLikeEncodingJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"a", "plain text", `"`, `\`, "/", "<>&", "\b\f\n\r\t", "\x00\x1f\x7f", "é", "日本", "😀", "\u2028", "\u2029", "\xff", "\xc3", "\xed\xa0\x80", "\xf0\x9f\x98", "\ufffd"}
	for range often(50_000) {
		var s []byte
		for range r.IntN(8) {
			s = append(s, pieces[r.IntN(len(pieces))]...)
		}
		if got, want := string(appendString(nil, s)), encodeWith(t, string(s)); got != want {
			t.Fatalf("%q: got %s, want %s", s, got, want)
		}
	}
}

func TestTimestampsAreWrittenAsTheSettingSays(t *testing.T) {
	schema := &batch.Schema{Time: -1, Fields: []batch.Field{{Name: "t", Kind: batch.Timestamp}}}
	values := []int64{0, -1, 1, 999, 1000, -1000, -1001, 1769851800000000, 1769851800250000, 1769851800000001, minTime, maxTime}
	b := batch.NewPool(schema, len(values)).Get()
	defer b.Release()
	for i, v := range values {
		b.Col(0).Int64s()[i] = v
	}
	b.SetLen(len(values))
	for setting, want := range map[string]func(v int64) string{
		"rfc3339": func(v int64) string { return encodeWith(t, time.UnixMicro(v).UTC()) },
		"us":      func(v int64) string { return strconv.FormatInt(v, 10) },
		"ms":      func(v int64) string { return encodeWith(t, json.Number(inMillis(v))) },
	} {
		e, err := Format.NewEncoder(settings("timestamps", setting), schema)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // with and without the last one remembered
			for i, v := range values {
				out, err := e.Encode(nil, b, i, i+1)
				if err != nil {
					t.Fatal(err)
				}
				if w := `{"t":` + want(v) + "}\n"; string(out) != w {
					t.Errorf("%s of %d: got %s, want %s", setting, v, out, w)
				}
			}
		}
	}
}

// inMillis returns v thousandths in decimal.
func inMillis(v int64) string {
	s := big.NewRat(v, 1000).FloatString(3)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

func TestInvisibleColumnsAreNotWritten(t *testing.T) {
	schema := &batch.Schema{Time: 0, Fields: []batch.Field{{Kind: batch.Timestamp}, {Name: `a"b`, Kind: batch.Int64}, {Name: "é", Kind: batch.Bool, Nullable: true}}}
	b := batch.NewPool(schema, 2).Get()
	defer b.Release()
	codectest.SetRow(b, 0, []any{int64(5), int64(7), true})
	codectest.SetRow(b, 1, []any{int64(5), int64(-7), nil})
	b.SetLen(2)
	out, err := newEncoder("rfc3339", schema).Encode([]byte("x"), b, 0, 2)
	if want := "x{\"a\\\"b\":7,\"é\":true}\n{\"a\\\"b\":-7,\"é\":null}\n"; err != nil || string(out) != want {
		t.Errorf("got %s %v, want %s", out, err, want)
	}
	none, err := newEncoder("rfc3339", &batch.Schema{Time: 0, Fields: schema.Fields[:1]}).Encode(nil, b, 0, 2)
	if err != nil || string(none) != "{}\n{}\n" {
		t.Errorf("got %s %v, want empty objects", none, err)
	}
}

func averages(n int, value func(r *rand.Rand) float64) *batch.Batch {
	schema := &batch.Schema{Time: 0, Fields: []batch.Field{{Name: "window_end", Kind: batch.Timestamp}, {Name: "device_id", Kind: batch.String}, {Name: "avg_temp", Kind: batch.Float64}, {Name: "n", Kind: batch.Int64}}}
	r := rand.New(rand.NewPCG(1, 2))
	b := batch.NewPool(schema, n).Get()
	for i := range n {
		codectest.SetRow(b, i, []any{int64(1760000010000000), "dev-" + strconv.Itoa(1000000+r.IntN(500_000)), value(r), int64(r.IntN(40))})
	}
	b.SetLen(n)
	return b
}

func TestEncodingDoesNotAllocate(t *testing.T) {
	b := averages(1000, func(r *rand.Rand) float64 { return r.Float64() })
	defer b.Release()
	e := newEncoder("rfc3339", b.Schema())
	out, err := e.Encode(nil, b, 0, b.Len())
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(20, func() { out, _ = e.Encode(out[:0], b, 0, b.Len()) }); n != 0 {
		t.Errorf("%v allocations for 1000 rows", n)
	}
}

func TestEncodedRowsAreValidJSON(t *testing.T) {
	b := averages(100, func(r *rand.Rand) float64 { return math.Float64frombits(r.Uint64()) })
	defer b.Release()
	out, err := newEncoder("ms", b.Schema()).Encode(nil, b, 0, b.Len())
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(out) {
		if !json.Valid(line) {
			t.Errorf("%s", line)
		}
	}
	rows, bad := codectest.Decode(t, newDecoder("lines", []codec.Column{{Name: "device_id", Kind: batch.String}}, codec.Limits{}), []codec.Column{{Name: "device_id", Kind: batch.String}}, out, 64, 0)
	if len(rows) != 100 || len(bad) != 0 {
		t.Errorf("%d rows and %d bad records", len(rows), len(bad))
	}
}

func BenchmarkEncode(b *testing.B) {
	for name, value := range map[string]func(r *rand.Rand) float64{
		"two decimals": func(r *rand.Rand) float64 { return float64(1500+r.IntN(2000)) / 100 },
		"averages":     func(r *rand.Rand) float64 { return float64(1500+r.IntN(200000)) / 100 / float64(3+r.IntN(40)) },
	} {
		b.Run(name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			const n = 1000
			rows := averages(n, value)
			defer rows.Release()
			e := newEncoder("rfc3339", rows.Schema())
			var out []byte
			best := time.Duration(1 << 62)
			for b.Loop() {
				from := cpuTime()
				out, _ = e.Encode(out[:0], rows, 0, n)
				best = min(best, cpuTime()-from)
			}
			b.ReportMetric(float64(best.Nanoseconds())/n, "ns/row")
		})
	}
}
