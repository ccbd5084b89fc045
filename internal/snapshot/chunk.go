package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/state"
)

// slack is what appendKeys may write behind the end of a key.
const slack = batch.InlineMax

// appendChunk appends a chunk; its key group is in the index.
func appendChunk(dst []byte, c *state.Chunk, words int) ([]byte, error) {
	rows, gone := len(c.Keys.Views), len(c.Gone.Views)
	if len(c.Words) != rows*words {
		return dst, fmt.Errorf("a chunk of %d records of %d words has %d", rows, words, len(c.Words))
	}
	from := len(dst)
	dst = append(dst, make([]byte, 8)...) // length and checksum
	dst = binary.LittleEndian.AppendUint64(dst, uint64(c.Pane))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(rows))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(gone))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(c.Texts)))
	dst = appendKeys(dst, &c.Keys)
	dst = appendKeys(dst, &c.Gone)
	dst = appendWords(dst, c.Words)
	dst = append(dst, c.Texts...)
	if len(dst) >= maxObject {
		return dst, fmt.Errorf("a chunk of pane %d and key group %d takes more than 2 GiB", c.Pane, c.Group)
	}
	binary.LittleEndian.PutUint32(dst[from:], uint32(len(dst)-from-8))
	binary.LittleEndian.PutUint32(dst[from+4:], checkpoint.Checksum(dst[from+8:]))
	return dst, nil
}

// keyLength returns the length of a key plus 1, 0 for the null key.
func keyLength(v *batch.View) uint64 {
	if state.IsNullKey(*v) {
		return 0
	}
	return uint64(v.Len()) + 1
}

// appendKeys appends keys: their common length plus 1, or 0 and the length plus 1 of
// each (0 for the null key); then their bytes. No keys are no bytes.
func appendKeys(dst []byte, k *state.Keys) []byte {
	if len(k.Views) == 0 {
		return dst
	}
	common := keyLength(&k.Views[0])
	bytes := 0
	for i := range k.Views {
		n := keyLength(&k.Views[i])
		bytes += int(max(n, 1)) - 1
		if n != common {
			common = 0
		}
	}
	dst = binary.AppendUvarint(dst, common)
	if common == 0 {
		for i := range k.Views {
			dst = binary.AppendUvarint(dst, keyLength(&k.Views[i]))
		}
	}
	at := len(dst)
	dst = slices.Grow(dst, bytes+slack)[:at+bytes+slack]
	for i := range k.Views {
		v := &k.Views[i]
		switch {
		case v.Inline():
			binary.LittleEndian.PutUint32(dst[at:], uint32(v.W0>>32))
			binary.LittleEndian.PutUint64(dst[at+4:], v.W1)
			at += v.Len()
		case !state.IsNullKey(*v):
			at += copy(dst[at:], v.Bytes(k.Arena))
		}
	}
	return dst[:at]
}

func appendWords(dst []byte, words []uint64) []byte {
	at := len(dst)
	dst = slices.Grow(dst, 8*len(words))[:at+8*len(words)]
	b := dst[at:]
	for i, w := range words {
		binary.LittleEndian.PutUint64(b[8*i:], w)
	}
	return dst
}

// decoder reads chunks into memory that it uses again.
type decoder struct {
	chunk state.Chunk
	words int // of a record
}

var errShort = errors.New("a chunk is shorter than what it holds")

// next splits the first chunk off the chunks of a key group, without looking into it.
func next(chunks []byte) (body, rest []byte, err error) {
	if len(chunks) < chunkBytes {
		return nil, nil, errShort
	}
	n := binary.LittleEndian.Uint32(chunks)
	if int64(n) > int64(len(chunks)-8) || n < chunkBytes-8 {
		return nil, nil, errors.New("a chunk has a length that cannot be")
	}
	return chunks[: 8+n : 8+n], chunks[8+n:], nil
}

// pane returns the pane of a chunk.
func pane(chunk []byte) int64 { return int64(binary.LittleEndian.Uint64(chunk[8:])) }

// rows returns the numbers of records and of deleted keys.
func rows(chunk []byte) (records, gone uint32) {
	return binary.LittleEndian.Uint32(chunk[16:]), binary.LittleEndian.Uint32(chunk[20:])
}

// decode reads a chunk that next has split off. The result shares memory with it, and
// is valid until the next decode.
func (d *decoder) decode(chunk []byte) (*state.Chunk, error) {
	if checkpoint.Checksum(chunk[8:]) != binary.LittleEndian.Uint32(chunk[4:]) {
		return nil, errors.New("the checksum of a chunk differs")
	}
	c := &d.chunk
	c.Pane = pane(chunk)
	records, gone := rows(chunk)
	texts := binary.LittleEndian.Uint32(chunk[24:])
	rest := chunk[chunkBytes:]
	var err error
	if rest, err = decodeKeys(&c.Keys, rest, records); err != nil {
		return nil, err
	}
	if rest, err = decodeKeys(&c.Gone, rest, gone); err != nil {
		return nil, err
	}
	words := int64(records) * int64(d.words)
	if words*8+int64(texts) != int64(len(rest)) {
		return nil, errors.New("a chunk has another length than what it holds")
	}
	c.Words = slices.Grow(c.Words[:0], int(words))[:words]
	for i := range c.Words {
		c.Words[i] = binary.LittleEndian.Uint64(rest[8*i:])
	}
	c.Texts = rest[8*words:]
	return c, nil
}

// decodeKeys reads n keys and returns what is behind them.
func decodeKeys(k *state.Keys, b []byte, n uint32) ([]byte, error) {
	k.Views, k.Long, k.Arena = k.Views[:0], false, nil
	if n == 0 {
		return b, nil
	}
	common, w := binary.Uvarint(b)
	if w <= 0 {
		return nil, errShort
	}
	b = b[w:]
	if common > 0 {
		return decodeEqualKeys(k, b, n, common-1)
	}
	// Each key has at least one byte of length.
	if int64(n) > int64(len(b)) {
		return nil, errShort
	}
	lengths := b
	for range n {
		_, w := binary.Uvarint(b)
		if w <= 0 {
			return nil, errShort
		}
		b = b[w:]
	}
	k.Views, k.Arena = slices.Grow(k.Views, int(n)), b
	at := uint64(0)
	for range n {
		length, w := binary.Uvarint(lengths)
		lengths = lengths[w:]
		if length == 0 {
			k.Views = append(k.Views, state.NullKey)
			continue
		}
		if length-1 > uint64(len(b))-at {
			return nil, errShort
		}
		k.Views = append(k.Views, view(k, b[at:at+length-1], at))
		at += length - 1
	}
	return b[at:], nil
}

// decodeEqualKeys reads n keys of one length.
func decodeEqualKeys(k *state.Keys, b []byte, n uint32, length uint64) ([]byte, error) {
	if length > uint64(len(b)) || length*uint64(n) > uint64(len(b)) {
		return nil, errShort
	}
	if length == 0 && n > 1 {
		return nil, errors.New("a chunk has the empty key more than once")
	}
	k.Views, k.Arena = slices.Grow(k.Views, int(n))[:n], b
	for i := range k.Views {
		at := uint64(i) * length
		k.Views[i] = view(k, b[at:at+length], at)
	}
	return b[length*uint64(n):], nil
}

// view returns the view of a key that lies at an offset in the arena.
func view(k *state.Keys, b []byte, at uint64) batch.View {
	if len(b) <= batch.InlineMax {
		return batch.InlineView(b)
	}
	k.Long = true
	return batch.LongView(b, int(at))
}
