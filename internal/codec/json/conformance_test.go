package json

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/codec/codectest"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

func settings(pairs ...string) *spec.Values {
	m := map[string]spec.Value{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = spec.Value{V: pairs[i+1], Set: true}
	}
	return spec.NewValues(Format.Decl, diag.Place{}, m)
}

// every kind of column, nullable
var everyKind = []codec.Column{
	{Name: "b", Kind: batch.Bool, Nullable: true},
	{Name: "i32", Kind: batch.Int32, Nullable: true},
	{Name: "i64", Kind: batch.Int64, Nullable: true},
	{Name: "f32", Kind: batch.Float32, Nullable: true},
	{Name: "f64", Kind: batch.Float64, Nullable: true},
	{Name: "s", Kind: batch.String, Nullable: true},
	{Name: "bin", Kind: batch.Binary, Nullable: true},
	{Name: "t", Kind: batch.Timestamp, Nullable: true},
}

var everyRecord = []string{
	`{"b":true,"i32":1,"i64":2,"f32":0.5,"f64":1.25,"s":"text","bin":"AAEC","t":"2026-01-31T09:30:00Z"}`,
	`{"b":false,"i32":-2147483648,"i64":-9223372036854775808,"f32":-0,"f64":1e300,"s":"","bin":"","t":"1969-12-31T23:59:59.9999999Z"}`,
	` { "t" : "2026-01-31T09:30:00.25+05:30" , "s":"a text of more than twelve bytes" , "b" : null , "bin":"//8=" } `,
	`{"s":"\u00e9\n\"\\\/\ud83d\ude00","extra":{"deep":[1,{"x":[]},{},[[]],"\"",null,true,-0.5e-7]},"i64":9223372036854775807.0,"i32":0.7e1}`,
	`{"s":"first","s":"é日本😀","f64":17.000000000000004,"f32":16777217.000000001,"s":"last","i64":null}`,
	`{}`,
}

var everyRow = [][]any{
	{true, int32(1), int64(2), float32(0.5), 1.25, "text", []byte{0, 1, 2}, int64(1769851800000000)},
	{false, int32(-2147483648), int64(-9223372036854775808), -float32Zero(), 1e300, "", []byte{}, int64(-1)},
	{nil, nil, nil, nil, nil, "a text of more than twelve bytes", []byte{0xff, 0xff}, int64(1769832000250000)},
	{nil, int32(7), int64(9223372036854775807), nil, nil, "é\n\"\\/😀", nil, nil},
	{nil, nil, nil, float32(16777218), 17.000000000000004, "last", nil, nil},
	{nil, nil, nil, nil, nil, nil, nil, nil},
}

func float32Zero() float32 { return 0 }

func lines(records ...string) [][]byte {
	var out [][]byte
	for _, r := range records {
		out = append(out, []byte(r+"\n"))
	}
	return out
}

func bad(name, record, code, column, reason string) codectest.BadCase {
	return codectest.BadCase{Name: name, Record: []byte(record + "\n"), Code: code, Column: column, Reason: reason}
}

func limited(b codectest.BadCase, l codec.Limits) codectest.BadCase {
	b.Limits = l
	return b
}

