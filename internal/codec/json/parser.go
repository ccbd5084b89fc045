package json

import (
	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
)

// parser is the general parser: it reads one record of any order and spelling
// into one row. It is the definition of what the codec accepts.
type parser struct {
	// constant after construction
	columns  []column
	index    map[string]int
	nullable []int // indexes of the nullable columns
	limits   codec.Limits

	dst      []*batch.Column // of the current batch, by column
	seen     []uint64        // by column: the number of the record that had it last
	record   uint64          // number of the current record
	names    nameMemo
	elements int // members and elements so far in the current record
	fault    fault
	scratch  []byte  // of unescaped text
	binary   []byte  // of decoded base64
	days     dayMemo // of RFC 3339 dates
}

// column is a column to fill.
type column struct {
	codec.Column
	expects string // for people: the type that a value must have
	scale   int    // of numeric timestamps: the power of ten that makes microseconds
}

func newParser(columns []codec.Column, limits codec.Limits) *parser {
	p := &parser{index: make(map[string]int, len(columns)), limits: limits.WithDefaults(), seen: make([]uint64, len(columns)), dst: make([]*batch.Column, len(columns))}
	for i, c := range columns {
		p.columns = append(p.columns, column{Column: c, expects: expects(c), scale: scales[c.Wire]})
		p.index[c.Name] = i
		if c.Nullable {
			p.nullable = append(p.nullable, i)
		}
	}
	return p
}

// use makes b the batch that rows are written to.
func (p *parser) use(b *batch.Batch) {
	for i := range p.dst {
		p.dst[i] = b.Col(i)
	}
}

// present marks all values of n rows as present: rows may have been written before in vain.
func (p *parser) present(row, n int) {
	for _, c := range p.nullable {
		if p.dst[c].HasNulls() {
			setBits(p.dst[c].Validity(), row, n)
		}
	}
}

// setBits sets n bits from bit i on.
func setBits(w []uint64, i, n int) {
	for n > 0 {
		k := min(n, 64-i&63)
		w[i>>6] |= ^uint64(0) >> (64 - uint(k)) << (uint(i) & 63)
		i += k
		n -= k
	}
}

// object reads the record into the row and reports whether it is good; if not,
// p.fault says why. The record must not be blank.
func (p *parser) object(line []byte, row int) bool {
	if len(line) > p.limits.RecordBytes {
		p.fail("too_long", 0, "the record is longer than the limit")
		return false
	}
	p.present(row, 1)
	p.record++
	p.elements = 0
	i := space(line, 0)
	if i >= len(line) || line[i] != '{' {
		p.expected(line, i, "an object")
		if kind := valueAt(line, i); kind != "" {
			p.fault = fault{code: "type", col: -1, pos: i, what: "expected an object, got " + kind}
		}
		return false
	}
	if i = p.members(line, space(line, i+1), row); i < 0 {
		return false
	}
	if i = space(line, i); i < len(line) {
		p.expected(line, i, "the end of the record")
		return false
	}
	return p.missing(row)
}

// members reads the members of the record from behind its brace to behind the closing one.
func (p *parser) members(line []byte, i, row int) int {
	if i < len(line) && line[i] == '}' {
		return i + 1
	}
	for {
		var col int
		if i, col = p.name(line, i); i < 0 {
			return i
		}
		if p.elements++; p.elements > p.limits.Elements {
			return p.fail("too_many", i, "the record has more members and elements than the limit")
		}
		if col < 0 {
			i = p.skip(line, i, 1)
		} else {
			p.seen[col] = p.record
			i = p.value(line, i, col, row)
		}
		if i < 0 {
			return i
		}
		if i = space(line, i); i < len(line) && line[i] == '}' {
			return i + 1
		}
		if i >= len(line) || line[i] != ',' {
			return p.expected(line, i, "',' or '}'")
		}
		i = space(line, i+1)
	}
}

// name reads a member's name and the colon and returns where the value begins
// and the column of that name, or -1.
func (p *parser) name(line []byte, i int) (next, col int) {
	if i >= len(line) || line[i] != '"' {
		return p.expected(line, i, "a name in double quotes"), -1
	}
	end, escaped := p.text(line, i+1)
	if end < 0 {
		return -1, -1
	}
	name := line[i+1 : end]
	if escaped {
		p.scratch = unescape(p.scratch[:0], name)
		name = p.scratch
	}
	i = space(line, end+1)
	if i >= len(line) || line[i] != ':' {
		return p.expected(line, i, "':'"), -1
	}
	return space(line, i+1), p.names.lookup(name, p.index)
}

