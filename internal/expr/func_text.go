package expr

import (
	"bytes"
	"math"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gorge-stream/gorge/internal/batch"
)

var textFunctions = []function{
	{name: "length", sig: "(s string) int", cost: 5, build: rowInts(textLength), doc: "Number of characters, of binary of bytes.", example: "length('Zürich')", result: "6"},
	{name: "length", sig: "(b binary) int", cost: 2, build: rowInts(binaryLength)},
	{name: "lower", sig: "(s string) string", cost: 20, build: toText(lower), doc: "The text in small letters.", example: "lower('ABC')", result: "abc"},
	{name: "upper", sig: "(s string) string", cost: 20, build: toText(upper), doc: "The text in capital letters.", example: "upper('abc')", result: "ABC"},
	{name: "trim", sig: "(s string) string", cost: 10, build: buildTrim, doc: "The text without white space at both ends.", example: "trim('  a b ')", result: "a b"},
	{name: "concat", sig: "(a string, b string...) string", cost: 20, build: buildConcat, doc: "The texts one behind the other, also written a + b; null where one of them is.", example: "concat('a', 'b', 'c')", result: "abc"},
	{name: "substring", sig: "(s string, start int, [count int]) string?", cost: 15, build: buildSubstring, doc: "At most count characters from position start on; the first is 1, -1 the last; null for position 0 or a negative count.", example: "substring('gorge', 2, 3)", result: "org"},
	{name: "replace", sig: "(s string, old string, new string) string?", cost: 30, build: buildReplace, doc: "The text with every old replaced by new; unchanged where old is empty; null where the result would be over 1 MiB.", example: "replace('a-b-c', '-', '/')", result: "a/b/c"},
	{name: "split_part", sig: "(s string, separator string, n int) string?", cost: 20, build: buildSplitPart, doc: "The part n of the text between separators; the first is 1, -1 the last; null where there is none.", example: "split_part('a/b/c', '/', 2)", result: "b"},
	{name: "contains", sig: "(s string, part string) bool", cost: 10, build: textTest(bytes.Contains), doc: "Whether the part occurs in the text.", example: "'sensor-7' contains 'sor'", result: "true"},
	{name: "starts_with", sig: "(s string, prefix string) bool", cost: 4, build: textTest(bytes.HasPrefix), doc: "Whether the text begins so, also written s startsWith prefix.", example: "'sensor-7' startsWith 'sensor'", result: "true"},
	{name: "ends_with", sig: "(s string, suffix string) bool", cost: 4, build: textTest(bytes.HasSuffix), doc: "Whether the text ends so, also written s endsWith suffix.", example: "ends_with('sensor-7', '-7')", result: "true"},
	{name: "matches", sig: "(s string, pattern const string) bool", cost: 100, build: buildMatches, doc: "Whether the regular expression (RE2) matches a part of the text; ^ and $ stand for its ends.", example: "'sensor-7' matches '^[a-z]+-[0-9]$'", result: "true"},
}

func textLength(cols []*batch.Column, i int) (int64, bool) {
	return int64(utf8.RuneCount(cols[0].Bytes(i))), true
}

func binaryLength(cols []*batch.Column, i int) (int64, bool) {
	return int64(cols[0].Views()[i].Len()), true
}

func lower(buf []byte, c *batch.Column, i int) []byte {
	return mapRunes(buf, c.Bytes(i), 'A', 'Z', unicode.ToLower)
}

func upper(buf []byte, c *batch.Column, i int) []byte {
	return mapRunes(buf, c.Bytes(i), 'a', 'z', unicode.ToUpper)
}

// mapRunes maps the case of a text: the letters from first to last by a bit, those beyond ASCII by the function.
func mapRunes(buf, text []byte, first, last byte, f func(rune) rune) []byte {
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			if first <= c && c <= last {
				c ^= 0x20
			}
			buf = append(buf, c)
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		buf = utf8.AppendRune(buf, f(r))
		i += size
	}
	return buf
}

func buildTrim(c *call) kernel {
	return &rowText{newRows(c), func(cols []*batch.Column, i int) ([]byte, bool) {
		return bytes.TrimSpace(cols[0].Bytes(i)), true
	}}
}

