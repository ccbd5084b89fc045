package table

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/gorge-stream/gorge/internal/batch"
)

// rowVersion is the first byte of a value; docs/formats/table.md has the layout.
const rowVersion = 1

// maxRowBytes bounds the value of a row.
const maxRowBytes = 16 << 20

// What is in the store but cannot be read.
var (
	errRow = errors.New("the value of a row is malformed")
	errKey = errors.New("the key of a row is malformed")
)

// appendRow appends the columns of row i as a value. cols are the columns of the
// table that are not in the key, in the order of its definition; one that the
// pipeline does not make any more is nil and becomes null.
func appendRow(dst []byte, cols []*batch.Column, i int) []byte {
	dst = append(dst, rowVersion)
	dst = binary.AppendUvarint(dst, uint64(len(cols)))
	nulls := len(dst)
	for range (len(cols) + 7) / 8 {
		dst = append(dst, 0)
	}
	for k, c := range cols {
		if c == nil || c.IsNull(i) {
			dst[nulls+k>>3] |= 1 << (k & 7)
			continue
		}
		switch c.Kind() {
		case batch.Bool:
			dst = append(dst, byte(b2i(c.Bool(i))))
		case batch.Int32:
			dst = binary.AppendVarint(dst, int64(c.Int32s()[i]))
		case batch.Int64:
			dst = binary.AppendVarint(dst, c.Int64s()[i])
		case batch.Timestamp:
			dst = binary.LittleEndian.AppendUint64(dst, uint64(c.Int64s()[i]))
		case batch.Float32:
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(c.Float32s()[i]))
		case batch.Float64:
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(c.Float64s()[i]))
		default:
			text := c.Bytes(i)
			dst = append(binary.AppendUvarint(dst, uint64(len(text))), text...)
		}
	}
	return dst
}

// readRow reads a value of a table whose columns outside the key have the given
// kinds into row i of b: column k goes to column to[k], or nowhere if that is
// negative. A value with fewer columns was written before the others were added:
// they are null. Whatever the bytes are, it returns errRow and does not panic.
func readRow(b *batch.Batch, i int, value []byte, kinds []batch.Kind, to []int) error {
	if len(value) < 2 || value[0] != rowVersion {
		return errRow
	}
	n, w := binary.Uvarint(value[1:])
	if w <= 0 || n > uint64(len(kinds)) {
		return errRow
	}
	value = value[1+w:]
	count := int(n)
	size := (count + 7) / 8
	if len(value) < size || count&7 != 0 && value[size-1]>>(count&7) != 0 {
		return errRow
	}
	nulls := value[:size]
	value = value[size:]
	for k, kind := range kinds {
		var c *batch.Column
		if to[k] >= 0 {
			c = b.Col(to[k])
		}
		if k >= count || nulls[k>>3]>>(k&7)&1 != 0 {
			if c != nil {
				c.SetNull(i)
			}
			continue
		}
		used := readValue(c, i, value, kind)
		if used < 0 {
			return errRow
		}
		value = value[used:]
	}
	if len(value) != 0 {
		return errRow
	}
	return nil
}

// readValue reads one value into row i of c, if c is not nil, and returns its length or -1.
func readValue(c *batch.Column, i int, p []byte, kind batch.Kind) int {
	switch kind {
	case batch.Bool:
		if len(p) < 1 || p[0] > 1 {
			return -1
		}
		if c != nil {
			c.SetBool(i, p[0] == 1)
		}
		return 1
	case batch.Int32, batch.Int64:
		return readInt(c, i, p, kind)
	case batch.Float32:
		if len(p) < 4 {
			return -1
		}
		if c != nil {
			c.Float32s()[i] = math.Float32frombits(binary.LittleEndian.Uint32(p))
		}
		return 4
	case batch.Timestamp, batch.Float64:
		if len(p) < 8 {
			return -1
		}
		switch bits := binary.LittleEndian.Uint64(p); {
		case c == nil:
		case kind == batch.Timestamp:
			c.Int64s()[i] = int64(bits)
		default:
			c.Float64s()[i] = math.Float64frombits(bits)
		}
		return 8
	default:
		n, w := binary.Uvarint(p)
		if w <= 0 || n > uint64(len(p)-w) {
			return -1
		}
		if c != nil {
			c.SetBytes(i, p[w:w+int(n)])
		}
		return w + int(n)
	}
}

func readInt(c *batch.Column, i int, p []byte, kind batch.Kind) int {
	v, w := binary.Varint(p)
	if w <= 0 || kind == batch.Int32 && int64(int32(v)) != v {
		return -1
	}
	switch {
	case c == nil:
	case kind == batch.Int32:
		c.Int32s()[i] = int32(v)
	default:
		c.Int64s()[i] = v
	}
	return w
}
