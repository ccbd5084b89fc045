package stdio

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/codec/codectest"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/connectortest"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var schema = &batch.Schema{Time: 3, Fields: []batch.Field{
	{Name: "device", Kind: batch.String, Nullable: true}, {Name: "avg", Kind: batch.Float64, Nullable: true},
	{Name: "n", Kind: batch.Int64}, {Name: "", Kind: batch.Timestamp}, {Name: "at", Kind: batch.Timestamp}, {Name: "raw", Kind: batch.Binary, Nullable: true}, {Name: "ok", Kind: batch.Bool, Nullable: true},
}}

// listing is a format that writes the Go values of rows.
func listing(name string) *codec.Format {
	return &codec.Format{Decl: &spec.Decl{Name: name}, NewEncoder: func(*spec.Values, *batch.Schema) (codec.Encoder, error) { return lister{}, nil }}
}

type lister struct{}

func (lister) Header() []byte { return []byte("<\n") }
func (lister) Footer() []byte { return []byte(">\n") }
func (lister) Encode(dst []byte, b *batch.Batch, from, to int) ([]byte, error) {
	for _, row := range codectest.Rows(b)[from:to] {
		dst = fmt.Appendln(dst, row...)
	}
	return dst, nil
}

func settings(table string) *spec.Values {
	return spec.NewValues(Registration.Sink, diag.Place{}, map[string]spec.Value{"table": {V: table, Set: true}})
}

