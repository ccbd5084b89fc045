package json

import (
	"encoding/base64"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/spec"
)

// scales are the powers of ten that turn numbers of a wire kind into microseconds.
var scales = [...]int{spec.WireSeconds: 6, spec.WireMillis: 3, spec.WireMicros: 0, spec.WireNanos: -3}

// units name the numbers of the wire kinds.
var units = [...]string{spec.WireSeconds: "seconds", spec.WireMillis: "milliseconds", spec.WireMicros: "microseconds", spec.WireNanos: "nanoseconds"}

// expects says in words which value a column takes.
func expects(c codec.Column) string {
	switch {
	case c.Kind == batch.Timestamp && c.Wire == spec.WireDefault:
		return "an RFC 3339 timestamp in a string"
	case c.Kind == batch.Timestamp:
		return "a number of " + units[c.Wire] + " since 1970"
	case c.Kind == batch.Binary:
		return "base64 in a string"
	}
	return c.Kind.String()
}

// value reads the value at i into the column's row and returns where it ends.
func (p *parser) value(line []byte, i, col, row int) int {
	if i >= len(line) {
		return p.expected(line, i, "a value")
	}
	c, dst := &p.columns[col], p.dst[col]
	if line[i] == 'n' {
		return p.null(line, i, col, row)
	}
	if dst.HasNulls() {
		dst.Validity()[row>>6] |= 1 << (uint(row) & 63) // a member of the same name may have been null
	}
	switch c.Kind {
	case batch.String, batch.Binary:
		return p.stringValue(line, i, col, row)
	case batch.Bool:
		if line[i] != 't' && line[i] != 'f' {
			return p.mismatch(col, i)
		}
		end := p.literal(line, i)
		if end >= 0 {
			dst.SetBool(row, line[i] == 't')
		}
		return end
	case batch.Timestamp:
		if c.Wire == spec.WireDefault {
			return p.timeText(line, i, col, row)
		}
	}
	return p.numberValue(line, i, col, row)
}

func (p *parser) null(line []byte, i, col, row int) int {
	end := p.literal(line, i)
	if end < 0 {
		return -1
	}
	if !p.columns[col].Nullable {
		p.fault = fault{code: "missing", col: col, pos: i, what: "null, but the column takes no null"}
		return -1
	}
	p.dst[col].SetNull(row)
	return end
}

func (p *parser) numberValue(line []byte, i, col, row int) int {
	if line[i] != '-' && line[i]-'0' > 9 {
		return p.mismatch(col, i)
	}
	var d decimal
	end := p.number(line, i, &d)
	if end < 0 {
		return -1
	}
	c, dst := &p.columns[col], p.dst[col]
	switch c.Kind {
	case batch.Float64:
		v, ok := d.float64(line[i:end])
		if !ok {
			return p.refuse("range", col, i, end, "is out of range for float64")
		}
		dst.Float64s()[row] = v
	case batch.Float32:
		v, ok := d.float32(line[i:end])
		if !ok {
			return p.refuse("range", col, i, end, "is out of range for float32")
		}
		dst.Float32s()[row] = v
	case batch.Timestamp:
		v, w := d.scaled(c.scale)
		if w == isHuge || v < minTime || v > maxTime {
			return p.refuse("range", col, i, end, units[c.Wire]+" are outside the years 0 to 9999")
		}
		dst.Int64s()[row] = v
	default:
		v, w := d.scaled(0)
		if w == isBroken {
			return p.refuse("type", col, i, end, "is not a whole number, as "+c.expects+" needs")
		}
		if w == isHuge || c.Kind == batch.Int32 && v != int64(int32(v)) {
			return p.refuse("range", col, i, end, "is out of range for "+c.expects)
		}
		if c.Kind == batch.Int32 {
			dst.Int32s()[row] = int32(v)
		} else {
			dst.Int64s()[row] = v
		}
	}
	return end
}

// stringContent checks the string at i and returns its meaning, valid until the next call, and where it ends.
func (p *parser) stringContent(line []byte, i, col int) (content []byte, end int) {
	if line[i] != '"' {
		return nil, p.mismatch(col, i)
	}
	quote, escaped := p.text(line, i+1)
	if quote < 0 {
		return nil, -1
	}
	content = line[i+1 : quote]
	if escaped {
		p.scratch = unescape(p.scratch[:0], content)
		content = p.scratch
	}
	return content, quote + 1
}

func (p *parser) stringValue(line []byte, i, col, row int) int {
	s, end := p.stringContent(line, i, col)
	if end < 0 {
		return -1
	}
	if p.columns[col].Kind == batch.String {
		p.dst[col].SetBytes(row, s)
		return end
	}
	p.binary = append(p.binary[:0], make([]byte, base64.StdEncoding.DecodedLen(len(s)))...)
	n, err := base64.StdEncoding.Decode(p.binary, s)
	if err != nil {
		return p.refuse("type", col, i, end, "is not base64")
	}
	p.dst[col].SetBytes(row, p.binary[:n])
	return end
}

func (p *parser) timeText(line []byte, i, col, row int) int {
	s, end := p.stringContent(line, i, col)
	if end < 0 {
		return -1
	}
	v, ok := p.days.parseTime(s)
	if !ok {
		return p.refuse("type", col, i, end, "is not an RFC 3339 timestamp such as 2026-01-31T09:30:00Z")
	}
	if v < minTime || v > maxTime {
		return p.refuse("range", col, i, end, "is outside the years 0 to 9999")
	}
	p.dst[col].Int64s()[row] = v
	return end
}
