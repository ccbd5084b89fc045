package csv

import (
	"math"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/codec/codectest"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

func settings(pairs ...any) *spec.Values {
	m := map[string]spec.Value{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = spec.Value{V: pairs[i+1], Set: true}
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

const everyHeader = "b,i32,i64,f32,f64,s,bin,t\n"

var everyRecord = []string{
	"true,1,2,0.5,1.25,text,AAEC,2026-01-31T09:30:00Z\n",
	"FALSE,-2147483648,-9223372036854775808,-0,1e300,\"\",\"\",1969-12-31T23:59:59.9999999Z\r\n",
	"\n\r\n,,,,,a text of more than twelve bytes,//8=,2026-01-31 15:00:00.25+05:30\n",
	"\"false\",007,9223372036854775807.0,16777217.000000001,17.000000000000004,\"é,\n\"\"\r\n日本😀\",,2026-01-31\n",
	",0.7e1,+5,nan,-Inf,\"\"\"\",\"AA==\",2026-01-31T09:30\n",
	"\"true\",\"-5\",\"-0.0\",.5,5.,\" blank \",,\"0000-01-01T00:00:00Z\"\n",
	",,,,,,,\n",
}

var everyRow = [][]any{
	{true, int32(1), int64(2), float32(0.5), 1.25, "text", []byte{0, 1, 2}, int64(1769851800000000)},
	{false, int32(-2147483648), int64(math.MinInt64), float32(math.Copysign(0, -1)), 1e300, "", []byte{}, int64(-1)},
	{nil, nil, nil, nil, nil, "a text of more than twelve bytes", []byte{0xff, 0xff}, int64(1769851800250000)},
	{false, int32(7), int64(math.MaxInt64), float32(16777218), 17.000000000000004, "é,\n\"\r\n日本😀", nil, int64(1769817600000000)},
	{nil, int32(7), int64(5), float32(math.NaN()), math.Inf(-1), "\"", []byte{0}, int64(1769851800000000)},
	{true, int32(-5), int64(0), float32(0.5), 5.0, " blank ", nil, int64(minTime)},
	{nil, nil, nil, nil, nil, nil, nil, nil},
}

func byteses(records []string) [][]byte {
	var out [][]byte
	for _, r := range records {
		out = append(out, []byte(r))
	}
	return out
}

func bad(name, record, code, column, reason string) codectest.BadCase {
	return codectest.BadCase{Name: name, Record: []byte(record + "\n"), Code: code, Column: column, Reason: reason}
}

func limited(n int, b codectest.BadCase) codectest.BadCase {
	b.Limits = codec.Limits{RecordBytes: n}
	return b
}

// with returns a record whose field i is text and whose other fields are null.
func with(i int, text string) string {
	f := make([]string, len(everyKind))
	f[i] = text
	return strings.Join(f, ",")
}

var badRecords = []codectest.BadCase{
	bad("too few fields", ",,,", "syntax", "", "the record has 4 fields, and the header has 8"),
	bad("one field", "x", "syntax", "", "the record has 1 field, and the header has 8"),
	bad("too many fields", with(7, ",,"), "syntax", "", "the record has 10 fields"),
	bad("too many quoted fields", `"",,,,,,,,"a,b"`, "syntax", "", "the record has 9 fields"),
	bad("shifted by a field", "text,,,,,,,,", "syntax", "", "the record has 9 fields"),
	bad("quote within a field", with(5, `5" pipe`), "syntax", "", "a quote within a field"),
	bad("quote behind a blank", with(5, ` "x"`), "syntax", "", "a quote within a field"),
	bad("text behind a quote", with(5, `"x" y`), "syntax", "", "a closing quote that is not followed"),
	bad("carriage return behind a quote", with(5, "\"x\"\ry"), "syntax", "", "a closing quote that is not followed"),
	bad("no bool", with(0, "yes"), "type", "b", `"yes" is neither true nor false`),
	bad("no int32", with(1, "1x"), "type", "i32", `column i32: "1x" is no number`),
	bad("empty quoted number", with(1, `""`), "type", "i32", `"" is no number`),
	bad("fraction for an integer", with(2, "1.5"), "type", "i64", "is not a whole number, as int64 needs"),
	bad("blank before a number", with(2, " 1"), "type", "i64", "is no number"),
	bad("int32 too large", with(1, "2147483648"), "range", "i32", `"2147483648" is out of range for int32`),
	bad("int64 too large", with(2, "9223372036854775808"), "range", "i64", "out of range for int64"),
	bad("int64 far too small", with(2, "-1e99999999999999999999"), "range", "i64", "out of range for int64"),
	bad("float with two points", with(4, "1.2.3"), "type", "f64", "is no number"),
	bad("hexadecimal", with(4, "0x1p3"), "type", "f64", "is no number"),
	bad("underscore", with(4, "1_0"), "type", "f64", "is no number"),
	bad("bare exponent", with(4, "1e"), "type", "f64", "is no number"),
	bad("sign alone", with(4, "-"), "type", "f64", "is no number"),
	bad("point alone", with(4, "."), "type", "f64", "is no number"),
	bad("float64 too large", with(4, "1e400"), "range", "f64", "out of range for float64"),
	bad("float32 too large", with(3, "3.5e38"), "range", "f32", "out of range for float32"),
	bad("no base64", with(6, "A"), "type", "bin", "is not base64"),
	bad("no timestamp", with(7, "yesterday"), "type", "t", `"yesterday" is not a timestamp`),
	bad("a day that is none", with(7, "2026-02-29T00:00:00Z"), "type", "t", "is not a timestamp"),
	bad("an hour that is none", with(7, "2026-02-28T24:00:00Z"), "type", "t", "is not a timestamp"),
	bad("a zone that is none", with(7, "2026-02-28T23:00:00+1"), "type", "t", "is not a timestamp"),
	bad("before the year 0", with(7, "0000-01-01T00:00:00+00:01"), "range", "t", "outside the years 0 to 9999"),
	bad("invalid UTF-8", with(5, "M\xfcnchen"), "utf8", "", "not valid UTF-8"),
	bad("invalid UTF-8 in quotes", with(5, "\"\xff\""), "utf8", "", "not valid UTF-8"),
	limited(300, bad("too long", with(5, strings.Repeat("y", 294)), "too_long", "", "longer than the limit")),
	limited(300, bad("too long in quotes", with(5, `"`+strings.Repeat("y", 292)+`"`), "too_long", "", "longer than the limit")),
	limited(300, bad("far too long in quotes", with(5, `"`+strings.Repeat("y", 1000)+`"`), "too_long", "", "longer than the limit")),
	bad("long value", with(4, strings.Repeat("é", 50)), "type", "f64", `éé"... is no number`),
}

func everyCase() codectest.Case {
	return codectest.Case{
		Format: Format, Preamble: []byte(everyHeader), Schema: everyKind, Bad: badRecords,
		Records: byteses(everyRecord), Rows: everyRow,
	}
}

func TestConformance(t *testing.T) {
	t.Run("header", func(t *testing.T) { codectest.Run(t, everyCase()) })
	t.Run("no header", func(t *testing.T) {
		c := everyCase()
		c.Set, c.Preamble, c.Bad = settings("header", false), nil, c.Bad[5:]
		codectest.Run(t, c)
	})
	t.Run("another dialect", func(t *testing.T) {
		c := everyCase()
		c.Set = settings("delimiter", "\t", "null", "NA", "timestamps", "rfc3339")
		c.Preamble = []byte("\ufeff" + strings.ReplaceAll(everyHeader, ",", "\t"))
		c.Records, c.Rows, c.Bad = byteses([]string{
			"NA\tNA\tNA\tNA\tNA\tNA\tNA\tNA\n",
			"true\t1\t1\t1\t1\t\"NA\"\t\"\"\t2026-01-31\r\n",
			"true\t1\t1\t1\t1\t\t\t2026-01-31\n",
			"true\t1\t1\t1\t1\ta,\"\"b\t\t2026-01-31\n"}[:3]), [][]any{
			{nil, nil, nil, nil, nil, nil, nil, nil},
			{true, int32(1), int64(1), float32(1), 1.0, "NA", []byte{}, int64(1769817600000000)},
			{true, int32(1), int64(1), float32(1), 1.0, "", []byte{}, int64(1769817600000000)},
		}, []codectest.BadCase{bad("empty number", "true\t\t1\t1\t1\t\t\t2026-01-31", "type", "i32", "is no number")}
		codectest.Run(t, c)
	})
	t.Run("delimiter within values", func(t *testing.T) {
		c := everyCase()
		c.Set, c.Bad = settings("delimiter", ":"), nil
		c.Preamble = []byte(strings.ReplaceAll(everyHeader, ",", ":"))
		c.Records, c.Rows = byteses([]string{"true:1:1:1:1:x:AAEC:\"2026-01-31T09:30:00Z\"\n"}),
			[][]any{{true, int32(1), int64(1), float32(1), 1.0, "x", []byte{0, 1, 2}, int64(1769851800000000)}}
		codectest.Run(t, c)
	})
	t.Run("one column", func(t *testing.T) {
		codectest.Run(t, codectest.Case{
			Format: Format, Preamble: []byte("s\r\n"), Schema: []codec.Column{{Name: "s", Kind: batch.String}},
			Records: byteses([]string{"a\n", "\"\"\n", "\n\"x\"\n"}), Rows: [][]any{{"a"}, {""}, {"x"}},
		})
	})
}

func FuzzDecode(f *testing.F) { codectest.Fuzz(f, everyCase()) }