func mustSink(t testing.TB, out *shared, table string, env connector.SinkEnv) connector.SinkWriter {
	t.Helper()
	if env.Schema == nil {
		env.Schema = schema
	}
	s, err := newSink(settings(table), env, out)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSinkSuite(t *testing.T) {
	connectortest.Sink(t, connectortest.SinkCase{
		Schema: schema,
		New: func(t testing.TB) (connector.SinkWriter, func() string) {
			var b bytes.Buffer
			return mustSink(t, &shared{w: &b}, "auto", connector.SinkEnv{Format: listing("json")}), b.String
		},
	})
	// 150 rows of one width: the table does not depend on batches and flushes either
	one := &batch.Schema{Time: -1, Fields: []batch.Field{{Name: "a wide enough name", Kind: batch.Int64}}}
	connectortest.Sink(t, connectortest.SinkCase{
		Schema: one,
		New: func(t testing.TB) (connector.SinkWriter, func() string) {
			var b bytes.Buffer
			w := mustSink(t, &shared{w: &b}, "always", connector.SinkEnv{Schema: one})
			return w, func() string { // without the headers
				return strings.Join(strings.Fields(strings.NewReplacer("a wide enough name", "", "-", "").Replace(b.String())), " ")
			}
		},
		Row: func(i int) []any { return []any{int64(i)} },
	})
}

func write(t testing.TB, s connector.SinkWriter, schema *batch.Schema, rows ...[]any) {
	t.Helper()
	b := batch.NewPool(schema, max(len(rows), 1)).Get()
	for i, r := range rows {
		codectest.SetRow(b, i, r)
	}
	b.SetLen(len(rows))
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func flush(t testing.TB, s connector.SinkWriter) {
	t.Helper()
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestATableIsAlignedAndShowsNulls(t *testing.T) {
	var b bytes.Buffer
	s := mustSink(t, &shared{w: &b}, "auto", connector.SinkEnv{Name: "averages", Terminal: true, Format: listing("json")})
	write(t, s, schema,
		[]any{"sensor-1", 20.509999999999998, int64(7), int64(0), int64(1769851800000000), []byte("text"), true},
		[]any{nil, nil, int64(-123456), int64(0), int64(1769851800250000), []byte{0xff, 0}, nil})
	if b.Len() > 0 {
		t.Errorf("before Flush there is %q", b.String())
	}
	flush(t, s)
	write(t, s, schema, []any{"x", 1.0, int64(1), int64(0), int64(0), nil, false})
	flush(t, s)
	write(t, s, schema, []any{"a longer name", 1.0, int64(1), int64(0), int64(0), nil, false})
	if err := s.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	want := `# averages
device      avg        n  at                       raw     ok
--------  -----  -------  -----------------------  ------  ----
sensor-1  20.51        7  2026-01-31T09:30:00Z     text    true
NULL       NULL  -123456  2026-01-31T09:30:00.25Z  0xff00  NULL
x             1        1  1970-01-01T00:00:00Z     NULL    false
`
	// "false" is wider than "true": the header comes again before the third row
	want = strings.Replace(want, "x     ", "\n# averages\ndevice      avg        n  at                       raw     ok\n--------  -----  -------  -----------------------  ------  -----\nx     ", 1)
	want += `
# averages
device           avg        n  at                       raw     ok
-------------  -----  -------  -----------------------  ------  -----
a longer name      1        1  1970-01-01T00:00:00Z     NULL    false
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTheHeaderComesAgainAfterAnotherSink(t *testing.T) {
	var b bytes.Buffer
	out := &shared{w: &b}
	one := &batch.Schema{Time: -1, Fields: []batch.Field{{Name: "v", Kind: batch.Int64}}}
	first := mustSink(t, out, "auto", connector.SinkEnv{Name: "first", Terminal: true, Schema: one})
	second := mustSink(t, out, "auto", connector.SinkEnv{Name: "second", Terminal: true, Schema: one, Format: listing("csv")})
	for _, s := range []connector.SinkWriter{first, first, second, first} {
		write(t, s, one, []any{int64(1)})
		flush(t, s)
		flush(t, s)
	}
	if got, want := b.String(), "# first\nv\n-\n1\n1\n<\n1\n\n# first\nv\n-\n1\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTheHeaderComesAgainFromTimeToTime(t *testing.T) {
	var b bytes.Buffer
	one := &batch.Schema{Time: -1, Fields: []batch.Field{{Name: "value", Kind: batch.Int64}}}
	s := mustSink(t, &shared{w: &b}, "always", connector.SinkEnv{Schema: one})
	for i := range 1000 {
		write(t, s, one, []any{int64(i)})
	}
	if b.Len() == 0 {
		t.Error("without Flush the rows wait for ever")
	}
	if err := s.Close(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "value\n-----\n"); n < 3 {
		t.Errorf("the header is there %d times", n)
	}
	if n := strings.Count(b.String(), "\n"); n < 1000 {
		t.Errorf("%d lines", n)
	}
}

func TestValuesCannotSteerTheTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"plain é 日本": "plain é 日本", "\x1b[31mred\x07": `\x1b[31mred\a`, "a\nb\tc\r": `a\nb\tc\r`, "\u202Eabc": `\u202eabc`,
		"\xff\xfe": `\xff\xfe`, "\uFFFD": "\uFFFD", "\u009b31m": `\u009b31m`, "": "",
	} {
		if got := printable(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
	if got := shorten(strings.Repeat("x", 41)); got != strings.Repeat("x", 39)+"…" {
		t.Errorf("got %q", got)
	}
	if got := shorten(strings.Repeat("日", 21)); width(got) != 39 || !strings.HasSuffix(got, "…") {
		t.Errorf("got %q", got)
	}
}

func TestNumbersAreShownWithSixDigits(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1: "1", -2.5: "-2.5", 20.509999999999998: "20.51", 1234567.891: "1234568", 0.000123456789: "0.000123",
		1e15: "1e+15", 1e-7: "1e-07", math.Inf(-1): "-Inf", 99999.95: "99999.9", 1048.36: "1048.36", 100: "100"} {
		if got := number(v); got != want {
			t.Errorf("%v is shown as %s, want %s", v, got, want)
		}
	}
	if got := number(math.NaN()); got != "NaN" {
		t.Errorf("got %s", got)
	}
}

func TestTheFormatIsChosenByTerminalAndSetting(t *testing.T) {
	for _, c := range []struct {
		setting, format string
		terminal, table bool
	}{
		{"auto", "json", true, true}, {"auto", "json", false, false}, {"auto", "csv", true, false},
		{"never", "json", true, false}, {"always", "csv", false, true},
	} {
		s := mustSink(t, &shared{w: &bytes.Buffer{}}, c.setting, connector.SinkEnv{Terminal: c.terminal, Format: listing(c.format)})
		if got := s.(*sink).table != nil; got != c.table {
			t.Errorf("%+v: table %v", c, got)
		}
	}
	_, err := newSink(settings("auto"), connector.SinkEnv{Schema: schema}, &shared{})
	var d *diag.Error
	if !errors.As(err, &d) || d.Code != "stdout/no-format" {
		t.Errorf("got %v", err)
	}
}

// lines notes how the output was written.
type lines struct {
	writes int
	all    bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.writes++
	if !bytes.HasSuffix(b, []byte("\n")) {
		return 0, errors.New("a write ends within a line")
	}
	return l.all.Write(b)
}

func TestSinksTakeTurns(t *testing.T) {
	var l lines
	out := &shared{w: &l}
	one := &batch.Schema{Time: -1, Fields: []batch.Field{{Name: "v", Kind: batch.String}}}
	var done sync.WaitGroup
	for k := range 4 {
		s := mustSink(t, out, "never", connector.SinkEnv{Schema: one, Format: listing("json")})
		text := strings.Repeat(string(rune('a'+k)), 100)
		done.Add(1)
		go func() {
			defer done.Done()
			for i := range 300 {
				write(t, s, one, []any{text}, []any{text}, []any{text})
				if i%10 == 0 {
					flush(t, s)
				}
			}
			if err := s.Close(t.Context(), true); err != nil {
				t.Error(err)
			}
		}()
	}
	done.Wait()
	n := map[string]int{}
	for line := range strings.Lines(l.all.String()) {
		n[line]++
	}
	for k := range 4 {
		if text := strings.Repeat(string(rune('a'+k)), 100) + "\n"; n[text] != 900 {
			t.Errorf("%d whole lines of %c", n[text], 'a'+k)
		}
	}
	if l.writes > 4*40 {
		t.Errorf("%d writes", l.writes)
	}
}

// broken fails.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestAnErrorOfTheOutputEndsTheSink(t *testing.T) {
	before := batch.Live()
	s := mustSink(t, &shared{w: broken{}}, "never", connector.SinkEnv{Format: listing("json")})
	b := batch.NewPool(schema, 1).Get()
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	err := s.Flush(t.Context())
	var d *diag.Error
	if !errors.As(err, &d) || d.Code != "stdout/cannot-write" {
		t.Errorf("Flush: %v", err)
	}
	if again := s.Write(t.Context(), batch.NewPool(schema, 1).Get()); !errors.Is(again, err) {
		t.Errorf("Write: %v", again)
	}
	if again := s.Close(t.Context(), true); !errors.Is(again, err) {
		t.Errorf("Close: %v", again)
	}
	if after := batch.Live(); after != before {
		t.Errorf("%d batches leaked", after-before)
	}
}
