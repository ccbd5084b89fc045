// Package raw is the codec of bytes that are left as they are: one binary column
// "payload", a record for each line or for the whole input.
//
// It knows newlines and batches, and gives no byte a meaning.
//
//	R1  Under "lines" every line is a record, empty ones too; the newline is not
//	    part of the payload, a carriage return before it is.
//	R2  Under "whole" each block is one record; an empty block is none.
//	R3  The encoder writes each payload, followed by a newline under "lines". A
//	    payload that holds newlines is then several lines: nothing is escaped.
package raw

import (
	"bytes"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

// payload is the only column.
var payload = codec.Column{Name: "payload", Kind: batch.Binary}

// Format is the registration of raw bytes.
var Format = codec.Format{
	Decl: &spec.Decl{
		Name:    "raw",
		Summary: "Bytes as they are, in one binary column `payload`",
		Doc:     "Reading takes each line, or each input as a whole, for a record. Writing puts out the one column of the rows, binary or string, and nothing else.",
		Fields: []spec.Field{
			{Name: "split", Type: spec.Enum, Default: "lines", Values: []string{"lines", "whole"},
				Doc: "lines: a record a line. whole: each file or request is one record, and written payloads get no newline."},
		},
		Short:   "split",
		Example: "format: {raw: {split: lines}}",
	},
	Frame: func(set *spec.Values, _ codec.Limits) codec.Frame {
		return codec.Frame{Whole: whole(set)}
	},
	ContentTypes: []string{"application/octet-stream"},
	NewDecoder: func(set *spec.Values, _, columns []codec.Column, limits codec.Limits) (codec.Decoder, error) {
		return &decoder{whole: whole(set), wanted: len(columns) > 0, limit: limits.WithDefaults().RecordBytes}, nil
	},
	NewEncoder: newEncoder,
	Schema:     func(*spec.Values) []codec.Column { return []codec.Column{payload} },
}

func whole(set *spec.Values) bool { return set.String("split") == "whole" }

type decoder struct {
	whole  bool
	wanted bool // the plan needs the payload; otherwise rows are only counted
	limit  int
	bad    codec.BadRecord
}

var _ codec.Decoder = (*decoder)(nil)

// Decode decodes a block; see codec.Decoder.
func (d *decoder) Decode(block []byte, sink codec.Sink) error {
	b, row := sink.Next(), 0
	line := int64(0)
	for at := 0; at < len(block); {
		end, next := len(block), len(block)
		if i := bytes.IndexByte(block[at:], '\n'); i >= 0 && !d.whole {
			end, next = at+i, at+i+1
		}
		line++
		if end-at > d.limit {
			d.bad = codec.BadRecord{Offset: int64(at), Line: line, Bytes: block[at : at+d.limit], Code: "too_long", Reason: "the record is longer than the limit"}
			if err := sink.Bad(&d.bad); err != nil {
				b.Release()
				return err
			}
			at = next
			continue
		}
		if row == b.Cap() {
			b.SetLen(row)
			if err := sink.Done(b); err != nil {
				return err
			}
			b, row = sink.Next(), 0
		}
		if d.wanted {
			b.Col(0).SetBytes(row, block[at:end])
		}
		row++
		at = next
	}
	b.SetLen(row)
	return sink.Done(b)
}

type encoder struct {
	column int
	end    []byte // behind each payload
}

var _ codec.Encoder = (*encoder)(nil)

func newEncoder(set *spec.Values, schema *batch.Schema) (codec.Encoder, error) {
	names := schema.Names()
	e := &encoder{}
	if len(names) == 1 {
		e.column = schema.Index(names[0])
	}
	if len(names) != 1 || !schema.Fields[e.column].Kind.Views() {
		return nil, diag.New("raw/one-column", "raw output takes one column, binary or string, and the rows have %s", schema).
			WithHint("choose the column by a step before the sink: select: {payload: NAME}, or use the format json or csv").At(set.Place())
	}
	if !whole(set) {
		e.end = []byte{'\n'}
	}
	return e, nil
}

// Header returns nil.
func (e *encoder) Header() []byte { return nil }

// Footer returns nil.
func (e *encoder) Footer() []byte { return nil }

// Encode appends rows; a null is an empty payload. See codec.Encoder.
func (e *encoder) Encode(dst []byte, b *batch.Batch, from, to int) ([]byte, error) {
	c := b.Col(e.column)
	for row := from; row < to; row++ {
		if !c.IsNull(row) {
			dst = append(dst, c.Bytes(row)...)
		}
		dst = append(dst, e.end...)
	}
	return dst, nil
}
