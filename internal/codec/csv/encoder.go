package csv

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
)

// encoder writes one record a line.
type encoder struct {
	dialect
	timestamps string
	fields     []outField
	head       []byte
	special    [256]bool // bytes that a field must be quoted for
	odd        bool      // the delimiter may be a character of a timestamp or of base64
	lastTime   batch.Time
	timeText   []byte // of lastTime; empty when there was none
}

var _ codec.Encoder = (*encoder)(nil)

// outField is a visible column.
type outField struct {
	column   int
	kind     batch.Kind
	nullable bool
}

func newEncoder(d dialect, timestamps string, schema *batch.Schema) *encoder {
	e := &encoder{dialect: d, timestamps: timestamps, odd: strings.IndexByte(":/=", d.delimiter) >= 0}
	for _, c := range []byte{'"', '\r', '\n', d.delimiter} {
		e.special[c] = true
	}
	for i, f := range schema.Fields {
		if f.Name != "" {
			e.fields = append(e.fields, outField{i, f.Kind, f.Nullable})
		}
	}
	if !d.header || len(e.fields) == 0 {
		return e
	}
	for i, f := range e.fields {
		if i > 0 {
			e.head = append(e.head, d.delimiter)
		}
		e.head = e.appendText(e.head, []byte(schema.Fields[f.column].Name))
	}
	e.head = append(e.head, '\n')
	return e
}

// Header returns the header line, or nil when the settings want none.
func (e *encoder) Header() []byte { return e.head }

// Footer returns nil.
func (e *encoder) Footer() []byte { return nil }

// Encode appends rows; see codec.Encoder.
func (e *encoder) Encode(dst []byte, b *batch.Batch, from, to int) ([]byte, error) {
	for row := from; row < to; row++ {
		start := len(dst)
		for i := range e.fields {
			if i > 0 {
				dst = append(dst, e.delimiter)
			}
			f := &e.fields[i]
			dst = e.appendValue(dst, f, b.Col(f.column), row)
		}
		if len(dst) == start {
			dst = append(dst, '"', '"') // an empty line would be no record
		}
		dst = append(dst, '\n')
	}
	return dst, nil
}

func (e *encoder) appendValue(dst []byte, f *outField, c *batch.Column, row int) []byte {
	if c.IsNull(row) {
		return append(dst, e.null...)
	}
	start := len(dst)
	switch f.kind {
	case batch.Bool:
		dst = strconv.AppendBool(dst, c.Bool(row))
	case batch.Int32:
		dst = strconv.AppendInt(dst, int64(c.Int32s()[row]), 10)
	case batch.Int64:
		dst = strconv.AppendInt(dst, c.Int64s()[row], 10)
	case batch.Float32:
		dst = appendFloat(dst, float64(c.Float32s()[row]), 32)
	case batch.Float64:
		dst = appendFloat(dst, c.Float64s()[row], 64)
	case batch.Binary:
		dst = base64.StdEncoding.AppendEncode(dst, c.Bytes(row))
	case batch.Timestamp:
		dst = e.appendTime(dst, c.Int64s()[row])
	default:
		dst = e.appendText(dst, c.Bytes(row))
	}
	if f.nullable && bytes.Equal(dst[start:], e.null) || e.odd && f.kind != batch.String && bytes.IndexByte(dst[start:], e.delimiter) >= 0 {
		return quote(dst, start)
	}
	return dst
}

// quote puts quotes around dst[start:].
func quote(dst []byte, start int) []byte {
	dst = append(dst, "\"\""...)
	copy(dst[start+1:], dst[start:len(dst)-2])
	dst[start] = '"'
	dst[len(dst)-1] = '"'
	return dst
}

// appendText writes a text, in quotes where they are needed.
func (e *encoder) appendText(dst, s []byte) []byte {
	for _, c := range s {
		if e.special[c] {
			return appendQuoted(dst, s)
		}
	}
	return append(dst, s...)
}

func appendQuoted(dst, s []byte) []byte {
	dst = append(dst, '"')
	for {
		q := bytes.IndexByte(s, '"')
		if q < 0 {
			dst = append(dst, s...)
			return append(dst, '"')
		}
		dst = append(dst, s[:q+1]...)
		dst = append(dst, '"')
		s = s[q+1:]
	}
}

func (e *encoder) appendTime(dst []byte, t batch.Time) []byte {
	switch e.timestamps {
	case "us":
		return strconv.AppendInt(dst, t, 10)
	case "ms":
		whole, rest := t/1000, t%1000
		if t < 0 && whole == 0 && rest != 0 {
			dst = append(dst, '-')
		}
		dst = strconv.AppendInt(dst, whole, 10)
		return appendDecimals(dst, uint64(max(rest, -rest)), 100)
	}
	if t != e.lastTime || len(e.timeText) == 0 {
		e.lastTime = t
		e.timeText = time.UnixMicro(t).UTC().AppendFormat(e.timeText[:0], time.RFC3339Nano)
	}
	return append(dst, e.timeText...)
}

// appendDecimals writes "." and rest as decimals, of which unit is the worth of
// the first, without zeros at the end; nothing when rest is 0.
func appendDecimals(dst []byte, rest, unit uint64) []byte {
	if rest == 0 {
		return dst
	}
	dst = append(dst, '.')
	for ; rest > 0; unit /= 10 {
		dst = append(dst, byte('0'+rest/unit))
		rest %= unit
	}
	return dst
}

// Values below shortBound with up to six decimals have at most 15 digits. No two
// such decimals share a float64, so a decimal that reads back as the value is
// its shortest one.
const (
	shortBound = 1e9
	shortUnit  = 1e6
)

// appendFloat writes the shortest decimal that reads back as v; NaN, Inf and -Inf are written so.
func appendFloat(dst []byte, v float64, size int) []byte {
	a := math.Abs(v)
	switch {
	case math.IsInf(v, 1):
		return append(dst, "Inf"...)
	case size == 64 && a < shortBound:
		if n := uint64(a*shortUnit + 0.5); float64(n)/shortUnit == a {
			if math.Signbit(v) {
				dst = append(dst, '-')
			}
			dst = strconv.AppendUint(dst, n/shortUnit, 10)
			return appendDecimals(dst, n%shortUnit, shortUnit/10)
		}
	case a == 0: // of size 32
		return strconv.AppendFloat(dst, v, 'f', -1, size)
	}
	if a >= 1e21 || a < 1e-6 {
		return strconv.AppendFloat(dst, v, 'e', -1, size)
	}
	return strconv.AppendFloat(dst, v, 'f', -1, size)
}
