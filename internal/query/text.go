package query

import (
	"encoding/csv"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of text for people.
const (
	sample   = 1000 // rows that decide the widths of the columns
	maxWidth = 60   // characters of a column; more are cut
)

// text writes columns for people. It keeps rows back until it knows the widths.
type text struct {
	out    io.Writer
	names  []string
	kept   [][]string
	widths []int // nil while rows are kept back
	number []bool
	line   strings.Builder
}

func (t *text) page(res *http.Response) (rows int, cursor string, err error) {
	r := csv.NewReader(res.Body)
	for first := true; ; first = false {
		record, err := r.Read()
		switch {
		case err == io.EOF:
			return rows, res.Trailer.Get(cursorTrailer), nil
		case err != nil:
			return rows, "", err
		case first:
			if t.names == nil {
				t.header(record)
			}
			continue
		}
		rows++
		if err := t.row(record); err != nil {
			return rows, "", err
		}
	}
}

func (t *text) header(names []string) { t.names = clean(names) }

func (t *text) row(row []string) error {
	row = clean(row)
	if t.widths != nil {
		return t.write(row)
	}
	t.kept = append(t.kept, row)
	if len(t.kept) < sample {
		return nil
	}
	return t.begin()
}

// begin measures the rows that were kept back and writes them.
func (t *text) begin() error {
	t.widths, t.number = make([]int, len(t.names)), make([]bool, len(t.names))
	for i, name := range t.names {
		t.widths[i], t.number[i] = utf8.RuneCountInString(name), true
		for _, row := range t.kept {
			if i < len(row) {
				t.widths[i] = max(t.widths[i], utf8.RuneCountInString(row[i]))
				t.number[i] = t.number[i] && (row[i] == "" || isNumber(row[i]))
			}
		}
	}
	rule := make([]string, len(t.names))
	for i, w := range t.widths {
		rule[i] = strings.Repeat("-", w)
	}
	for _, row := range slices.Concat([][]string{t.names, rule}, t.kept) {
		if err := t.write(row); err != nil {
			return err
		}
	}
	t.kept = nil
	return nil
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

func (t *text) write(row []string) error {
	t.line.Reset()
	for i, cell := range row {
		if i > 0 {
			t.line.WriteString("  ")
		}
		pad := 0
		if i < len(t.widths) {
			pad = max(0, t.widths[i]-utf8.RuneCountInString(cell))
		}
		if i < len(t.number) && t.number[i] {
			t.line.WriteString(strings.Repeat(" ", pad))
			pad = 0
		}
		t.line.WriteString(cell)
		if i < len(row)-1 {
			t.line.WriteString(strings.Repeat(" ", pad))
		}
	}
	t.line.WriteByte('\n')
	_, err := io.WriteString(t.out, t.line.String())
	return err
}

func (t *text) end() error {
	if t.widths == nil && t.names != nil {
		return t.begin()
	}
	return nil
}

// clean makes cells safe for a terminal and bounds their width.
func clean(row []string) []string {
	out := make([]string, len(row))
	for i, cell := range row {
		cell = strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return utf8.RuneError
			}
			return r
		}, cell)
		if utf8.RuneCountInString(cell) > maxWidth {
			cell = string([]rune(cell)[:maxWidth-1]) + "…"
		}
		out[i] = cell
	}
	return out
}