var badLines = []codectest.BadCase{
	bad("no object", `[1]`, "type", "", "expected an object, got array"),
	bad("no value at all", `hello`, "syntax", "", "byte 1: expected an object, got 'h'"),
	bad("a word that begins like null", `not json`, "syntax", "", "byte 1: expected an object, got 'n'"),
	bad("a word that begins with null", `nullable`, "syntax", "", "byte 1: expected an object, got 'n'"),
	bad("null", `null`, "type", "", "expected an object, got null"),
	bad("control byte", "\x01", "syntax", "", "got '\\x01'"),
	bad("byte order mark", "\ufeff{}", "syntax", "", "got '\\ufeff'"),
	bad("torn", `{"b":true,"i`, "truncated", "", "the record ends where '\"' was expected"),
	bad("torn behind a name", `{"b"`, "truncated", "", "ends where ':' was expected"),
	bad("torn behind a colon", `{"b":`, "truncated", "", "ends where a value was expected"),
	bad("torn behind a value", `{"b":true`, "truncated", "", "ends where ',' or '}' was expected"),
	bad("torn behind a comma", `{"b":true,`, "truncated", "", "ends where a name in double quotes was expected"),
	bad("two records in a line", `{} {}`, "syntax", "", "byte 4: expected the end of the record, got '{'"),
	bad("comma at the end", `{"b":true,}`, "syntax", "", "expected a name in double quotes, got '}'"),
	bad("single quotes", `{'b':true}`, "syntax", "", "got '\\''"),
	bad("missing colon", `{"b" true}`, "syntax", "", "expected ':', got 't'"),
	bad("unknown word", `{"x":nil}`, "syntax", "", "expected null, got 'i'"),
	bad("NaN", `{"x":NaN}`, "syntax", "", "expected a value, got 'N'"),
	bad("leading zero", `{"x":01}`, "syntax", "", "must not begin with 0"),
	bad("leading zero of a column", `{"f64":-01.5}`, "syntax", "", "must not begin with 0"),
	bad("bare fraction", `{"x":1.}`, "syntax", "", "expected a digit, got '}'"),
	bad("fraction without whole part", `{"f64":.5}`, "type", "f64", "expected float64, got '.'"),
	bad("plus sign", `{"x":+1}`, "syntax", "", "expected a value, got '+'"),
	bad("bare exponent", `{"f64":1e}`, "syntax", "", "expected a digit"),
	bad("bare minus", `{"i64":-}`, "syntax", "", "expected a digit"),
	bad("unknown escape", `{"x":"\x41"}`, "syntax", "", "expected an escaped character, got 'x'"),
	bad("short escape", `{"x":"\u12"}`, "syntax", "", "expected a hexadecimal digit"),
	bad("tab in a string", "{\"x\":\"\t\"}", "syntax", "", "control character"),
	bad("unbalanced brackets", `{"x":[1,{"a":2]}`, "syntax", "", "expected ',' or '}', got ']'"),
	bad("array without commas", `{"x":[1 2]}`, "syntax", "", "expected ',' or ']', got '2'"),
	bad("trailing comma in an array", `{"x":[1,]}`, "syntax", "", "expected a value, got ']'"),
	bad("torn array", `{"x":[1,`, "truncated", "", "ends where a value was expected"),
	bad("invalid UTF-8 in a skipped value", "{\"x\":\"\xff\"}", "utf8", "", "not valid UTF-8"),
	bad("invalid UTF-8 in a name", "{\"\xc3\":1}", "utf8", "", "not valid UTF-8"),
	bad("surrogate as UTF-8", "{\"s\":\"\xed\xa0\x80\"}", "utf8", "", "not valid UTF-8"),
	bad("string for a float", `{"f64":"1.5"}`, "type", "f64", "column f64: expected float64, got string"),
	bad("number for a string", `{"s":1}`, "type", "s", "column s: expected string, got number"),
	bad("object for an integer", `{"i64":{}}`, "type", "i64", "column i64: expected int64, got object"),
	bad("number for a boolean", `{"b":1}`, "type", "b", "column b: expected bool, got number"),
	bad("wrong type before the last of a name", `{"b":1,"b":true}`, "type", "b", "got number"),
	bad("fraction for an integer", `{"i64":1.5}`, "type", "i64", "column i64: 1.5 is not a whole number"),
	bad("int32 too large", `{"i32":2147483648}`, "range", "i32", "2147483648 is out of range for int32"),
	bad("int64 too large", `{"i64":9223372036854775808}`, "range", "i64", "out of range for int64"),
	bad("int64 far too large", `{"i64":-1e999999999999999999999}`, "range", "i64", "out of range for int64"),
	bad("float64 too large", `{"f64":1e400}`, "range", "f64", "1e400 is out of range for float64"),
	bad("float32 too large", `{"f32":3.5e38}`, "range", "f32", "out of range for float32"),
	bad("no base64", `{"bin":"A"}`, "type", "bin", "is not base64"),
	bad("no timestamp", `{"t":"yesterday"}`, "type", "t", `"yesterday" is not an RFC 3339 timestamp`),
	bad("number for a timestamp", `{"t":1}`, "type", "t", "expected an RFC 3339 timestamp in a string, got number"),
	bad("a day that is none", `{"t":"2026-02-29T00:00:00Z"}`, "type", "t", "is not an RFC 3339 timestamp"),
	bad("before the year 0", `{"t":"0000-01-01T00:00:00+00:01"}`, "range", "t", "outside the years 0 to 9999"),
	limited(bad("too long", `{"x":"`+strings.Repeat("y", 300)+`"}`, "too_long", "", "longer than the limit"), codec.Limits{RecordBytes: 300}),
	limited(bad("too long and torn", strings.Repeat("y", 1000), "too_long", "", "longer than the limit"), codec.Limits{RecordBytes: 300}),
	limited(bad("too deep", `{"x":[[[[{"y":{}}]]]]}`, "too_deep", "", "nested deeper"), codec.Limits{Depth: 6}),
	bad("too deep by default", `{"x":`+strings.Repeat("[", 64)+strings.Repeat("]", 64)+`}`, "too_deep", "", "nested deeper"),
	limited(bad("too many elements", `{"x":[1,2,{"a":1,"b":[]},4,5,6,7,8],"y":{"a":1,"b":2,"c":3,"d":4,"e":5,"f":[1,2,3,4,5]}}`, "too_many", "", "more members and elements"), codec.Limits{Elements: 20}),
	limited(bad("too many members", `{"a":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"j":1,"k":1,"l":1,"m":1,"n":1,"o":1,"p":1,"q":1,"r":1,"u":1,"v":1,"w":1,"x":1,"y":1}`, "too_many", "", "more members and elements"), codec.Limits{Elements: 20}),
}

