package testkit

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/operator"
)

// Schema parses "name kind, name kind?, ..."; "@" behind a kind marks the event time.
func Schema(t testing.TB, text string) *batch.Schema {
	t.Helper()
	s := &batch.Schema{Time: -1}
	for i, f := range strings.Split(text, ",") {
		w := strings.Fields(f)
		if len(w) != 2 {
			t.Fatalf("schema field %q: want a name and a kind", f)
		}
		kind := w[1]
		if k, ok := strings.CutSuffix(kind, "@"); ok {
			kind, s.Time = k, i
		}
		kind, nullable := strings.CutSuffix(kind, "?")
		k := batch.ParseKind(kind)
		if k == batch.Invalid {
			t.Fatalf("schema field %q: no kind %q", f, kind)
		}
		name := w[0]
		if name == "_" {
			name = "" // hidden
		}
		s.Fields = append(s.Fields, batch.Field{Name: name, Kind: k, Nullable: nullable})
	}
	return s
}

// Fill appends rows, one line each of values with spaces between: null, numbers,
// true, text ("" for empty). It fails the test when they do not fit.
func Fill(t testing.TB, b *batch.Batch, lines []string) {
	t.Helper()
	for _, l := range lines {
		values := strings.Fields(l)
		if len(values) != len(b.Schema().Fields) {
			t.Fatalf("row %q has %d values for %s", l, len(values), b.Schema())
		}
		row := b.Len()
		for i, v := range values {
			if err := set(b.Col(i), row, v); err != nil {
				t.Fatalf("row %q: %v", l, err)
			}
		}
		b.SetLen(row + 1)
	}
}

func set(c *batch.Column, row int, v string) (err error) {
	if v == "null" {
		c.SetNull(row)
		return nil
	}
	switch c.Kind() {
	case batch.Bool:
		c.SetBool(row, v == "true")
	case batch.Int32:
		n, e := strconv.ParseInt(v, 10, 32)
		c.Int32s()[row], err = int32(n), e
	case batch.Float32:
		n, e := strconv.ParseFloat(v, 32)
		c.Float32s()[row], err = float32(n), e
	case batch.Float64:
		c.Float64s()[row], err = strconv.ParseFloat(v, 64)
	case batch.String, batch.Binary:
		if v == `""` {
			v = ""
		}
		c.SetText(row, v)
	default:
		c.Int64s()[row], err = strconv.ParseInt(v, 10, 64)
	}
	if c.HasNulls() && err == nil {
		c.MakeNullable()[row>>6] |= 1 << (uint(row) & 63)
	}
	return err
}

// Rows writes the rows of a batch, one line each, values as Fill reads them.
func Rows(b *batch.Batch) []string {
	var out []string
	for row := range b.Len() {
		var v []string
		for i := range b.Schema().Fields {
			v = append(v, show(b.Col(i), row))
		}
		out = append(out, strings.Join(v, " "))
	}
	return out
}

func show(c *batch.Column, row int) string {
	if c.IsNull(row) {
		return "null"
	}
	switch c.Kind() {
	case batch.Bool:
		return strconv.FormatBool(c.Bool(row))
	case batch.Int32:
		return strconv.Itoa(int(c.Int32s()[row]))
	case batch.Float32:
		return strconv.FormatFloat(float64(c.Float32s()[row]), 'g', -1, 32)
	case batch.Float64:
		return Number(c.Float64s()[row])
	case batch.String:
		if len(c.Bytes(row)) == 0 {
			return `""`
		}
		return string(c.Bytes(row))
	case batch.Binary:
		return base64.StdEncoding.EncodeToString(c.Bytes(row))
	}
	return strconv.FormatInt(c.Int64s()[row], 10)
}

// Number writes a float as Rows does.
func Number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// Recorder is an Output that writes down what was emitted, by port, and releases it.
type Recorder struct{ Lines []string }

var _ operator.Output = (*Recorder)(nil)

// Emit writes the rows down as "port: values".
func (r *Recorder) Emit(port operator.Port, b *batch.Batch) error {
	name := [...]string{"main", "late", "dead"}[port]
	for _, l := range Rows(b) {
		r.Lines = append(r.Lines, fmt.Sprintf("%s: %s", name, l))
	}
	b.Release()
	return nil
}

// Take returns what was written down since the last Take.
func (r *Recorder) Take() string {
	s := strings.Join(r.Lines, "\n")
	r.Lines = nil
	return s
}

// CheckLive fails a test, at its end, that leaves batches behind.
func CheckLive(t testing.TB) {
	before := batch.Live()
	t.Cleanup(func() {
		if n := batch.Live() - before; n != 0 {
			t.Errorf("%d batches leaked", n)
		}
	})
}
