package json

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/gorge-stream/gorge/internal/codec"
)

// fault says why a record was refused. The sentence is made only when somebody
// is going to read it: a line that one shape refuses is often good in another.
type fault struct {
	code string
	what string // what was expected, or the whole sentence
	col  int    // index of the column at fault, or -1
	pos  int    // byte of the record
	end  int    // behind the value at fault, or 0
	kind faultKind
}

type faultKind uint8

const (
	faultPlain    faultKind = iota // what is the sentence
	faultExpected                  // what was expected, and what stands there
	faultType                      // the column's type was expected, and what stands there
	faultValue                     // the value at pos, and what is wrong with it
)

// fail records a fault that is told by a fixed sentence and returns -1.
func (p *parser) fail(code string, pos int, what string) int {
	p.fault = fault{code: code, what: what, col: -1, pos: pos}
	return -1
}

// expected records that something else stands at pos, or nothing, and returns -1.
func (p *parser) expected(line []byte, pos int, what string) int {
	code := "syntax"
	if pos >= len(line) {
		code = "truncated"
	}
	p.fault = fault{code: code, what: what, col: -1, pos: pos, kind: faultExpected}
	return -1
}

// mismatch records that the value at pos is not of the column's type and returns -1.
func (p *parser) mismatch(col, pos int) int {
	p.fault = fault{code: "type", col: col, pos: pos, kind: faultType}
	return -1
}

// refuse records that the value [pos, end) cannot be taken and returns -1.
func (p *parser) refuse(code string, col, pos, end int, what string) int {
	p.fault = fault{code: code, what: what, col: col, pos: pos, end: end, kind: faultValue}
	return -1
}

// bad makes the record's report; Offset, Line and Bytes are the caller's.
func (p *parser) bad(line []byte) codec.BadRecord {
	f := &p.fault
	r := codec.BadRecord{Code: f.code}
	at := ""
	if f.col >= 0 {
		r.Column = p.columns[f.col].Name
		at = "column " + r.Column + ": "
	}
	switch f.kind {
	case faultPlain:
		r.Reason = at + f.what
	case faultExpected:
		if f.pos >= len(line) {
			r.Reason = fmt.Sprintf("%sthe record ends where %s was expected", at, f.what)
		} else {
			r.Reason = fmt.Sprintf("%sbyte %d: expected %s, got %s", at, f.pos+1, f.what, show(line[f.pos:]))
		}
	case faultType:
		r.Reason = fmt.Sprintf("%sexpected %s, got %s", at, p.columns[f.col].expects, kindAt(line, f.pos))
	case faultValue:
		v := line[f.pos:f.end]
		dots := ""
		if len(v) > 40 {
			v, dots = v[:40], "..."
			for len(v) > 0 && !utf8.Valid(v) {
				v = v[:len(v)-1]
			}
		}
		r.Reason = fmt.Sprintf("%s%s%s %s", at, v, dots, f.what)
	}
	return r
}

// show describes the first character of b.
func show(b []byte) string {
	r, n := utf8.DecodeRune(b)
	if r == utf8.RuneError && n <= 1 {
		return fmt.Sprintf("byte 0x%02X", b[0])
	}
	return fmt.Sprintf("%q", r)
}

// word reports whether b begins with w and not with a longer word.
func word(b []byte, w string) bool {
	if len(b) < len(w) || string(b[:len(w)]) != w {
		return false
	}
	return len(b) == len(w) || bytes.IndexByte([]byte(" \t\r\n,]}"), b[len(w)]) >= 0
}

// kindAt names the JSON type of the value at pos, or what else stands there.
func kindAt(line []byte, pos int) string {
	if pos >= len(line) {
		return "nothing"
	}
	if kind := valueAt(line, pos); kind != "" {
		return kind
	}
	return show(line[pos:])
}

// valueAt names the JSON type of the value that begins at pos, or returns "".
func valueAt(line []byte, pos int) string {
	if pos >= len(line) {
		return ""
	}
	switch c := line[pos]; {
	case c == '"':
		return "string"
	case c == '{':
		return "object"
	case c == '[':
		return "array"
	case word(line[pos:], "true") || word(line[pos:], "false"):
		return "boolean"
	case word(line[pos:], "null"):
		return "null"
	case c == '-' || c-'0' <= 9:
		return "number"
	}
	return ""
}
