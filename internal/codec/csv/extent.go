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
	reasonStray    = "a quote within a field that does not begin with one"
	reasonBehind   = "a closing quote that is not followed by the delimiter or the end of the record"
	reasonUnclosed = "a quote that is not closed"
	reasonLong     = "the record is longer than the limit"
)

// extent finds the end of the record that begins at start. It decides by the
// bytes of the record alone, and never otherwise when more bytes follow, with
// one exception that the end of a split brings: a quote still open when b ends,
// within the limit, is not whole.
func (d dialect) extent(b []byte, start int) extent {
	nl := bytes.IndexByte(b[start:], '\n')
	line := extent{end: len(b), next: len(b)}
	if nl >= 0 {
		line = extent{end: start + nl, next: start + nl + 1, whole: true}
	}
	if e := line.end - 1; e >= start && b[e] == '\r' {
		line.end = e
	}
	if quote := bytes.IndexByte(b[start:line.end], '"'); quote >= 0 {
		return d.quoted(b, start, start+quote, line)
	}
	if line.end-start > d.limit {
		line.code, line.reason = "too_long", reasonLong
	}
	return line
}

// quoted is extent for a record whose first line is given and whose first quote is at i.
func (d dialect) quoted(b []byte, start, i int, line extent) extent {
	line.quoted = true
	bad := func(code, reason string) extent {
		line.code, line.reason = code, reason
		return line
	}
	for {
		// i is at a quote outside quotes, and no newline is between it and the field before
		if i-start > d.limit {
			return bad("too_long", reasonLong)
		}
		if i > start && b[i-1] != d.delimiter {
			return bad("syntax", reasonStray)
		}
		i = closing(b, i+1)
		switch {
		case i > len(b): // still open
			if len(b)-start >= d.limit+2 {
				return bad("too_long", reasonLong)
			}
			e := bad("syntax", reasonUnclosed)
			e.whole = false
			return e
		case i-start > d.limit:
			return bad("too_long", reasonLong)
		case i == len(b):
			return d.last(extent{end: i, next: i, quoted: true}, start, line)
		}
		switch {
		case b[i] == '\n':
			return d.last(extent{end: i, next: i + 1, quoted: true, whole: true}, start, line)
		case b[i] == '\r' && i+1 == len(b):
			return d.last(extent{end: i, next: i + 1, quoted: true}, start, line)
		case b[i] == '\r' && b[i+1] == '\n':
			return d.last(extent{end: i, next: i + 2, quoted: true, whole: true}, start, line)
		case b[i] != d.delimiter:
			return bad("syntax", reasonBehind)
		}
		// on to the next quote or the end of the record
		rest := b[i:]
		nl := bytes.IndexByte(rest, '\n')
		if nl >= 0 {
			rest = rest[:nl]
		}
		quote := bytes.IndexByte(rest, '"')
		if quote < 0 {
			e := extent{end: i + len(rest), next: min(i+len(rest)+1, len(b)), quoted: true, whole: nl >= 0}
			if b[e.end-1] == '\r' {
				e.end--
			}
			return d.last(e, start, line)
		}
		i += quote
	}
}

// last checks the length of a record whose quotes are right.
func (d dialect) last(e extent, start int, line extent) extent {
	if e.end-start > d.limit {
		line.code, line.reason = "too_long", reasonLong
		return line
	}
	return e
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
