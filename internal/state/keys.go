package state

import (
	"encoding/binary"
	"math"

	"github.com/gorge-stream/gorge/internal/batch"
)

// Keys is the encoded keys of some rows: bytes that are equal exactly when all
// key columns are equal (null equals null, -0 equals 0, NaN equals NaN).
//
// One String or Binary column: its bytes. One other column: its 8 bytes, or 1
// for a Bool. Several: each with a leading byte that tells null (0) or not (1),
// texts with their length. No columns: no bytes. A single null is NullKey.
type Keys struct {
	Views  []batch.View
	Hashes []uint64
	Arena  []byte // bytes of the long views
	Long   bool   // some view may be long
}

// KeyEncoder makes Keys of the key columns of batches and columns of Keys. One
// goroutine owns it.
type KeyEncoder struct {
	cols  []int
	kinds []batch.Kind
	keys  Keys
	views []batch.View
	arena []byte
	row   []byte
}

// NewKeyEncoder makes an encoder for the columns cols of the schema.
func NewKeyEncoder(s *batch.Schema, cols []int) *KeyEncoder {
	e := &KeyEncoder{cols: cols}
	for _, c := range cols {
		e.kinds = append(e.kinds, s.Fields[c].Kind)
	}
	return e
}

// Encode returns the keys of the rows of b, valid until the next Encode and as long as b.
func (e *KeyEncoder) Encode(b *batch.Batch) *Keys {
	n := b.Len()
	k := &e.keys
	k.Long = false
	if len(e.cols) == 1 && e.kinds[0].Views() && !b.Col(e.cols[0]).HasNulls() {
		c := b.Col(e.cols[0])
		k.Views, k.Arena, k.Long = c.Views()[:n], c.Arena(), len(c.Arena()) > 0
	} else {
		e.encode(b, n)
	}
	if cap(k.Hashes) < n {
		k.Hashes = make([]uint64, b.Cap())
	}
	k.Hashes = k.Hashes[:n]
	if !k.Long {
		for i, v := range k.Views {
			k.Hashes[i] = batch.Hash(v.W0, v.W1)
		}
		return k
	}
	for i := range k.Views {
		k.Hashes[i] = HashKey(&k.Views[i], k.Arena)
	}
	return k
}

// HashKey returns the hash of a key, the same for Encode and for every backend.
func HashKey(v *batch.View, arena []byte) uint64 {
	if v.Inline() || IsNullKey(*v) {
		return batch.Hash(v.W0, v.W1)
	}
	return batch.HashBytes(v.Bytes(arena))
}

func (e *KeyEncoder) encode(b *batch.Batch, n int) {
	if cap(e.views) < n {
		e.views = make([]batch.View, b.Cap())
	}
	e.views, e.arena = e.views[:n], e.arena[:0]
	for i := range e.views {
		if len(e.cols) == 1 {
			e.views[i] = e.single(b.Col(e.cols[0]), i)
			continue
		}
		e.row = e.row[:0]
		for j, c := range e.cols {
			e.row = appendPart(e.row, b.Col(c), e.kinds[j], i)
		}
		e.views[i] = e.view(e.row)
	}
	e.keys.Views, e.keys.Arena = e.views, e.arena
}

func (e *KeyEncoder) view(b []byte) batch.View {
	if len(b) <= batch.InlineMax {
		return batch.InlineView(b)
	}
	e.keys.Long = true
	v := batch.LongView(b, len(e.arena))
	e.arena = append(e.arena, b...)
	return v
}

func (e *KeyEncoder) single(c *batch.Column, i int) batch.View {
	if c.IsNull(i) {
		return NullKey
	}
	if c.Kind().Views() {
		return e.view(c.Bytes(i))
	}
	e.row = appendFixed(e.row[:0], c, i)
	return batch.InlineView(e.row)
}

