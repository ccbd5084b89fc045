package table

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/gorge-stream/gorge/internal/batch"
)

// A key in the store is: table id u32 | bucket u64 | key columns, big endian.
// Each column is self-delimiting and in order of its values: docs/formats/table.md.
const (
	tagNull  = 0x01
	tagValue = 0x02
	// keyAfter is above every tag: a key prefix followed by it is behind all keys of the prefix.
	keyAfter = 0xFF

	prefixLen = 12 // table id and bucket
	// maxKeyBytes bounds the key columns of a row, so that a cursor fits into a URL.
	maxKeyBytes = 16 << 10
)

// noTime is the bucket of rows whose time is null; it is behind all others and never dropped.
const noTime = math.MaxUint64

// bucketOf returns the bucket of a time: its number of widths since 1970, in an
// order-preserving form. A width of 0 means that the table has one bucket.
func bucketOf(t batch.Time, width int64) uint64 {
	if width == 0 {
		return 0
	}
	n := t / width
	if t%width < 0 {
		n--
	}
	return uint64(n) ^ 1<<63
}

func appendPrefix(dst []byte, table uint32, bucket uint64) []byte {
	dst = binary.BigEndian.AppendUint32(dst, table)
	return binary.BigEndian.AppendUint64(dst, bucket)
}

// appendKeyColumn appends row i of c.
func appendKeyColumn(dst []byte, c *batch.Column, i int) []byte {
	if c.IsNull(i) {
		return append(dst, tagNull)
	}
	switch c.Kind() {
	case batch.Bool:
		return appendKeyInt(dst, batch.Bool, b2i(c.Bool(i)))
	case batch.Int32:
		return appendKeyInt(dst, batch.Int32, int64(c.Int32s()[i]))
	case batch.Int64, batch.Timestamp:
		return appendKeyInt(dst, batch.Int64, c.Int64s()[i])
	default:
		return append(appendEscaped(append(dst, tagValue), c.Bytes(i)), 0)
	}
}

// appendKeyInt appends a value of a kind of fixed width.
func appendKeyInt(dst []byte, kind batch.Kind, v int64) []byte {
	dst = append(dst, tagValue)
	switch kind {
	case batch.Bool:
		return append(dst, byte(v))
	case batch.Int32:
		return binary.BigEndian.AppendUint32(dst, uint32(int32(v))^1<<31)
	default:
		return binary.BigEndian.AppendUint64(dst, uint64(v)^1<<63)
	}
}

// appendEscaped appends text with every zero byte followed by 0xFF; the
// terminator of a whole value is a zero byte followed by anything less.
func appendEscaped(dst, s []byte) []byte {
	for {
		n := bytes.IndexByte(s, 0)
		if n < 0 {
			return append(dst, s...)
		}
		dst = append(append(dst, s[:n+1]...), 0xFF)
		s = s[n+1:]
	}
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// keyWidth returns the bytes of a value behind its tag, -1 for text.
func keyWidth(kind batch.Kind) int {
	switch kind {
	case batch.Bool:
		return 1
	case batch.Int32:
		return 4
	case batch.Int64, batch.Timestamp:
		return 8
	}
	return -1
}

// keyColumnLen returns the length of the column of a kind that key begins with,
// or -1 when the bytes are none.
func keyColumnLen(key []byte, kind batch.Kind) int {
	if len(key) == 0 {
		return -1
	}
	if key[0] == tagNull {
		return 1
	}
	if key[0] != tagValue {
		return -1
	}
	if w := keyWidth(kind); w >= 0 {
		if len(key) < 1+w || kind == batch.Bool && key[1] > 1 {
			return -1
		}
		return 1 + w
	}
	for at := 1; ; {
		n := bytes.IndexByte(key[at:], 0)
		if n < 0 {
			return -1
		}
		at += n + 1
		if at == len(key) || key[at] != 0xFF {
			return at
		}
		at++
	}
}

// readKeyColumn puts one column of a key, as cut by keyColumnLen, into row i of c.
func readKeyColumn(c *batch.Column, i int, col []byte) {
	if col[0] == tagNull {
		c.SetNull(i)
		return
	}
	col = col[1:]
	switch c.Kind() {
	case batch.Bool:
		c.SetBool(i, col[0] != 0)
	case batch.Int32:
		c.Int32s()[i] = int32(binary.BigEndian.Uint32(col) ^ 1<<31)
	case batch.Int64, batch.Timestamp:
		c.Int64s()[i] = int64(binary.BigEndian.Uint64(col) ^ 1<<63)
	default:
		text := col[:len(col)-1]
		if bytes.IndexByte(text, 0) >= 0 {
			text = bytes.ReplaceAll(text, []byte{0, 0xFF}, []byte{0})
		}
		c.SetBytes(i, text)
	}
}
