package json

import (
	"encoding/base64"
	"math"
	"strconv"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
)

// encoder writes one object a line.
type encoder struct {
	fields     []encodedField
	timestamps string
	time       timeMemo
}

// encodedField is a visible column.
type encodedField struct {
	col    int
	kind   batch.Kind
	prefix []byte // what stands before the value: '{' or ',', the name, ':'
}

var _ codec.Encoder = (*encoder)(nil)

func newEncoder(timestamps string, schema *batch.Schema) *encoder {
	e := &encoder{timestamps: timestamps, time: timeMemo{text: make([]byte, 0, 40)}}
	for i, f := range schema.Fields {
		if f.Name == "" {
			continue
		}
		open := byte(',')
		if len(e.fields) == 0 {
			open = '{'
		}
		prefix := append(appendString([]byte{open}, []byte(f.Name)), ':')
		e.fields = append(e.fields, encodedField{i, f.Kind, prefix})
	}
	return e
}

// Header returns nil.
func (e *encoder) Header() []byte { return nil }

// Footer returns nil.
func (e *encoder) Footer() []byte { return nil }

// Encode appends rows; see codec.Encoder.
func (e *encoder) Encode(dst []byte, b *batch.Batch, from, to int) ([]byte, error) {
	for row := from; row < to; row++ {
		if len(e.fields) == 0 {
			dst = append(dst, '{')
		}
		for i := range e.fields {
			f := &e.fields[i]
			dst = append(dst, f.prefix...)
			dst = e.value(dst, f.kind, b.Col(f.col), row)
		}
		dst = append(dst, '}', '\n')
	}
	return dst, nil
}

func (e *encoder) value(dst []byte, kind batch.Kind, c *batch.Column, row int) []byte {
	if c.IsNull(row) {
		return append(dst, "null"...)
	}
	switch kind {
	case batch.Bool:
		return strconv.AppendBool(dst, c.Bool(row))
	case batch.Int32:
		return strconv.AppendInt(dst, int64(c.Int32s()[row]), 10)
	case batch.Int64:
		return strconv.AppendInt(dst, c.Int64s()[row], 10)
	case batch.Float32:
		return appendFloat(dst, float64(c.Float32s()[row]), 32)
	case batch.Float64:
		return appendFloat(dst, c.Float64s()[row], 64)
	case batch.Binary:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, c.Bytes(row))
		return append(dst, '"')
	case batch.Timestamp:
		return e.timestamp(dst, c.Int64s()[row])
	}
	return appendString(dst, c.Bytes(row))
}

func (e *encoder) timestamp(dst []byte, t batch.Time) []byte {
	switch e.timestamps {
	case "us":
		return strconv.AppendInt(dst, t, 10)
	case "ms":
		if t%1000 == 0 {
			return strconv.AppendInt(dst, t/1000, 10)
		}
		u := uint64(t)
		if t < 0 {
			dst, u = append(dst, '-'), -u
		}
		return appendFraction(strconv.AppendUint(dst, u/1000, 10), u%1000, 3)
	}
	return e.time.append(dst, t)
}

// timeMemo remembers the last timestamp written: the rows of a window share theirs.
type timeMemo struct {
	at   batch.Time
	text []byte // empty: none yet
}

func (m *timeMemo) append(dst []byte, t batch.Time) []byte {
	if t != m.at || len(m.text) == 0 {
		m.at = t
		m.text = append(m.text[:0], '"')
		m.text = time.UnixMicro(t).UTC().AppendFormat(m.text, time.RFC3339Nano)
		m.text = append(m.text, '"')
	}
	return append(dst, m.text...)
}

// appendFraction writes "." and the digits of v as a fraction of so many digits, without zeros at the end.
func appendFraction(dst []byte, v uint64, digits int) []byte {
	for v%10 == 0 {
		v /= 10
		digits--
	}
	dst = append(dst, '.', '0', '0', '0', '0', '0', '0')[:len(dst)+1+digits]
	for i := len(dst) - 1; v > 0; i-- {
		dst[i] = byte('0' + v%10)
		v /= 10
	}
	return dst
}

// appendFloat writes v as encoding/json does: the shortest decimal that reads
// back as v, plain from 1e-6 to 1e21 and with an exponent beyond; null when it is
// no number.
func appendFloat(dst []byte, v float64, bits int) []byte {
	a := math.Abs(v)
	if !(a <= math.MaxFloat64) {
		return append(dst, "null"...)
	}
	if bits == 64 && a >= 1e-6 && a < maxShort {
		if r, ok := short(a); ok {
			return appendShort(dst, r, v < 0)
		}
	}
	format := byte('f')
	if a != 0 && (bits == 64 && (a < 1e-6 || a >= 1e21) || bits == 32 && (float32(a) < 1e-6 || float32(a) >= 1e21)) {
		format = 'e'
	}
	dst = strconv.AppendFloat(dst, v, format, -1, bits)
	if n := len(dst); format == 'e' && n >= 4 && dst[n-4] == 'e' && (dst[n-3] == '-' || dst[n-3] == '+') && dst[n-2] == '0' {
		dst[n-2] = dst[n-1] // 1e-07 becomes 1e-7
		dst = dst[:n-1]
	}
	return dst
}

// Most measured values have few decimals. shortUnit is the resolution that is
// tried before the general algorithm, maxShort the bound below which values of
// that resolution have at most 15 digits: two of those never share a float64, so
// the one found is the shortest.
const (
	shortDigits = 6
	shortUnit   = 1e6
	maxShort    = 1e9
)

// short returns v in units of 1/shortUnit if it is, as a decimal, a whole number of them.
func short(v float64) (uint64, bool) {
	r := uint64(v*shortUnit + 0.5)
	return r, float64(int64(r))/shortUnit == v // a division of exact numbers is rounded once
}

func appendShort(dst []byte, r uint64, neg bool) []byte {
	if neg {
		dst = append(dst, '-')
	}
	dst = strconv.AppendUint(dst, r/shortUnit, 10)
	if r %= shortUnit; r != 0 {
		dst = appendFraction(dst, r, shortDigits)
	}
	return dst
}
