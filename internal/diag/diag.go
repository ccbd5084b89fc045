// Package diag holds what Gorge tells a person when something is refused: a
// stable code, one sentence, the place in the user's file, the cause and a hint.
//
// It formats; it knows no file system, terminal or logger. Colour is the
// printer's business and never carries meaning alone.
package diag

import (
	"errors"
	"fmt"
	"strings"
)

// Code is the stable name of one kind of error, such as "plan/unknown-key".
// A code never changes its meaning; docs/reference/errors.md lists them all.
type Code string

// Place is a position in a file of the user; lines and columns count from 1.
// The zero Place is "nowhere".
type Place struct {
	File   string
	Line   int
	Column int
	Width  int    // characters to underline, at least 1
	Source string // the text of the line
}

// Error is one refusal. Return it or log it, never both.
type Error struct {
	Code     Code
	Sentence string // one sentence, without a full stop
	Place    Place
	Cause    error  // may be nil
	Hint     string // what to do, with a command where there is one; may be empty
}

// New makes an error without a place.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Sentence: fmt.Sprintf(format, args...)}
}

// WithHint sets the hint and returns e.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// WithCause sets the cause and returns e.
func (e *Error) WithCause(err error) *Error {
	e.Cause = err
	return e
}

// At sets the place and returns e.
func (e *Error) At(p Place) *Error {
	e.Place = p
	return e
}

// Error returns code, sentence, place and cause on one line.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Place.File != "" {
		fmt.Fprintf(&b, "%s:%d:%d: ", e.Place.File, e.Place.Line, e.Place.Column)
	}
	fmt.Fprintf(&b, "%s [%s]", e.Sentence, e.Code)
	if e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// List is several errors found in one go. It is never returned empty: use Err.
type List []*Error

// Add appends e.
func (l *List) Add(e *Error) { *l = append(*l, e) }

// Err returns the list as an error, or nil when it is empty.
func (l List) Err() error {
	if len(l) == 0 {
		return nil
	}
	return l
}

// Error returns the errors one per line.
func (l List) Error() string {
	s := make([]string, len(l))
	for i, e := range l {
		s[i] = e.Error()
	}
	return strings.Join(s, "\n")
}

// Unwrap returns the errors of the list.
func (l List) Unwrap() []error {
	out := make([]error, len(l))
	for i, e := range l {
		out[i] = e
	}
	return out
}

// Format writes err for a person: each diagnostic with its place, source line,
// caret, causes and hint; any other error as it is.
func Format(err error) string {
	var b strings.Builder
	var l List
	var e *Error
	switch {
	case err == nil:
	case errors.As(err, &l):
		for i, e := range l {
			if i > 0 {
				b.WriteByte('\n')
			}
			e.format(&b)
		}
	case errors.As(err, &e):
		e.format(&b)
		// What was wrapped around the diagnostic says which part met it.
		if in, ok := strings.CutSuffix(err.Error(), ": "+e.Error()); ok {
			fmt.Fprintf(&b, "  in: %s\n", in)
		}
	default:
		fmt.Fprintf(&b, "error: %v\n", err)
	}
	return b.String()
}

func (e *Error) format(b *strings.Builder) {
	fmt.Fprintf(b, "error[%s]: %s\n", e.Code, e.Sentence)
	if p := e.Place; p.File != "" {
		fmt.Fprintf(b, "  --> %s:%d:%d\n", p.File, p.Line, p.Column)
		if p.Source != "" {
			n := fmt.Sprintf("%d", p.Line)
			pad := strings.Repeat(" ", len(n))
			lead := indent(p.Source, p.Column-1)
			fmt.Fprintf(b, " %s |\n %s | %s\n %s | %s%s\n", pad, n, p.Source, pad, lead, strings.Repeat("^", max(p.Width, 1)))
		}
	}
	causes(b, e.Cause)
	if e.Hint != "" {
		fmt.Fprintf(b, "  hint: %s\n", e.Hint)
	}
}

// causes writes what err says on a line, and what a diagnostic within it says on
// the next: its code and place are not those of the user's error.
func causes(b *strings.Builder, err error) {
	for err != nil {
		text := err.Error()
		var next error
		var inner *Error
		if errors.As(err, &inner) {
			next = inner.Cause
			head := strings.TrimSuffix(strings.TrimSuffix(text, inner.Error()), ": ")
			if text = inner.Sentence; head != "" {
				text = head + ": " + text
			}
		}
		fmt.Fprintf(b, "  because: %s\n", strings.ReplaceAll(text, "\n", "\n    "))
		err = next
	}
}

// indent returns white space as wide as the first n characters of line.
func indent(line string, n int) string {
	var b strings.Builder
	for i, r := range []rune(line) {
		if i >= n {
			break
		}
		if r == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String()
}
