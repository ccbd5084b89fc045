package plan

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gorge-stream/gorge/internal/diag"
)

// source is the text of the file, by lines.
type source struct {
	file  string
	lines []string
}

func newSource(file, text string) *source {
	text = strings.TrimPrefix(text, "\ufeff")
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return &source{file: file, lines: strings.Split(text, "\n")}
}

func (s *source) text() string { return strings.Join(s.lines, "\n") }

// maxShown is the longest line that a message shows, in characters.
const maxShown = 200

// place makes a place of at most the rest of the line; line and column count from 1.
func (s *source) place(line, column, width int) diag.Place {
	p := diag.Place{File: s.file, Line: max(line, 1), Column: max(column, 1), Width: 1}
	if line < 1 || line > len(s.lines) {
		return p
	}
	text := s.lines[line-1]
	length := utf8.RuneCountInString(text)
	p.Width = max(1, min(width, length-p.Column+1))
	if length <= maxShown {
		p.Source = text
	}
	return p
}

// scalarOrigin knows where the characters of a scalar come from, so that an
// error inside an expression points at its column in the file.
type scalarOrigin struct {
	src          *source // nil for text that is not from the file
	yaml         string  // the text before substitution
	line, column int     // of the first character behind an opening quote
	quote        rune    // 0 for plain and block scalars
	spans        []span  // substitutions in the text, ascending
}

// span is a piece of text that replaced a "${NAME}".
type span struct {
	from, to int // in the text after substitution
	at       int // of the "$" in the text before it
	width    int // of the "${NAME}"
}

// at returns the place of width bytes at an offset of the scalar's text. Where
// the way back cannot be told (rare escapes) it is the place of the whole scalar.
func (v *yamlValue) at(offset, width int) diag.Place {
	o := &v.origin
	offset = min(max(offset, 0), len(v.text))
	width = max(utf8.RuneCountInString(v.text[offset:min(len(v.text), offset+max(width, 1))]), 1)
	if o.src == nil {
		p := v.place
		if v.kind == yamlScalar && p.Column > 0 {
			p.Column += utf8.RuneCountInString(v.text[:offset])
			p.Width = width
		}
		return p
	}
	shift := 0
	for _, s := range o.spans {
		if offset < s.from {
			break
		}
		if offset < s.to {
			return o.find(s.at, s.width, v.place)
		}
		shift = s.at + s.width - s.to
	}
	return o.find(offset+shift, width, v.place)
}

// find walks the text and the file side by side: white space may differ (YAML
// folds lines and strips indentation), other characters are equal but for the
// escapes of quoted text.
func (o *scalarOrigin) find(offset, width int, fallback diag.Place) diag.Place {
	c := cursor{lines: o.src.lines, line: o.line - 1, column: o.column - 1}
	for i, r := range o.yaml {
		if i >= offset {
			break
		}
		if unicode.IsSpace(r) {
			continue
		}
		c.skipSpace()
		s := c.peek()
		if o.quote == '"' && s == '\\' {
			c.column++
			s = c.peek()
		}
		if s != r {
			return fallback
		}
		c.column++
		if o.quote == '\'' && r == '\'' {
			c.column++
		}
	}
	if offset < len(o.yaml) {
		c.skipSpace()
	}
	return o.src.place(c.line+1, c.column+1, width)
}

// cursor is a position in the lines of a file, counted from 0, in characters.
type cursor struct {
	lines        []string
	line, column int
	runes        []rune // of the line at
	at           int    // line number + 1 that runes belongs to
}

func (c *cursor) current() []rune {
	if c.at != c.line+1 {
		c.runes, c.at = []rune(c.lines[c.line]), c.line+1
	}
	return c.runes
}

func (c *cursor) peek() rune {
	if c.line >= len(c.lines) || c.column >= len(c.current()) {
		return 0
	}
	return c.runes[c.column]
}

func (c *cursor) skipSpace() {
	for c.line < len(c.lines) {
		switch {
		case c.column >= len(c.current()):
			c.line, c.column = c.line+1, 0
		case unicode.IsSpace(c.runes[c.column]):
			c.column++
		default:
			return
		}
	}
}
