package csv

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/codec/codectest"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

var reading = []codec.Column{
	{Name: "sensor", Kind: batch.String}, {Name: "ts", Kind: batch.Timestamp, Wire: spec.WireMillis},
	{Name: "value", Kind: batch.Float64, Nullable: true}, {Name: "count", Kind: batch.Int64, Nullable: true},
}

func headed(t testing.TB, columns []codec.Column, header string) (codec.PreambleDecoder, error) {
	t.Helper()
	d, err := Format.NewDecoder(settings(), columns, columns, codec.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	p := d.(codec.PreambleDecoder)
	return p, p.Begin([]byte(header))
}

func TestColumnsAreFoundByNameInAnyOrder(t *testing.T) {
	d, err := headed(t, reading, "\ufeffextra,value,\"sensor\",more,ts\r\n")
	if err != nil {
		t.Fatal(err)
	}
	rows, bad := codectest.Decode(t, d, reading, []byte("x,1.5,a,\"y,\n\",1700000000123.4567\nx,,\"b\",,-1\n,2,c,,0"), 10, 0)
	want := [][]any{{"a", int64(1700000000123456), 1.5, nil}, {"b", int64(-1000), nil, nil}, {"c", int64(0), 2.0, nil}}
	if diff := codectest.EqualRows(rows, want); diff != "" || bad != nil {
		t.Errorf("%s, bad %v", diff, bad)
	}
	// the next split has another header
	if err := d.Begin([]byte("count,ts,sensor,value")); err != nil {
		t.Fatal(err)
	}
	rows, bad = codectest.Decode(t, d, reading, []byte("7,1,d,2\n"), 10, 0)
	if diff := codectest.EqualRows(rows, [][]any{{"d", int64(1000), 2.0, int64(7)}}); diff != "" || bad != nil {
		t.Errorf("%s, bad %v", diff, bad)
	}
}

func TestHeadersThatDoNotFit(t *testing.T) {
	for _, c := range []struct{ header, code, says string }{
		{"sensor,value,count\n", "csv/no-column", `no column "ts"; it has ["sensor" "value" "count"]`},
		{"sensor;ts;value\n", "csv/no-column", `is the delimiter right? It is ','`},
		{"sensor,ts,ts\n", "csv/column-twice", `"ts" twice`},
		{"\n\n", "csv/bad-header", "there is no header"},
		{"", "csv/bad-header", "there is no header"},
		{"sensor,ts\xff\n", "csv/bad-header", "not valid UTF-8"},
		{"sen\"sor,ts\n", "csv/bad-header", "a quote within a field"},
		{"\"sensor,ts\n", "csv/bad-header", "a quote that is not closed"},
	} {
		d, err := headed(t, reading, c.header)
		var e *diag.Error
		if !errors.As(err, &e) || string(e.Code) != c.code || !strings.Contains(diag.Format(err), c.says) {
			t.Errorf("header %q: %s", c.header, diag.Format(err))
		}
		err = d.Decode(codectest.Block([]byte("a,1,2,3\n"), 0), codectest.NewCollect(codectest.Schema(reading), 4))
		if !errors.As(err, &e) || e.Code != "csv/no-header" {
			t.Errorf("header %q: Decode returns %v", c.header, err)
		}
	}
}

func TestSettingsThatCannotWork(t *testing.T) {
	for _, set := range []*spec.Values{settings("delimiter", ""), settings("delimiter", ";;"), settings("delimiter", `"`), settings("delimiter", "\n"),
		settings("delimiter", "1"), settings("delimiter", "e"), settings("delimiter", "."), settings("delimiter", "é"), settings("null", "a,b"), settings("null", `"`)} {
		var e *diag.Error
		if _, err := Format.NewDecoder(set, nil, nil, codec.Limits{}); !errors.As(err, &e) {
			t.Errorf("delimiter %q, null %q: decoder made, %v", set.String("delimiter"), set.String("null"), err)
		}
		if _, err := Format.NewEncoder(set, &batch.Schema{Time: -1}); !errors.As(err, &e) {
			t.Errorf("delimiter %q, null %q: encoder made, %v", set.String("delimiter"), set.String("null"), err)
		}
		Format.Frame(set, codec.Limits{}).Cut([]byte("a\n")) // must not panic
	}
}

func TestAStrayQuoteCostsALine(t *testing.T) {
	var block strings.Builder
	want := 0
	for i := range 2000 {
		if i%7 == 3 {
			fmt.Fprintf(&block, "5\" pipe,%d\n\"open,%d\n", i, i)
			continue
		}
		fmt.Fprintf(&block, "x,%d\n", i)
		want++
	}
	rows, bad := codectest.Decode(t, textDecoder(t, 0), texts, []byte(block.String()), 100, 0)
	if len(rows) != want || len(bad) != 2*(2000-want) {
		t.Errorf("%d rows and %d bad records, want %d and %d", len(rows), len(bad), want, 2*(2000-want))
	}
}

func TestNumbersAreThoseOfStrconv(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 40_000 {
		s := []byte(strconv.FormatFloat(math.Float64frombits(r.Uint64()), "efg"[r.IntN(3)], r.IntN(20)-1, 64))
		if r.IntN(3) == 0 {
			s = strconv.AppendFloat(nil, float64(r.Int64N(1e12))/1e4, 'f', -1, 64)
		}
		if r.IntN(4) == 0 {
			s[r.IntN(len(s))] = "0123456789.eE+-x"[r.IntN(16)]
		}
		for _, size := range []int{32, 64} {
			want, err := strconv.ParseFloat(string(s), size)
			n, ok := parseNumber(s)
			var got float64
			if ok {
				got, ok = n.float(s, size)
			} else {
				got, ok = notFinite(s)
			}
			if ok != (err == nil) || ok && math.Float64bits(got) != math.Float64bits(want) && !math.IsNaN(want) {
				t.Fatalf("%q: %v %v, strconv %v %v", s, got, ok, want, err)
			}
		}
		if n, ok := parseNumber(s); ok {
			checkScaled(t, string(s), n)
		}
		whole := strconv.AppendInt(nil, r.Int64()>>r.IntN(63), 10)
		want, err := strconv.ParseInt(string(whole), 10, 64)
		n, ok := parseNumber(whole)
		got, w := n.scaled(0)
		if err != nil || !ok || w != isWhole || got != want {
			t.Fatalf("%q: %d %v", whole, got, w)
		}
		if got, ok := shortInt(whole); ok && got != want {
			t.Fatalf("%q: %d", whole, got)
		}
	}
}

// checkScaled compares with exact arithmetic.
func checkScaled(t *testing.T, s string, n number) {
	t.Helper()
	if n.exp > 1000 || n.exp < -1000 {
		return
	}
	exact, ok := new(big.Rat).SetString(s)
	if !ok {
		t.Fatalf("%q is no number for math/big", s)
	}
	for _, scale := range []int{0, 6, -3} {
		want := new(big.Rat).Mul(exact, new(big.Rat).SetFloat64(math.Pow10(max(scale, 0))))
		if scale < 0 {
			want = new(big.Rat).Quo(exact, new(big.Rat).SetFloat64(math.Pow10(-scale)))
		}
		floor := new(big.Int).Div(want.Num(), want.Denom()) // Euclidean: towards minus infinity
		v, w := n.scaled(scale)
		switch {
		case w == isHuge:
			if floor.IsInt64() && len(s) < 19 {
				t.Fatalf("%q * 1e%d is huge, want %v", s, scale, floor)
			}
		case !floor.IsInt64() || v != floor.Int64() || (w == isWhole) != want.IsInt():
			t.Fatalf("%q * 1e%d is %d (%d), want %v", s, scale, v, w, want)
		}
	}
}

func TestTimesAreThoseOfTheStandardLibrary(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	layouts := []string{time.RFC3339Nano, time.RFC3339, "2006-01-02 15:04:05.999999Z07:00", "2006-01-02T15:04:05-0700", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02", "2006-01-02t15:04:05.999999999"}
	var m dayMemo
	for range 100_000 {
		at := time.UnixMicro(minTime + r.Int64N(maxTime-minTime)).In(time.FixedZone("", (r.IntN(47)-23)*3600+r.IntN(60)*60))
		layout := layouts[r.IntN(len(layouts))]
		s := []byte(at.Format(layout))
		mutated := r.IntN(3) == 0
		if mutated {
			s[r.IntN(len(s))] = "0123456789:-T Z.+"[r.IntN(17)]
		}
		want, err := time.Parse(layout, string(s))
		got, ok := m.parseTime(s)
		switch {
		case err == nil && !ok && !mutated: // the library reads more than it writes: hours of one digit, zones of 24 hours
			t.Fatalf("%q is refused, the library reads %v", s, want)
		case err == nil && ok && got != want.UnixMicro():
			t.Fatalf("%q is %v, want %v", s, time.UnixMicro(got).UTC(), want)
		}
	}
	for _, s := range []string{"", "2026", "2026-1-1", "2026-01-01T", "2026-01-01T1", "2026-01-01T01:0", "2026-01-01T01:01:", "2026-01-01T01:01:01.", "2026-01-01T01:01:60Z",
		"2026-01-01T01:01:01+", "2026-01-01T01:01:01+1:00", "2026-01-01T01:01:01Z ", "2026-00-01", "2026-13-01", "2026-01-32", "2026-01-00", "2026-01-01x01:01", "2026-01-01T01:01:01+24:00", "2026-01-01T01:01:01+01:60"} {
		if v, ok := m.parseTime([]byte(s)); ok {
			t.Errorf("%q is read as %v", s, time.UnixMicro(v).UTC())
		}
	}
}

// discard reuses one batch.
type discard struct {
	pool *batch.Pool
	rows int
}

func (s *discard) Next() *batch.Batch { return s.pool.Get() }
func (s *discard) Done(b *batch.Batch) error {
	s.rows += b.Len()
	b.Release()
	return nil
}
func (s *discard) Bad(r *codec.BadRecord) error { return r }

// readings makes lines of readings; quoted puts strings in quotes.
func readings(n int, quoted bool) []byte {
	var b []byte
	for i := range n {
		name := fmt.Sprintf("sensor-%06d", i*7919%500_000)
		if quoted {
			name = `"` + name + `, ""b"""`
		}
		b = fmt.Appendf(b, "%s,%d,%d.%02d,%d\n", name, 1_700_000_000_000+i*13, i%50, i%100, i)
	}
	return b
}

func BenchmarkDecode(b *testing.B) {
	for name, quoted := range map[string]bool{"plain": false, "quoted": true} {
		b.Run(name, func(b *testing.B) {
			const n = 5000
			block := codectest.Block(readings(n, quoted), 0)
			d, err := headed(b, reading, "sensor,ts,value,count\n")
			if err != nil {
				b.Fatal(err)
			}
			s := &discard{pool: batch.NewPool(codectest.Schema(reading), 1024)}
			b.SetBytes(int64(len(block)))
			for b.Loop() {
				if err := d.Decode(block, s); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
		})
		b.Run("cut "+name, func(b *testing.B) {
			const n = 5000
			block := readings(n, quoted)
			b.SetBytes(int64(len(block)))
			d := dialect{delimiter: ',', limit: 1 << 20}
			for b.Loop() {
				if d.cut(block) != len(block) {
					b.Fatal("wrong cut")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
		})
	}
}

func TestDecodingIsFreeOfAllocations(t *testing.T) {
	for _, quoted := range []bool{false, true} {
		block := codectest.Block(readings(3000, quoted), 0)
		d, err := headed(t, reading, "sensor,ts,value,count\n")
		if err != nil {
			t.Fatal(err)
		}
		s := &discard{pool: batch.NewPool(codectest.Schema(reading), 1024)}
		if n := testing.AllocsPerRun(20, func() {
			if err := d.Decode(block, s); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("quoted %v: %v allocations for 3000 rows", quoted, n)
		}
		if s.rows != 3000*21 {
			t.Errorf("%d rows", s.rows)
		}
	}
}