func TestConformance(t *testing.T) {
	for _, layout := range []string{"lines", "auto"} {
		c := codectest.Case{Format: Format, Set: settings("layout", layout), Schema: everyKind, Records: lines(everyRecord...), Rows: everyRow, Bad: badLines}
		if layout == "auto" {
			c.Bad = badLines[1:] // a line in brackets alone is an array there
		}
		t.Run(layout, func(t *testing.T) { codectest.Run(t, c) })
	}
}

func TestConformanceOfArrays(t *testing.T) {
	ends := func(b codectest.BadCase) codectest.BadCase { b.Ends = true; return b }
	for _, layout := range []string{"array", "auto"} {
		c := codectest.Case{
			Format: Format, Set: settings("layout", layout), Schema: everyKind, Rows: everyRow, NoRoundTrip: true,
			Join: func(records [][]byte) []byte {
				return append(append([]byte("\n [ "), bytes.Join(records, []byte{','})...), " ] \n"...)
			},
			Bad: []codectest.BadCase{
				bad("no object", `[{"a":1}]`, "type", "", "expected an object, got array"),
				bad("type", `{"i64":true}`, "type", "i64", "expected int64, got boolean"),
				limited(bad("too long", `{"x":"`+strings.Repeat("y", 300)+`"}`, "too_long", "", "longer"), codec.Limits{RecordBytes: 300}),
				bad("too deep", `{"x":`+strings.Repeat("[", 64)+strings.Repeat("]", 64)+`}`, "too_deep", "", "nested deeper"),
				ends(bad("syntax", `{"x" 1}`, "syntax", "", "byte 6: expected ':', got '1'")),
				ends(bad("utf8", "{\"x\":\"\xff\"}", "utf8", "", "UTF-8")),
			},
		}
		for _, r := range everyRecord {
			c.Records = append(c.Records, []byte(strings.ReplaceAll(r, `,"`, ",\n\t\"")))
		}
		t.Run(layout, func(t *testing.T) { codectest.Run(t, c) })
	}
}

func TestConformanceOfObjects(t *testing.T) {
	c := codectest.Case{
		Format: Format, Set: settings("layout", "object"), Schema: everyKind, Rows: everyRow,
		Bad: []codectest.BadCase{
			bad("type", "{\n\"i64\"\n:true}", "type", "i64", "expected int64, got boolean"),
			{Name: "torn", Record: []byte("{\n\"i64\": 1"), Code: "truncated", Reason: "ends where ',' or '}' was expected", Ends: true},
		},
	}
	for _, r := range everyRecord {
		c.Records = append(c.Records, []byte(strings.ReplaceAll(r, `,"`, ",\r\n\t\"")+"\n"))
	}
	codectest.Run(t, c)
}

func FuzzDecode(f *testing.F) {
	codectest.Fuzz(f, codectest.Case{Format: Format, Set: settings("layout", "lines"), Schema: everyKind, Records: lines(everyRecord...), Rows: everyRow, Bad: badLines})
}
