package json

import (
	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/spec"
)

// Format is the registration of JSON.
var Format = codec.Format{
	Decl: &spec.Decl{
		Name:    "json",
		Summary: "JSON objects, one a line by default",
		Doc:     "Reading is strict (RFC 8259, UTF-8). Names match exactly; of several members with one name the last one wins. Whole numbers may be written in any way (`7`, `7.0`, `0.7e1`). Writing gives one object a line; NaN and infinities are written as null.",
		Fields: []spec.Field{
			{Name: "layout", Type: spec.Enum, Default: "auto", Values: []string{"auto", "lines", "array", "object"},
				Doc: "How input holds records. lines: one object a line. array: one array of objects. object: one or more objects over any number of lines. auto: lines, unless the input is in brackets (array) or its first line holds only the beginning of an object (object). Input under lines and auto is read in pieces of whole lines, under array and object as a whole."},
			{Name: "timestamps", Type: spec.Enum, Default: "rfc3339", Values: []string{"rfc3339", "ms", "us"},
				Doc: "How timestamps are written: as RFC 3339 text in UTC, or as a number of milliseconds or microseconds since 1970."},
		},
		Short:   "layout",
		Example: "format: {json: {layout: lines}}",
	},
	Frame: func(set *spec.Values, _ codec.Limits) codec.Frame {
		l := set.String("layout")
		return codec.Frame{Whole: l == "array" || l == "object"}
	},
	ContentTypes: []string{"application/x-ndjson", "application/json"},
	NewDecoder: func(set *spec.Values, _, columns []codec.Column, limits codec.Limits) (codec.Decoder, error) {
		return newDecoder(set.String("layout"), columns, limits), nil
	},
	NewEncoder: func(set *spec.Values, schema *batch.Schema) (codec.Encoder, error) {
		return newEncoder(set.String("timestamps"), schema), nil
	},
}
