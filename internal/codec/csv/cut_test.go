package csv

import (
	"bytes"
	stdcsv "encoding/csv"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/codec/codectest"
)

var comma = dialect{delimiter: ',', limit: 50}

func TestCutFindsTheLastEndOfARecord(t *testing.T) {
	for _, c := range []struct{ whole, rest string }{
		{"", ""},
		{"", "a,b"},
		{"a\n", ""},
		{"a\nb\n", "c"},
		{"a\r\n", "b\r"},
		{"", `a,"b` + "\n"},
		{"x\n", `a,"b` + "\nc\n"},
		{`a,"b` + "\n" + `c"` + "\n", ""},
		{`a,"b` + "\n" + `c",d` + "\n", "e"},
		{`"a""` + "\n" + `"",""",b` + "\r\n", `"`},
		{"", `"a"` + "\r"},         // a newline may follow
		{"x\n", `"a"`},             // another quote may follow
		{`"a` + "\n", `"b` + "\n"}, // the quotes are wrong: a line is a record
		{`5" pipe` + "\n", `"x`},   // so here
		{`"a` + "\n" + strings.Repeat("b", 60) + "\n", "c"}, // over the limit
		{"", `"a` + strings.Repeat("b", 60)},
	} {
		if n := comma.cut([]byte(c.whole + c.rest)); n != len(c.whole) {
			t.Errorf("%q is cut at %d, want %d", c.whole+c.rest, n, len(c.whole))
		}
	}
}

func TestPreambleIsMarkAndHeader(t *testing.T) {
	for _, c := range []struct {
		in              string
		header, without int
	}{
		{"", -1, -1},
		{"\xEF\xBB", -1, -1},
		{"a,b", -1, 0},
		{"a,b\n1,2\n", 4, 0},
		{"a,b\r\n1,2\n", 5, 0},
		{"\n\r\n\na\n1\n", 6, 0},
		{"\xEF\xBB\xBFa\n1\n", 5, 3},
		{"\"a\nb\",c\n1,2\n", 8, 0},
		{"\"a\nb", -1, 0},
		{"a\"b\n1\n", 4, 0},
	} {
		if n := (dialect{delimiter: ',', limit: 50, header: true}).preamble([]byte(c.in)); n != c.header {
			t.Errorf("preamble of %q is %d, want %d", c.in, n, c.header)
		}
		if n := comma.preamble([]byte(c.in)); n != c.without {
			t.Errorf("without header the preamble of %q is %d, want %d", c.in, n, c.without)
		}
	}
}

var texts = []codec.Column{{Name: "a", Kind: batch.String}, {Name: "b", Kind: batch.String}}

func textDecoder(t testing.TB, limit int) codec.Decoder {
	t.Helper()
	d, err := Format.NewDecoder(settings("header", false), texts, texts, codec.Limits{RecordBytes: limit})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// pieces decodes data in blocks as a source with a buffer of the size makes
// them, that grows when no record ends in it.
func pieces(t testing.TB, data []byte, size, limit int) (rows [][]any, bad []codec.BadRecord) {
	t.Helper()
	d, f := textDecoder(t, limit), Format.Frame(settings("header", false), codec.Limits{RecordBytes: limit})
	for at := 0; at < len(data); {
		n, skip := 0, 0
		for window := size; n == 0; window *= 2 {
			b := data[at:min(at+window, len(data))]
			switch n = f.Cut(b); {
			case at+len(b) == len(data):
				n = len(b)
			case n == 0 && len(b) >= limit+2:
				n = limit + 2
				if bytes.IndexByte(b[:n], '\n') >= 0 {
					t.Fatalf("no cut in %d bytes that hold a newline: %q", len(b), b)
				}
				skip = bytes.IndexByte(data[at+n:], '\n') + 1
				if skip == 0 {
					skip = len(data) - at - n
				}
			}
		}
		r, b := codectest.Decode(t, d, texts, data[at:at+n], 16, 0)
		for i := range b {
			b[i].Offset += int64(at)
			b[i].Line = 0
		}
		rows, bad = append(rows, r...), append(bad, b...)
		at += n + skip
	}
	return rows, bad
}

// checkPieces holds that the cuts change nothing.
func checkPieces(t testing.TB, data []byte, size, limit int) {
	t.Helper()
	rows, bad := codectest.Decode(t, textDecoder(t, limit), texts, data, 16, 0)
	rows2, bad2 := pieces(t, data, size, limit)
	if diff := codectest.EqualRows(rows2, rows); diff != "" {
		t.Fatalf("blocks of %d, limit %d: %s\ndata %q", size, limit, diff, data)
	}
	if len(bad) != len(bad2) {
		t.Fatalf("blocks of %d, limit %d: %d bad records, at once %d\ndata %q", size, limit, len(bad2), len(bad), data)
	}
	for i := range bad {
		a, b := bad[i], bad2[i]
		if a.Code != b.Code || a.Reason != b.Reason || a.Offset != b.Offset || !bytes.Equal(a.Bytes, b.Bytes) {
			t.Fatalf("blocks of %d, limit %d: bad record %+v, at once %+v\ndata %q", size, limit, b, a, data)
		}
	}
}

// random makes text out of what CSV gives a meaning to.
func random(r *rand.Rand, n int) []byte {
	words := []string{`"`, `"`, `""`, ",", ",", "\n", "\n", "\r\n", "\r", "a", "bc", "é", "\xff", `"x",`, ",\"y\nz\"\n"}
	var b []byte
	for range n {
		b = append(b, words[r.IntN(len(words))]...)
	}
	return b
}

func TestCutsChangeNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 6_000 {
		checkPieces(t, random(r, 1+r.IntN(80)), 1+r.IntN(40), 3+r.IntN(60))
	}
}

