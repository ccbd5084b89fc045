package disk

import (
	"encoding/binary"
	"errors"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/state"
)

// The keys of the store, numbers big endian:
//
//	rowsOf    | pane | hash | key        the words of a record, little endian, and its texts
//	changesOf | cut | pane | hash | key  nothing: the record was located or deleted before the cut
//
// A key is one byte, 0 for null, 1 for bytes, and the bytes. So the rows of a pane
// lie in the order of hashes, and those of a key group side by side.
const (
	rowsOf    = 'r'
	changesOf = 'c'
)

// hashAt is where the hash begins in the key of a row.
const hashAt = 1 + 8

func appendPane(dst []byte, id int64) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(id)^1<<63)
}

// rowPrefix is what the keys of the rows of a pane begin with.
func rowPrefix(dst []byte, id int64) []byte { return appendPane(append(dst, rowsOf), id) }

// changePrefix is what the keys of changes of a pane before a cut begin with.
func changePrefix(dst []byte, cut uint64, id int64) []byte {
	return appendPane(binary.BigEndian.AppendUint64(append(dst, changesOf), cut), id)
}

// encodeKey appends a key.
func encodeKey(dst []byte, v *batch.View, arena []byte) []byte {
	if state.IsNullKey(*v) {
		return append(dst, 0)
	}
	return append(append(dst, 1), v.Bytes(arena)...)
}

// hashed appends a hash and its key to a prefix.
func hashed(prefix []byte, hash uint64, v *batch.View, arena []byte) []byte {
	return encodeKey(binary.BigEndian.AppendUint64(prefix, hash), v, arena)
}

var errDamaged = errors.New("state on disk holds what was never written there")

// decodeKey appends the key behind the hash at the start of b to k, with the hash.
func decodeKey(k *state.Keys, b []byte) error {
	if len(b) < 9 {
		return errDamaged
	}
	k.Hashes = append(k.Hashes, binary.BigEndian.Uint64(b))
	switch text := b[9:]; {
	case b[8] == 0:
		k.Append(state.NullKey, nil)
	case len(text) <= batch.InlineMax:
		k.Append(batch.InlineView(text), nil)
	default:
		k.Append(batch.LongView(text, 0), text)
	}
	return nil
}

// decodeWords reads the words of a record and returns its texts.
func decodeWords(words []uint64, value []byte) (texts []byte, err error) {
	if len(value) < 8*len(words) {
		return nil, errDamaged
	}
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(value[8*i:])
	}
	return value[8*len(words):], nil
}

// groupBounds returns the bounds of the keys of a group behind a prefix.
func groupBounds(prefix []byte, g keygroup.Group) (lower, upper []byte) {
	lower = binary.BigEndian.AppendUint64(append([]byte(nil), prefix...), uint64(g)<<(64-keygroup.Bits))
	if g == keygroup.Count-1 {
		return lower, after(prefix)
	}
	return lower, binary.BigEndian.AppendUint64(append([]byte(nil), prefix...), uint64(g+1)<<(64-keygroup.Bits))
}

// after returns the first key behind those with a prefix.
func after(prefix []byte) []byte {
	out := append([]byte(nil), prefix...)
	for i := len(out) - 1; i >= 0; i-- {
		if out[i]++; out[i] != 0 {
			return out[:i+1]
		}
	}
	return nil
}

// groups is a set of key groups.
type groups [keygroup.Count / 64]uint64

func (s *groups) add(g keygroup.Group)      { s[g>>6] |= 1 << (g & 63) }
func (s *groups) has(g keygroup.Group) bool { return s[g>>6]>>(g&63)&1 != 0 }
func (s *groups) empty() bool               { return *s == groups{} }
