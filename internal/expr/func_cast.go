package expr

import (
	"math"
	"strconv"
	"unicode/utf8"
	"unsafe"

	"github.com/gorge-stream/gorge/internal/batch"
)

var castFunctions = []function{
	{name: "int", sig: "(x int) int", cost: 1, build: same, doc: "An int64: of a float without its decimals, of a text in decimal digits, of a timestamp in microseconds, of a bool 0 or 1.", example: "int('42')", result: "42"},
	{name: "int", sig: "(x float) int?", cost: 2, build: buildFloatToInt},
	{name: "int", sig: "(x string) int?", cost: 20, build: rowInts(textToInt)},
	{name: "int", sig: "(x bool) int", cost: 2, build: rowInts(boolToInt)},
	{name: "int", sig: "(x timestamp) int", cost: 1, build: same},
	{name: "float", sig: "(x float) float", cost: 1, build: same, doc: "A float64, of a number, a text or a bool.", example: "float('1.5e3')", result: "1500"},
	{name: "float", sig: "(x string) float?", cost: 30, build: buildTextToFloat},
	{name: "float", sig: "(x bool) float", cost: 2, build: buildBoolToFloat},
	{name: "string", sig: "(x string) string", cost: 1, build: same, doc: "A text: floats in their shortest form, timestamps as RFC 3339 in UTC; of binary null where it is not UTF-8.", example: "string(0.5)", result: "0.5"},
	{name: "string", sig: "(x bool) string", cost: 30, build: toText(appendBool)},
	{name: "string", sig: "(x int) string", cost: 30, build: toText(appendInt)},
	{name: "string", sig: "(x float) string", cost: 80, build: toText(appendFloat)},
	{name: "string", sig: "(x timestamp) string", cost: 60, build: toText(appendTimestamp)},
	{name: "string", sig: "(x binary) string?", cost: 20, build: buildBinaryToText},
	{name: "bool", sig: "(x bool) bool", cost: 1, build: same, doc: "A bool: of a number whether it is not 0 (null for NaN), of a text true or false.", example: "bool('true')", result: "true"},
	{name: "bool", sig: "(x int) bool", cost: 1, build: buildIntToBool},
	{name: "bool", sig: "(x float) bool?", cost: 2, build: buildFloatToBool},
	{name: "bool", sig: "(x string) bool?", cost: 10, build: buildTextToBool},
	{name: "timestamp", sig: "(x timestamp) timestamp", cost: 1, build: same, doc: "A timestamp: of a text in RFC 3339 (date, or date and time, with or without zone), of an int in microseconds since 1970.", example: "timestamp('2026-01-31 12:00:00')", result: "2026-01-31T12:00:00Z"},
	{name: "timestamp", sig: "(x int) timestamp", cost: 1, build: same},
	{name: "timestamp", sig: "(x string) timestamp?", cost: 30, build: rowInts(textToTimestamp)},
}

// same builds a conversion that leaves the values as they are.
func same(c *call) kernel {
	if c.args[0].typ.Kind == c.kind {
		return c.args[0].kernel
	}
	return &map1[int64, int64]{c.result(), c.args[0].kernel, func(d, a []int64) uint64 {
		copy(d, a)
		return 0
	}}
}

// rowInts builds a conversion to int64 or timestamp.
func rowInts(f func(cols []*batch.Column, i int) (int64, bool)) func(c *call) kernel {
	return func(c *call) kernel { return &rowNumber[int64]{newRows(c), f} }
}

func buildFloatToInt(c *call) kernel {
	return &map1[float64, int64]{c.result(), c.args[0].kernel, func(d []int64, a []float64) (bad uint64) {
		d = d[:len(a)]
		for i, x := range a {
			// The bounds are exact as floats; NaN is within none.
			if x >= -1<<63 && x < 1<<63 {
				d[i] = int64(x)
			} else {
				d[i] = 0
				bad |= 1 << (uint(i) & 63)
			}
		}
		return bad
	}}
}

func boolToInt(cols []*batch.Column, i int) (int64, bool) { return int64(bit(cols[0].Bool(i))), true }

func buildBoolToFloat(c *call) kernel {
	return &rowNumber[float64]{newRows(c), func(cols []*batch.Column, i int) (float64, bool) {
		return float64(bit(cols[0].Bool(i))), true
	}}
}

func buildIntToBool(c *call) kernel {
	return &test1[int64]{boolScratch(), c.args[0].kernel, func(a []int64) (m uint64) {
		for i, x := range a {
			m |= bit(x != 0) << (uint(i) & 63)
		}
		return m
	}}
}

