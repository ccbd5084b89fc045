package stdio

import (
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gorge-stream/gorge/internal/batch"
)

const (
	maxWidth    = 40  // of a column; longer values are cut
	maxPending  = 200 // rows that wait for a Flush
	headerEvery = 50  // rows until the header is shown again
)

// table lays rows out for a person. Widths grow with the values seen and never
// shrink; the header is shown again when they grew, after another sink wrote,
// and from time to time.
type table struct {
	name   string
	fields []field
	cells  []string // of the pending rows, one row after the other
	since  int      // rows since the header
	begun  bool
}

// field is a visible column.
type field struct {
	column int
	name   string
	kind   batch.Kind
	right  bool // aligned to the right
	width  int
}

func newTable(name string, schema *batch.Schema) *table {
	t := &table{name: printable(name)}
	for i, f := range schema.Fields {
		if f.Name != "" {
			n := printable(f.Name)
			t.fields = append(t.fields, field{i, n, f.Kind, f.Kind.Numeric(), width(n)})
		}
	}
	return t
}

// add takes a row in and reports whether it is time to render.
func (t *table) add(b *batch.Batch, row int) bool {
	for _, f := range t.fields {
		t.cells = append(t.cells, text(f.kind, b.Col(f.column), row))
	}
	return len(t.cells) >= maxPending*max(len(t.fields), 1)
}

// render appends the pending rows to dst, below a header where one is needed.
// uninterrupted tells that the rows before are right above.
func (t *table) render(dst []byte, uninterrupted bool) []byte {
	if len(t.cells) == 0 {
		return dst
	}
	grown := false
	for i, c := range t.cells {
		if f := &t.fields[i%len(t.fields)]; width(c) > f.width {
			f.width = width(c)
			grown = true
		}
	}
	if !t.begun || grown || !uninterrupted || t.since >= headerEvery {
		dst = t.header(dst)
	}
	n := len(t.fields)
	for ; len(t.cells) > 0; t.cells = t.cells[n:] {
		dst = t.line(dst, t.cells[:n])
		t.since++
	}
	t.cells = nil
	return dst
}

func (t *table) header(dst []byte) []byte {
	if t.begun {
		dst = append(dst, '\n')
	}
	t.begun, t.since = true, 0
	if t.name != "" {
		dst = append(append(append(dst, "# "...), t.name...), '\n')
	}
	names, rules := make([]string, len(t.fields)), make([]string, len(t.fields))
	for i, f := range t.fields {
		names[i], rules[i] = f.name, strings.Repeat("-", f.width)
	}
	return t.line(t.line(dst, names), rules)
}

// line appends one line, without blanks at its end.
func (t *table) line(dst []byte, cells []string) []byte {
	for i, c := range cells {
		if i > 0 {
			dst = append(dst, "  "...)
		}
		pad := strings.Repeat(" ", t.fields[i].width-width(c))
		switch {
		case t.fields[i].right:
			dst = append(append(dst, pad...), c...)
		case i == len(cells)-1:
			dst = append(dst, c...)
		default:
			dst = append(append(dst, c...), pad...)
		}
	}
	return append(dst, '\n')
}

// text returns a value as a person should see it.
func text(kind batch.Kind, c *batch.Column, row int) string {
	if c.IsNull(row) {
		return "NULL"
	}
	switch kind {
	case batch.Bool:
		return strconv.FormatBool(c.Bool(row))
	case batch.Int32:
		return strconv.FormatInt(int64(c.Int32s()[row]), 10)
	case batch.Int64:
		return strconv.FormatInt(c.Int64s()[row], 10)
	case batch.Float32:
		return number(float64(c.Float32s()[row]))
	case batch.Float64:
		return number(c.Float64s()[row])
	case batch.Timestamp:
		return time.UnixMicro(c.Int64s()[row]).UTC().Format(time.RFC3339Nano)
	case batch.Binary:
		if b := c.Bytes(row); !utf8.Valid(b) {
			return shorten("0x" + hex.EncodeToString(b[:min(len(b), maxWidth)]))
		}
	}
	return shorten(printable(string(c.Bytes(row)[:min(c.Views()[row].Len(), 8*maxWidth)])))
}

// number shows six digits that matter, plainly where that is readable.
func number(v float64) string {
	a := math.Abs(v)
	if a != 0 && (a < 1e-4 || a >= 1e15) || math.IsNaN(v) {
		return strconv.FormatFloat(v, 'g', 6, 64)
	}
	decimals := 6
	if a >= 1 {
		decimals = max(5-int(math.Log10(a)), 0)
	}
	s := strconv.FormatFloat(v, 'f', decimals, 64)
	if decimals > 0 {
		s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// printable replaces what is no printable character by an escape.
func printable(s string) string {
	clean := true
	for _, r := range s {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			clean = false
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		if r == utf8.RuneError || unicode.IsPrint(r) {
			if r == utf8.RuneError && s[i] != "\uFFFD"[0] {
				b.WriteString(`\x` + hex.EncodeToString([]byte{s[i]}))
				continue
			}
			b.WriteRune(r)
			continue
		}
		q := strconv.QuoteRuneToASCII(r)
		b.WriteString(q[1 : len(q)-1])
	}
	return b.String()
}

// shorten cuts a text to the widest that a column gets.
func shorten(s string) string {
	if width(s) <= maxWidth {
		return s
	}
	w := 0
	for i, r := range s {
		if w += runeWidth(r); w > maxWidth-1 {
			return s[:i] + "…"
		}
	}
	return s
}

// width returns how many places a text takes on a terminal.
func width(s string) int {
	w := 0
	for _, r := range s {
		w += runeWidth(r)
	}
	return w
}

// runeWidth is right for the scripts that matter most; there is no table of all.
func runeWidth(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana), r >= 0x1F300 && r <= 0x1FAFF, r >= 0xFF01 && r <= 0xFF60:
		return 2
	}
	return 1
}
