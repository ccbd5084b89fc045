package raw

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/codec/codectest"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

func settings(split string) *spec.Values {
	return spec.NewValues(Format.Decl, diag.Place{}, map[string]spec.Value{"split": {V: split, Set: true}})
}

func linesCase() codectest.Case {
	c := codectest.Case{Format: Format, Schema: Format.Schema(nil)}
	for _, s := range []string{"text", "", "\x00\xff, a line of more than twelve bytes", "\r"} {
		c.Records = append(c.Records, []byte(s+"\n"))
		c.Rows = append(c.Rows, []any{[]byte(s)})
	}
	c.Bad = []codectest.BadCase{{Name: "too long", Record: []byte(strings.Repeat("x", 101) + "\n"), Code: "too_long", Reason: "longer than the limit", Limits: codec.Limits{RecordBytes: 100}}}
	return c
}

func TestConformance(t *testing.T) { codectest.Run(t, linesCase()) }

func FuzzDecode(f *testing.F) { codectest.Fuzz(f, linesCase()) }

func decoder1(t testing.TB, split string, limit int) codec.Decoder {
	t.Helper()
	d, err := Format.NewDecoder(settings(split), Format.Schema(nil), Format.Schema(nil), codec.Limits{RecordBytes: limit})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestWholeTakesABlockForARecord(t *testing.T) {
	if f := Format.Frame(settings("whole"), codec.Limits{}); !f.Whole {
		t.Error("blocks are cut")
	}
	if f := Format.Frame(settings("lines"), codec.Limits{}); f.Whole {
		t.Error("lines are not cut")
	}
	d := decoder1(t, "whole", 10)
	rows, bad := codectest.Decode(t, d, Format.Schema(nil), []byte("a\nb\n\n"), 1, 0)
	if diff := codectest.EqualRows(rows, [][]any{{[]byte("a\nb\n\n")}}); diff != "" || bad != nil {
		t.Errorf("%s, bad %v", diff, bad)
	}
	rows, bad = codectest.Decode(t, d, Format.Schema(nil), nil, 1, 0)
	if rows != nil || bad != nil {
		t.Errorf("an empty block gives %v, bad %v", rows, bad)
	}
	rows, bad = codectest.Decode(t, d, Format.Schema(nil), []byte("01234\n56789"), 1, 0)
	if rows != nil || len(bad) != 1 || bad[0].Code != "too_long" || len(bad[0].Bytes) != 10 {
		t.Errorf("over the limit: %v, bad %v", rows, bad)
	}
}

func TestLinesWithoutTheLastNewline(t *testing.T) {
	rows, bad := codectest.Decode(t, decoder1(t, "lines", 0), Format.Schema(nil), []byte("a\nb"), 8, '\n')
	if diff := codectest.EqualRows(rows, [][]any{{[]byte("a")}, {[]byte("b")}}); diff != "" || bad != nil {
		t.Errorf("%s, bad %v", diff, bad)
	}
}

func TestTheEncoderWritesTheOneColumn(t *testing.T) {
	schema := &batch.Schema{Time: 0, Fields: []batch.Field{{Name: "", Kind: batch.Timestamp}, {Name: "text", Kind: batch.String, Nullable: true}}}
	b := batch.NewPool(schema, 3).Get()
	defer b.Release()
	for i, v := range []any{"a", nil, "b\nc"} {
		codectest.SetRow(b, i, []any{int64(0), v})
	}
	b.SetLen(3)
	for split, want := range map[string]string{"lines": "a\n\nb\nc\n", "whole": "ab\nc"} {
		e, err := Format.NewEncoder(settings(split), schema)
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Encode(e.Header(), b, 0, 3)
		if err != nil || !bytes.Equal(append(got, e.Footer()...), []byte(want)) {
			t.Errorf("%s: %q, %v, want %q", split, got, err, want)
		}
	}
	for _, fields := range [][]batch.Field{nil, {{Name: "n", Kind: batch.Int64}}, {{Name: "a", Kind: batch.Binary}, {Name: "b", Kind: batch.Binary}}} {
		var e *diag.Error
		if _, err := Format.NewEncoder(settings("lines"), &batch.Schema{Time: -1, Fields: fields}); !errors.As(err, &e) || e.Hint == "" {
			t.Errorf("%v: %v", fields, err)
		}
	}
}

// discard drops rows.
type discard struct{ pool *batch.Pool }

func (s *discard) Next() *batch.Batch           { return s.pool.Get() }
func (s *discard) Done(b *batch.Batch) error    { b.Release(); return nil }
func (s *discard) Bad(r *codec.BadRecord) error { return r }

func TestDecodingIsFreeOfAllocations(t *testing.T) {
	block := codectest.Block(bytes.Repeat([]byte("a line of more than twelve bytes\n"), 1000), 0)
	d, s := decoder1(t, "lines", 0), &discard{batch.NewPool(codectest.Schema(Format.Schema(nil)), 256)}
	if n := testing.AllocsPerRun(20, func() {
		if err := d.Decode(block, s); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for 1000 rows", n)
	}
}
