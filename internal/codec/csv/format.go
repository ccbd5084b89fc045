package csv

import (
	"bytes"
	"strings"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

// Format is the registration of CSV.
var Format = codec.Format{
	Decl: &spec.Decl{
		Name:    "csv",
		Summary: "CSV (RFC 4180), with a header line by default",
		Doc: "With a header the columns are found by name, in any order; further columns are skipped. An unquoted empty field is null where the column " +
			"may be null, a quoted one (`\"\"`) is the empty string. A record with wrong quotes costs its first line.",
		Fields: []spec.Field{
			{Name: "delimiter", Type: spec.String, Default: ",", Doc: "The character between fields, such as `;` or `\"\\t\"`."},
			{Name: "header", Type: spec.Bool, Default: true,
				Doc: "Whether the first record holds the names of the columns. Without it the fields are the columns of the schema in order."},
			{Name: "null", Type: spec.String, Default: "", Doc: "The text of an unquoted field that stands for null, such as `NA`."},
			{Name: "timestamps", Type: spec.Enum, Default: "rfc3339", Values: []string{"rfc3339", "ms", "us"},
				Doc: "How timestamps are written: as RFC 3339 text in UTC, or as a number of milliseconds or microseconds since 1970."},
		},
		Short:   "delimiter",
		Example: `format: {csv: {delimiter: ";", null: NA}}`,
	},
	Frame:        frame,
	ContentTypes: []string{"text/csv"},
	NewDecoder: func(set *spec.Values, schema, columns []codec.Column, limits codec.Limits) (codec.Decoder, error) {
		d, err := newDialect(set, limits)
		if err != nil {
			return nil, err
		}
		return newDecoder(d, schema, columns), nil
	},
	NewEncoder: func(set *spec.Values, schema *batch.Schema) (codec.Encoder, error) {
		d, err := newDialect(set, codec.Limits{})
		if err != nil {
			return nil, err
		}
		return newEncoder(d, set.String("timestamps"), schema), nil
	},
}

// dialect is what the settings say about the text.
type dialect struct {
	delimiter byte
	header    bool
	null      []byte
	limit     int // Limits.RecordBytes
}

// newDialect checks the settings. The dialect is usable also when there is an error.
func newDialect(set *spec.Values, limits codec.Limits) (dialect, error) {
	d := dialect{delimiter: ',', header: set.Bool("header"), null: []byte(set.String("null")), limit: limits.WithDefaults().RecordBytes}
	s := set.String("delimiter")
	if len(s) != 1 || !canDelimit(s[0]) {
		return d, diag.New("csv/bad-delimiter", "the delimiter %q is not one character that may stand between fields", s).
			WithHint(`write delimiter: ";" or delimiter: "\t"`).At(set.PlaceOf("delimiter"))
	}
	if d.delimiter = s[0]; bytes.ContainsAny(d.null, "\"\r\n"+s) {
		return d, diag.New("csv/bad-null", "the null text %q holds a quote, a delimiter or a line end, so that no unquoted field can be it", d.null).At(set.PlaceOf("null"))
	}
	return d, nil
}

// canDelimit reports whether c may be a delimiter: it is of ASCII, neither a
// quote nor of a line end, and not of numbers or words.
func canDelimit(c byte) bool {
	return c == '\t' || c >= ' ' && c <= '~' && !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z') && strings.IndexByte(`"+-.`, c) < 0
}

func frame(set *spec.Values, limits codec.Limits) codec.Frame {
	d, _ := newDialect(set, limits) // the decoder refuses what is wrong
	return codec.Frame{Preamble: d.preamble, Cut: d.cut}
}

var byteOrderMark = []byte("\xEF\xBB\xBF")

// preamble finds the end of byte order mark, empty lines and header; see codec.Frame.
func (d dialect) preamble(b []byte) int {
	i := 0
	if bytes.HasPrefix(b, byteOrderMark) {
		i = len(byteOrderMark)
	} else if bytes.HasPrefix(byteOrderMark, b) {
		return -1
	}
	if !d.header {
		return i
	}
	for {
		e := d.extent(b, i)
		switch {
		case !e.whole:
			return -1
		case e.end > i:
			return e.next
		}
		i = e.next
	}
}
