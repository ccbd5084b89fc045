package codectest

import (
	"bytes"
	"strconv"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/spec"
)

// tally is the smallest format that there is: a whole number per line, "-" for null.
type tally struct{ columns []codec.Column }

func (d *tally) Decode(block []byte, sink codec.Sink) error {
	b, offset, line := sink.Next(), 0, int64(0)
	for len(block) > 0 {
		rec := block[:bytes.IndexByte(block, '\n')]
		line++
		v, err := strconv.ParseInt(string(rec), 10, 64)
		switch {
		case string(rec) == "-" && len(d.columns) > 0 && !d.columns[0].Nullable:
			if err := sink.Bad(&codec.BadRecord{Offset: int64(offset), Line: line, Bytes: rec, Code: "missing", Column: "n", Reason: "no number"}); err != nil {
				b.Release()
				return err
			}
		case err != nil && string(rec) != "-":
			if err := sink.Bad(&codec.BadRecord{Offset: int64(offset), Line: line, Bytes: rec, Code: "type", Column: "n", Reason: "not a number"}); err != nil {
				b.Release()
				return err
			}
		default:
			if b.Len() == b.Cap() {
				if err := sink.Done(b); err != nil {
					return err
				}
				b = sink.Next()
			}
			if len(d.columns) > 0 {
				b.Col(0).Int64s()[b.Len()] = v
				if err != nil {
					b.Col(0).SetNull(b.Len())
				}
			}
			b.SetLen(b.Len() + 1)
		}
		block, offset = block[len(rec)+1:], offset+len(rec)+1
	}
	return sink.Done(b)
}

type tallyEncoder struct{}

func (tallyEncoder) Header() []byte { return nil }
func (tallyEncoder) Footer() []byte { return nil }
func (tallyEncoder) Encode(dst []byte, b *batch.Batch, from, to int) ([]byte, error) {
	for i := from; i < to; i++ {
		if b.Col(0).IsNull(i) {
			dst = append(dst, "-\n"...)
			continue
		}
		dst = append(strconv.AppendInt(dst, b.Col(0).Int64s()[i], 10), '\n')
	}
	return dst, nil
}

func tallyCase() Case {
	return Case{
		Format: codec.Format{
			Decl: &spec.Decl{Name: "tally"},
			NewDecoder: func(_ *spec.Values, _, columns []codec.Column, _ codec.Limits) (codec.Decoder, error) {
				return &tally{columns}, nil
			},
			NewEncoder: func(*spec.Values, *batch.Schema) (codec.Encoder, error) { return tallyEncoder{}, nil },
		},
		Schema:  []codec.Column{{Name: "n", Kind: batch.Int64, Nullable: true}},
		Records: [][]byte{[]byte("1\n"), []byte("-\n"), []byte("-5\n")},
		Rows:    [][]any{{int64(1)}, {nil}, {int64(-5)}},
		Bad:     []BadCase{{Name: "word", Record: []byte("one\n"), Code: "type", Column: "n"}},
	}
}

func TestSuitePassesACorrectCodec(t *testing.T) {
	before := batch.Live()
	Run(t, tallyCase())
	if n := batch.Live() - before; n != 0 {
		t.Errorf("%d batches leaked", n)
	}
}

func TestEqualRowsNamesTheDifference(t *testing.T) {
	a := [][]any{{int64(1), "x"}, {nil, "y"}}
	if d := EqualRows(a, a); d != "" {
		t.Errorf("equal rows differ: %s", d)
	}
	for _, b := range [][][]any{{{int64(1), "x"}}, {{int64(1), "x"}, {int64(0), "y"}}, {{int64(1), "x"}, {nil, "y"}, {nil, "z"}}, {{int64(1)}, {nil}}} {
		if EqualRows(a, b) == "" {
			t.Errorf("%v and %v count as equal", a, b)
		}
	}
}

func TestRowsReturnsWhatSetRowWrote(t *testing.T) {
	row := []any{true, int32(-1), int64(5), float32(0.5), 2.5, "a text longer than a view", []byte{0, 1}, nil}
	s := &batch.Schema{Time: -1}
	for _, k := range []batch.Kind{batch.Bool, batch.Int32, batch.Int64, batch.Float32, batch.Float64, batch.String, batch.Binary, batch.Timestamp} {
		s.Fields = append(s.Fields, batch.Field{Name: k.String(), Kind: k, Nullable: true})
	}
	b := batch.NewPool(s, 3).Get()
	defer b.Release()
	SetRow(b, 0, row)
	b.SetLen(1)
	if d := EqualRows(Rows(b), [][]any{row}); d != "" {
		t.Error(d)
	}
}