func FuzzCuts(f *testing.F) {
	f.Add([]byte("a,b\n\"c\n\",d\n\"e,\nf,g\n"), uint8(3), uint8(20))
	f.Fuzz(func(t *testing.T, data []byte, size, limit uint8) { checkPieces(t, data, int(size)+1, int(limit)+3) })
}

// checkStandard compares with encoding/csv where that accepts all of the input,
// and holds that we refuse something where it does not. It turns a carriage return and newline within
// quotes into a newline and does not look at UTF-8; all else must be equal.
func checkStandard(t testing.TB, data []byte) (compared bool) {
	t.Helper()
	r := stdcsv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord = 2
	want, err := r.ReadAll()
	rows, bad := codectest.Decode(t, textDecoder(t, 1<<20), texts, data, 1000, 0)
	if err != nil {
		var p *stdcsv.ParseError
		if errors.As(err, &p) && len(bad) == 0 {
			t.Fatalf("encoding/csv says %v, and no record is bad\ndata %q\nrows %q", err, data, rows)
		}
		return false
	}
	if bytes.HasPrefix(data, byteOrderMark) || len(bad) > 0 && bad[0].Code == "utf8" {
		return false
	}
	for _, b := range bad {
		t.Errorf("bad record: %v\ndata %q", &b, data)
	}
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d\ndata %q", len(rows), len(want), data)
	}
	for i := range want {
		for j, w := range want[i] {
			if got := strings.ReplaceAll(rows[i][j].(string), "\r\n", "\n"); got != w {
				t.Fatalf("row %d field %d is %q, want %q\ndata %q", i, j, got, w, data)
			}
		}
	}
	return true
}

func TestStandardLibraryAgrees(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	compared := 0
	for range 40_000 {
		if checkStandard(t, random(r, 1+r.IntN(12))) {
			compared++
		}
	}
	for range 5_000 { // records that are right by construction
		var b bytes.Buffer
		w := stdcsv.NewWriter(&b)
		w.UseCRLF = r.IntN(2) == 0
		for range 1 + r.IntN(20) {
			if err := w.Write([]string{strings.ToValidUTF8(string(random(r, 1+r.IntN(6))), "?"), strings.ToValidUTF8(string(random(r, r.IntN(6))), "?")}); err != nil {
				t.Fatal(err)
			}
		}
		w.Flush()
		if checkStandard(t, b.Bytes()) {
			compared++
		}
	}
	if compared < 5_500 {
		t.Errorf("only %d inputs were right", compared)
	}
}

func FuzzStandard(f *testing.F) {
	f.Add([]byte("a,\"b\"\"\n\"\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) { checkStandard(t, data) })
}

func TestTheEncoderIsReadByTheStandardLibrary(t *testing.T) {
	e, err := Format.NewEncoder(settings(), codectest.Schema(texts))
	if err != nil {
		t.Fatal(err)
	}
	b := batch.NewPool(codectest.Schema(texts), 4).Get()
	defer b.Release()
	want := [][]string{{"a", "b"}, {"x,y", "\"\"\n"}, {"", " "}, {"", ""}, {"a\rb", "日本\tz"}}
	for i, row := range want[1:] {
		codectest.SetRow(b, i, []any{row[0], row[1]})
	}
	b.SetLen(4)
	out, err := e.Encode(e.Header(), b, 0, 4)
	if err != nil {
		t.Fatal(err)
	}
	got, err := stdcsv.NewReader(bytes.NewReader(out)).ReadAll()
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("%v\n%s", err, out)
	}
	if len(got) != len(want) {
		t.Fatalf("%q\n%s", got, out)
	}
	for i := range want {
		if got[i][0] != want[i][0] || got[i][1] != want[i][1] {
			t.Errorf("row %d is %q, want %q", i, got[i], want[i])
		}
	}
}