func buildConcat(c *call) kernel {
	var buf []byte
	return &rowText{newRows(c), func(cols []*batch.Column, i int) ([]byte, bool) {
		buf = buf[:0]
		for _, col := range cols {
			buf = append(buf, col.Bytes(i)...)
		}
		return buf, true
	}}
}

func buildSubstring(c *call) kernel {
	bounded := len(c.args) == 3
	if start, ok := c.args[1].value.(int64); ok && start != 0 {
		if !bounded {
			c.total()
		} else if count, ok := c.args[2].value.(int64); ok && count >= 0 {
			c.total()
		}
	}
	return &rowText{newRows(c), func(cols []*batch.Column, i int) ([]byte, bool) {
		count := int64(math.MaxInt64)
		if bounded {
			count = cols[2].Int64s()[i]
		}
		return substring(cols[0].Bytes(i), cols[1].Int64s()[i], count)
	}}
}

// substring cuts by characters. What lies outside the text is empty, on either side.
func substring(s []byte, start, count int64) ([]byte, bool) {
	if start == 0 || count < 0 {
		return nil, false
	}
	if start < 0 {
		start += int64(utf8.RuneCount(s)) + 1
		if start < 1 { // begins in front of the text: that part of it is empty
			count = max(count+start-1, 0)
			start = 1
		}
	}
	s = skipRunes(s, start-1)
	return s[:len(s)-len(skipRunes(s, count))], true
}

// skipRunes returns what follows the first n characters.
func skipRunes(s []byte, n int64) []byte {
	for ; n > 0 && len(s) > 0; n-- {
		_, size := utf8.DecodeRune(s)
		s = s[size:]
	}
	return s
}

// maxReplaced is the most bytes that replace makes: input can multiply input there.
const maxReplaced = 1 << 20

func buildReplace(c *call) kernel {
	var buf []byte
	return &rowText{newRows(c), func(cols []*batch.Column, i int) ([]byte, bool) {
		s, old, with := cols[0].Bytes(i), cols[1].Bytes(i), cols[2].Bytes(i)
		if len(old) == 0 {
			return s, true
		}
		at := bytes.Index(s, old)
		if at < 0 {
			return s, true
		}
		for buf = buf[:0]; at >= 0; at = bytes.Index(s, old) {
			buf = append(append(buf, s[:at]...), with...)
			s = s[at+len(old):]
			if len(buf)+len(s) > maxReplaced {
				return nil, false
			}
		}
		buf = append(buf, s...)
		return buf, true
	}}
}

func buildSplitPart(c *call) kernel {
	return &rowText{newRows(c), func(cols []*batch.Column, i int) ([]byte, bool) {
		return splitPart(cols[0].Bytes(i), cols[1].Bytes(i), cols[2].Int64s()[i])
	}}
}

// splitPart finds a part without splitting the rest.
func splitPart(s, separator []byte, n int64) ([]byte, bool) {
	if n == 0 || len(separator) == 0 {
		return nil, false
	}
	if n < 0 {
		n += int64(bytes.Count(s, separator)) + 2
	}
	if n < 1 || n > int64(len(s))+1 {
		return nil, false
	}
	for ; n > 1; n-- {
		_, rest, found := bytes.Cut(s, separator)
		if !found {
			return nil, false
		}
		s = rest
	}
	part, _, _ := bytes.Cut(s, separator)
	return part, true
}

// textTest builds a test of two texts.
func textTest(f func(s, part []byte) bool) func(c *call) kernel {
	return func(c *call) kernel {
		return &rowBool{newRows(c), func(cols []*batch.Column, i int) (v, ok bool) {
			return f(cols[0].Bytes(i), cols[1].Bytes(i)), true
		}}
	}
}

func buildMatches(c *call) kernel {
	re, err := regexp.Compile(c.args[1].value.(string))
	if err != nil {
		c.bad(1, "the pattern is not a regular expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		return nil
	}
	return &rowBool{newRows(c), func(cols []*batch.Column, i int) (v, ok bool) {
		return re.Match(cols[0].Bytes(i)), true
	}}
}