// missing makes the columns without a member null and reports whether they may be.
func (p *parser) missing(row int) bool {
	for c, at := range p.seen {
		if at == p.record {
			continue
		}
		if !p.columns[c].Nullable {
			p.fault = fault{code: "missing", col: c, what: "the record has no such member"}
			return false
		}
		p.dst[c].SetNull(row)
	}
	return true
}

// skip checks the value at i without keeping it and returns where it ends. depth
// is the number of containers around it.
func (p *parser) skip(line []byte, i, depth int) int {
	if i >= len(line) {
		return p.expected(line, i, "a value")
	}
	switch c := line[i]; {
	case c == '"':
		end, _ := p.text(line, i+1)
		if end < 0 {
			return -1
		}
		return end + 1
	case c == '-' || c-'0' <= 9:
		return p.number(line, i, nil)
	case c == '{' || c == '[':
		return p.container(line, i, depth)
	}
	return p.literal(line, i)
}

// literal reads true, false or null.
func (p *parser) literal(line []byte, i int) int {
	var word string
	switch line[i] {
	case 't':
		word = "true"
	case 'f':
		word = "false"
	case 'n':
		word = "null"
	default:
		return p.expected(line, i, "a value")
	}
	for j := range len(word) {
		if i+j >= len(line) || line[i+j] != word[j] {
			return p.expected(line, i+j, word)
		}
	}
	return i + len(word)
}

// container checks the object or array at i and all that is in it. It keeps the
// kinds of the open containers as bits, so that depth costs no stack.
func (p *parser) container(line []byte, i, depth int) int {
	var inline [4]uint64
	objects := inline[:] // bit l: the container opened at level l is an object
	level := 0
	for {
		// a container opens at i
		if depth+level >= p.limits.Depth {
			return p.fail("too_deep", i, "the record is nested deeper than the limit")
		}
		if level>>6 >= len(objects) {
			objects = append(objects, 0)
		}
		object := line[i] == '{'
		objects[level>>6] &^= 1 << (uint(level) & 63)
		if object {
			objects[level>>6] |= 1 << (uint(level) & 63)
		}
		level++
		i = space(line, i+1)
		first := true
		for level > 0 {
			object = objects[(level-1)>>6]>>(uint(level-1)&63)&1 != 0
			if i < len(line) && line[i] == closing(object) {
				level--
				i = space(line, i+1)
				first = false
				continue
			}
			if !first {
				if i >= len(line) || line[i] != ',' {
					return p.expected(line, i, separators(object))
				}
				i = space(line, i+1)
			}
			if i = p.element(line, i, object); i < 0 {
				return -1
			}
			if line[i] == '{' || line[i] == '[' {
				break
			}
			if i = p.skip(line, i, 0); i < 0 {
				return -1
			}
			i = space(line, i)
			first = false
		}
		if level == 0 {
			return i
		}
	}
}

func separators(object bool) string {
	if object {
		return "',' or '}'"
	}
	return "',' or ']'"
}

func closing(object bool) byte {
	if object {
		return '}'
	}
	return ']'
}

// element counts an element or member at i, reads the name of a member, and
// returns where the value begins; there is a byte.
func (p *parser) element(line []byte, i int, object bool) int {
	if p.elements++; p.elements > p.limits.Elements {
		return p.fail("too_many", i, "the record has more members and elements than the limit")
	}
	if object {
		if i >= len(line) || line[i] != '"' {
			return p.expected(line, i, "a name in double quotes")
		}
		if i, _ = p.text(line, i+1); i < 0 {
			return -1
		}
		if i = space(line, i+1); i >= len(line) || line[i] != ':' {
			return p.expected(line, i, "':'")
		}
		i = space(line, i+1)
	}
	if i >= len(line) {
		return p.expected(line, i, "a value")
	}
	return i
}

// space returns the first byte at or behind i that is no white space.
func space(line []byte, i int) int {
	for i < len(line) && line[i] <= ' ' && (line[i] == ' ' || line[i] == '\t' || line[i] == '\r' || line[i] == '\n') {
		i++
	}
	return i
}
