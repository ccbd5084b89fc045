package csv

import "bytes"

// extent is where a record ends.
type extent struct {
	end    int  // of its text, without the line end
	next   int  // where the next record begins
	quoted bool // it holds quotes
	// whole tells that the record ends within the bytes seen, whatever follows
	// them. A record that is not whole reaches to their end.
	whole bool
	// code and reason tell why the record has no meaning; then it is one line. code is empty otherwise.
	code, reason string
}

const (
	reasonStray  = "a quote within a field that does not begin with one"
	reasonBehind = "a closing quote that is not followed by the delimiter or the end of the record"
	reasonOpen   = "a quote that is not closed, or not where its field ends"
	reasonLong   = "the record is longer than the limit"
)

// extent finds the end of the record that begins at start. It decides by the
// bytes of the record alone, and never otherwise when more bytes follow, with
// one exception that the end of a split brings: a quote still open when b ends,
// within the limit, is not whole. What it says of a record that is one line for
// its faults depends on that line alone, so that blocks may end behind it.
func (d dialect) extent(b []byte, start int) extent {
	line := d.line(b, start)
	if line.code == "" {
		if quote := bytes.IndexByte(b[start:line.end], '"'); quote >= 0 {
			return d.quoted(b, start, start+quote, line)
		}
	}
	return line
}

// line is extent for a record without quotes: a line.
func (d dialect) line(b []byte, start int) extent {
	e := extent{end: len(b), next: len(b)}
	if nl := bytes.IndexByte(b[start:], '\n'); nl >= 0 {
		e = extent{end: start + nl, next: start + nl + 1, whole: true}
	}
	if e.end > start && b[e.end-1] == '\r' {
		e.end--
	}
	if e.end-start > d.limit {
		e.code, e.reason = "too_long", reasonLong
	}
	return e
}

// quoted is extent for a record whose first line is given and whose first quote is at i.
func (d dialect) quoted(b []byte, start, i int, line extent) extent {
	bad := func(reason string) extent {
		if i > line.end {
			reason = reasonOpen
		}
		line.quoted, line.code, line.reason = true, "syntax", reason
		return line
	}
	for {
		// i is at a quote outside quotes, and no newline is between it and the field before
		if i > start && b[i-1] != d.delimiter {
			return bad(reasonStray)
		}
		i = closing(b, i+1)
		if i > len(b) || i-start > d.limit {
			e := bad(reasonOpen)
			e.whole = e.whole && (i <= len(b) || len(b)-start >= d.limit+2) // else it may still be closed within the limit
			return e
		}
		// the field has ended; the record goes on to the next newline or quote
		e := d.line(b, i)
		quote := bytes.IndexByte(b[i:e.end], '"')
		switch {
		case e.end > i && b[i] != d.delimiter:
			return bad(reasonBehind)
		case quote >= 0:
			i += quote
		case e.end-start > d.limit:
			i = e.end
			return bad(reasonOpen)
		default:
			return extent{end: e.end, next: e.next, quoted: true, whole: e.whole}
		}
	}
}

// closing returns the index behind the quote that closes the field whose text
// begins at i, or len(b)+1 when it is not there.
func closing(b []byte, i int) int {
	for {
		q := bytes.IndexByte(b[i:], '"')
		if q < 0 {
			return len(b) + 1
		}
		i += q + 1
		if i == len(b) || b[i] != '"' {
			return i
		}
		i++
	}
}

// cut returns the length of the whole records of b; see codec.Frame.
func (d dialect) cut(b []byte) int {
	at := 0
	for {
		quote := bytes.IndexByte(b[at:], '"')
		if quote < 0 {
			return at + bytes.LastIndexByte(b[at:], '\n') + 1
		}
		// lines before that of the first quote are records
		at += bytes.LastIndexByte(b[at:at+quote], '\n') + 1
		e := d.extent(b, at)
		if !e.whole {
			return at
		}
		at = e.next
	}
}