func buildFloatToBool(c *call) kernel {
	return &rowBool{newRows(c), func(cols []*batch.Column, i int) (v, ok bool) {
		x := cols[0].Float64s()[i]
		return x != 0, x == x
	}}
}

func buildTextToBool(c *call) kernel {
	return &rowBool{newRows(c), func(cols []*batch.Column, i int) (v, ok bool) {
		switch string(cols[0].Bytes(i)) {
		case "true":
			return true, true
		case "false":
			return false, true
		}
		return false, false
	}}
}

// textToInt reads an optional sign and decimal digits, nothing else.
func textToInt(cols []*batch.Column, i int) (int64, bool) { return parseInt(cols[0].Bytes(i)) }

func parseInt(b []byte) (int64, bool) {
	negative := len(b) > 0 && b[0] == '-'
	if negative || len(b) > 0 && b[0] == '+' {
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, false
	}
	var v uint64
	for _, c := range b {
		if c < '0' || c > '9' || v > (1<<63)/10 {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	if negative {
		return -int64(v), v <= 1<<63
	}
	return int64(v), v < 1<<63
}

func buildTextToFloat(c *call) kernel {
	return &rowNumber[float64]{newRows(c), func(cols []*batch.Column, i int) (float64, bool) {
		return parseFloat(cols[0].Bytes(i))
	}}
}

// maxFloatText is longer than any text that a float64 needs.
const maxFloatText = 400

// parseFloat reads a decimal number, or NaN, Inf and Infinity with a sign. What
// strconv knows beyond that is refused here, before it can make an error, which
// would cost an allocation per row.
func parseFloat(b []byte) (float64, bool) {
	if len(b) > maxFloatText || !decimal(b) && !special(b) {
		return 0, false
	}
	v, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(b), len(b)), 64)
	return v, err == nil
}

func special(b []byte) bool {
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		return equalFold(b[1:], "inf") || equalFold(b[1:], "infinity")
	}
	return equalFold(b, "nan") || equalFold(b, "inf") || equalFold(b, "infinity")
}

// equalFold compares with a word of small ASCII letters.
func equalFold(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i, c := range b {
		if c|0x20 != word[i] {
			return false
		}
	}
	return true
}

// decimal reports whether b is digits with an optional sign, point and exponent.
func decimal(b []byte) bool {
	i := sign(b, 0)
	whole := digits(b, i)
	i += whole
	if i < len(b) && b[i] == '.' {
		part := digits(b, i+1)
		i += 1 + part
		whole += part
	}
	if whole == 0 {
		return false
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i = sign(b, i+1)
		n := digits(b, i)
		if n == 0 {
			return false
		}
		i += n
	}
	return i == len(b)
}

// sign returns the index behind an optional sign at i.
func sign(b []byte, i int) int {
	if i < len(b) && (b[i] == '-' || b[i] == '+') {
		i++
	}
	return i
}

// digits counts the digits from index i on.
func digits(b []byte, i int) int {
	n := 0
	for i+n < len(b) && '0' <= b[i+n] && b[i+n] <= '9' {
		n++
	}
	return n
}

// toText builds a conversion that writes into a buffer of its own.
func toText(write func(buf []byte, c *batch.Column, i int) []byte) func(c *call) kernel {
	return func(c *call) kernel {
		var buf []byte
		return &rowText{newRows(c), func(cols []*batch.Column, i int) ([]byte, bool) {
			buf = write(buf[:0], cols[0], i)
			return buf, true
		}}
	}
}

func appendBool(buf []byte, c *batch.Column, i int) []byte {
	return strconv.AppendBool(buf, c.Bool(i))
}

func appendInt(buf []byte, c *batch.Column, i int) []byte {
	return strconv.AppendInt(buf, c.Int64s()[i], 10)
}

func appendFloat(buf []byte, c *batch.Column, i int) []byte {
	return formatFloat(buf, c.Float64s()[i])
}

// formatFloat writes the shortest text that reads back equal, with an exponent
// only for very small and very large numbers.
func formatFloat(buf []byte, v float64) []byte {
	format := byte('f')
	if size := math.Abs(v); size != 0 && (size < 1e-6 || size >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(buf, v, format, -1, 64)
}

func appendTimestamp(buf []byte, c *batch.Column, i int) []byte {
	return formatTimestamp(buf, c.Int64s()[i])
}

func buildBinaryToText(c *call) kernel {
	return &rowText{newRows(c), func(cols []*batch.Column, i int) ([]byte, bool) {
		b := cols[0].Bytes(i)
		return b, utf8.Valid(b)
	}}
}