func appendPart(dst []byte, c *batch.Column, k batch.Kind, i int) []byte {
	if c.IsNull(i) {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	if k.Views() {
		b := c.Bytes(i)
		return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
	}
	return appendFixed(dst, c, i)
}

func appendFixed(dst []byte, c *batch.Column, i int) []byte {
	var w uint64
	switch c.Kind() {
	case batch.Bool:
		if c.Bool(i) {
			return append(dst, 1)
		}
		return append(dst, 0)
	case batch.Int32:
		w = uint64(int64(c.Int32s()[i]))
	case batch.Float32:
		w = floatKey(float64(c.Float32s()[i]))
	case batch.Float64:
		w = floatKey(c.Float64s()[i])
	default:
		w = uint64(c.Int64s()[i])
	}
	return binary.LittleEndian.AppendUint64(dst, w)
}

func floatKey(f float64) uint64 {
	switch {
	case f == 0:
		return 0
	case math.IsNaN(f):
		return math.Float64bits(math.NaN())
	}
	return math.Float64bits(f)
}

// Decode writes the keys to the rows at, at+1, ... of the columns, which have
// the kinds of the key columns in their order.
func (e *KeyEncoder) Decode(k *Keys, cols []*batch.Column, at int) {
	if len(cols) == 1 && cols[0].Kind().Views() && !k.Long {
		if dst := cols[0].Views()[at:]; !e.hasNull(k) {
			copy(dst, k.Views)
			return
		}
	}
	for i := range k.Views {
		v := &k.Views[i]
		if len(cols) == 1 {
			if IsNullKey(*v) {
				cols[0].SetNull(at + i)
			} else {
				decodeValue(cols[0], at+i, v.Bytes(k.Arena))
			}
			continue
		}
		row := v.Bytes(k.Arena)
		for _, c := range cols {
			row = decodePart(row, c, at+i)
		}
	}
}

func (e *KeyEncoder) hasNull(k *Keys) bool {
	for _, v := range k.Views {
		if IsNullKey(v) {
			return true
		}
	}
	return false
}

func decodePart(row []byte, c *batch.Column, i int) []byte {
	if row[0] == 0 {
		c.SetNull(i)
		return row[1:]
	}
	row = row[1:]
	n := 8
	switch {
	case c.Kind() == batch.Bool:
		n = 1
	case c.Kind().Views():
		l, w := binary.Uvarint(row)
		row, n = row[w:], int(l)
	}
	decodeValue(c, i, row[:n])
	return row[n:]
}

func decodeValue(c *batch.Column, i int, b []byte) {
	switch c.Kind() {
	case batch.String, batch.Binary:
		c.SetBytes(i, b)
	case batch.Bool:
		c.SetBool(i, b[0] != 0)
	case batch.Int32:
		c.Int32s()[i] = int32(binary.LittleEndian.Uint64(b))
	case batch.Float32:
		c.Float32s()[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(b)))
	case batch.Float64:
		c.Float64s()[i] = math.Float64frombits(binary.LittleEndian.Uint64(b))
	default:
		c.Int64s()[i] = int64(binary.LittleEndian.Uint64(b))
	}
}

// Fits reports whether a key has the form of those that Encode makes, so that
// Decode can read it: keys may come from a file.
func (e *KeyEncoder) Fits(v batch.View, arena []byte) bool {
	if len(e.kinds) == 1 {
		return IsNullKey(v) || e.kinds[0].Views() || v.Len() == fixedLength(e.kinds[0])
	}
	if IsNullKey(v) {
		return false
	}
	row := v.Bytes(arena)
	for _, k := range e.kinds {
		if len(row) == 0 {
			return false
		}
		null := row[0] == 0
		if row = row[1:]; null {
			continue
		}
		n := uint64(fixedLength(k))
		if k.Views() {
			length, w := binary.Uvarint(row)
			if w <= 0 {
				return false
			}
			row, n = row[w:], length
		}
		if n > uint64(len(row)) {
			return false
		}
		row = row[n:]
	}
	return len(row) == 0
}

// fixedLength returns the bytes of a value that is not text.
func fixedLength(k batch.Kind) int {
	if k == batch.Bool {
		return 1
	}
	return 8
}
