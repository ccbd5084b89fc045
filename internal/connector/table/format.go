package table

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gorge-stream/gorge/internal/batch"
)

// appendJSONRow appends the visible columns of row i as one JSON object.
func appendJSONRow(dst []byte, b *batch.Batch, i int) []byte {
	dst = append(dst, '{')
	first := true
	for k, f := range b.Schema().Fields {
		if f.Name == "" {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(appendJSONText(dst, f.Name), ':')
		dst = appendJSONValue(dst, b.Col(k), i)
	}
	return append(dst, '}')
}

func appendJSONValue(dst []byte, c *batch.Column, i int) []byte {
	if c.IsNull(i) {
		return append(dst, "null"...)
	}
	switch c.Kind() {
	case batch.String:
		return appendJSONText(dst, c.Text(i))
	case batch.Binary, batch.Timestamp:
		return append(appendText(append(dst, '"'), c, i), '"')
	case batch.Float32, batch.Float64:
		if f := float(c, i); math.IsNaN(f) || math.IsInf(f, 0) {
			return append(dst, "null"...)
		}
	}
	return appendText(dst, c, i)
}

func float(c *batch.Column, i int) float64 {
	if c.Kind() == batch.Float32 {
		return float64(c.Float32s()[i])
	}
	return c.Float64s()[i]
}

// appendText appends a value that is not null as plain text.
func appendText(dst []byte, c *batch.Column, i int) []byte {
	switch c.Kind() {
	case batch.Bool:
		return strconv.AppendBool(dst, c.Bool(i))
	case batch.Int32:
		return strconv.AppendInt(dst, int64(c.Int32s()[i]), 10)
	case batch.Int64:
		return strconv.AppendInt(dst, c.Int64s()[i], 10)
	case batch.Float32:
		return strconv.AppendFloat(dst, float64(c.Float32s()[i]), 'g', -1, 32)
	case batch.Float64:
		return strconv.AppendFloat(dst, c.Float64s()[i], 'g', -1, 64)
	case batch.Timestamp:
		return appendTime(dst, c.Int64s()[i])
	case batch.Binary:
		return base64.StdEncoding.AppendEncode(dst, c.Bytes(i))
	}
	return append(dst, c.Bytes(i)...)
}

// appendTime appends a time as RFC 3339 in UTC, with the fraction it has.
func appendTime(dst []byte, t batch.Time) []byte {
	return time.UnixMicro(t).UTC().AppendFormat(dst, time.RFC3339Nano)
}

const hexDigits = "0123456789abcdef"

// appendJSONText appends s as a JSON string; bytes that are not UTF-8 become U+FFFD.
func appendJSONText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			dst = append(append(dst, s[from:i]...), "\ufffd"...)
		} else {
			dst = append(dst, s[from:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, `\n`...)
			case '\t':
				dst = append(dst, `\t`...)
			case '\r':
				dst = append(dst, `\r`...)
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}

// appendCSVRow appends row i in the form of RFC 4180; a null is empty, empty text is quoted.
func appendCSVRow(dst []byte, b *batch.Batch, i int) []byte {
	for k := range b.Schema().Fields {
		if k > 0 {
			dst = append(dst, ',')
		}
		switch c := b.Col(k); {
		case c.IsNull(i):
		case c.Kind() == batch.String:
			dst = appendCSVText(dst, c.Text(i))
		case c.Kind() == batch.Float32 || c.Kind() == batch.Float64:
			if f := float(c, i); !math.IsNaN(f) && !math.IsInf(f, 0) {
				dst = appendText(dst, c, i)
			}
		default:
			dst = appendText(dst, c, i)
		}
	}
	return append(dst, '\r', '\n')
}

func appendCSVText(dst []byte, s string) []byte {
	if s != "" && !strings.ContainsAny(s, "\",\r\n") && s[0] != ' ' && s[len(s)-1] != ' ' {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	dst = append(dst, strings.ReplaceAll(s, `"`, `""`)...)
	return append(dst, '"')
}
