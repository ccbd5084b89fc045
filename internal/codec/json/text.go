package json

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// Eight bytes at a time: in the results the high bit of a byte is set where the
// test holds; bits above the first one set may be wrong, so only the first counts.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// quotes finds '"'.
func quotes(x uint64) uint64 {
	a := x ^ '"'*ones
	return (a - ones) &^ a & highs
}

// specials finds '"', '\', control characters and bytes outside ASCII.
func specials(x uint64) uint64 {
	a, b := x^'"'*ones, x^'\\'*ones
	return ((a-ones)&^a | (b-ones)&^b | (x-' '*ones)&^x | x) & highs
}

// text checks a string from behind its opening quote and returns the place of
// the closing one, and whether there are escapes.
func (p *parser) text(line []byte, i int) (end int, escaped bool) {
	for {
		for i+8 <= len(line) {
			if m := specials(binary.LittleEndian.Uint64(line[i:])); m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		if i >= len(line) {
			return p.expected(line, i, "'\"'"), false
		}
		switch c := line[i]; {
		case c == '"':
			return i, escaped
		case c == '\\':
			escaped = true
			if i = p.escape(line, i); i < 0 {
				return -1, false
			}
		case c < ' ':
			return p.fail("syntax", i, "a control character in a string must be escaped"), false
		case c < utf8.RuneSelf:
			i++
		default:
			for i < len(line) && line[i] >= utf8.RuneSelf {
				r, n := utf8.DecodeRune(line[i:])
				if r == utf8.RuneError && n <= 1 {
					return p.fail("utf8", i, "a string is not valid UTF-8"), false
				}
				i += n
			}
		}
	}
}

// escape checks the escape at i and returns where it ends.
func (p *parser) escape(line []byte, i int) int {
	if i+1 >= len(line) {
		return p.expected(line, i+1, "an escaped character")
	}
	switch line[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		for j := i + 2; j < i+6; j++ {
			if j >= len(line) || hex(line[j]) > 15 {
				return p.expected(line, j, "a hexadecimal digit")
			}
		}
		return i + 6
	}
	return p.expected(line, i+1, "an escaped character")
}

// hex returns the value of a hexadecimal digit, or more than 15.
func hex(c byte) rune {
	switch {
	case c-'0' <= 9:
		return rune(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return rune(c|0x20-'a') + 10
	}
	return 16
}

// unescape appends the meaning of s, which text has checked.
func unescape(dst, s []byte) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c != '\\' {
			j := i + 1
			for j < len(s) && s[j] != '\\' {
				j++
			}
			dst = append(dst, s[i:j]...)
			i = j
			continue
		}
		c = s[i+1]
		i += 2
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r := unit(s[i:])
			i += 4
			if utf16.IsSurrogate(r) {
				r2 := rune(utf8.RuneError)
				if i+6 <= len(s) && s[i] == '\\' && s[i+1] == 'u' {
					r2 = unit(s[i+2:])
				}
				if r = utf16.DecodeRune(r, r2); r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

func unit(s []byte) rune {
	return hex(s[0])<<12 | hex(s[1])<<8 | hex(s[2])<<4 | hex(s[3])
}
