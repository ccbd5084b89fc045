package disk

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
)

// What is known of a row.
const (
	dirty   = 1 << iota // the store does not have it as it is
	changed             // located since the last cut
)

// windowRows is the rows of a window.
const windowRows = 256

// rowOverhead is the bytes of a row beside its words: view, hash, flags and up to
// four entries of the index.
const rowOverhead = 16 + 8 + 1 + 16

// table is the rows of a pane that are in memory, in no order, found by an index
// of open addressing. Before them lies the window: room for rows that a Scan or
// Retain shows and that are not in the table, so that showing them moves nothing.
type table struct {
	stride int // words of a row
	words  []uint64
	views  []batch.View
	hashes []uint64
	flags  []uint8
	index  []uint32 // row + 1; 0: free
	keys   []byte   // bytes of long keys
	texts  []byte   // arena of the words
}

func newTable(stride int) table {
	return table{stride: max(1, stride), words: make([]uint64, windowRows*max(1, stride))}
}

func (t *table) rows() int { return len(t.views) }

// ref returns the ref of a row.
func (t *table) ref(row int) record.Ref { return uint32((windowRows + row) * t.stride) }

// row returns the row of a ref, below 0 for one in the window.
func (t *table) row(r record.Ref) int { return int(r)/t.stride - windowRows }

func (t *table) block() record.Block {
	return record.Block{Base: unsafe.Pointer(unsafe.SliceData(t.words)), Arena: &t.texts}
}

// record returns the words of a row.
func (t *table) record(row int) []uint64 {
	return t.words[(windowRows+row)*t.stride:][:t.stride]
}

func (t *table) bytes() int {
	return 8*cap(t.words) + 16*cap(t.views) + 8*cap(t.hashes) + cap(t.flags) + 4*cap(t.index) + cap(t.keys) + cap(t.texts)
}

// growth returns the bytes that room for n more rows would take.
func (t *table) growth(n int) int {
	if t.rows()+n <= cap(t.views) {
		return 0
	}
	return (t.roomFor(n) - cap(t.views)) * (rowOverhead + 8*t.stride)
}

func (t *table) roomFor(n int) int { return max(t.rows()+n, cap(t.views)*3/2, windowRows) }

// reserve makes room for n more rows.
func (t *table) reserve(n int) error {
	if t.rows()+n <= cap(t.views) {
		return nil
	}
	room := t.roomFor(n)
	if room > math.MaxUint32/t.stride-windowRows {
		return fmt.Errorf("state of one pane would take %d records in memory: more than a task can hold; raise the parallelism", room)
	}
	t.words = resized(t.words, (windowRows+room)*t.stride)
	t.views, t.hashes, t.flags = resized(t.views, room), resized(t.hashes, room), resized(t.flags, room)
	size := 64
	for size < 2*room {
		size *= 2
	}
	t.index = make([]uint32, size)
	for row := range t.views {
		t.enter(row)
	}
	return nil
}

// resized returns the values in memory for n of them.
func resized[T any](s []T, n int) []T { return append(make([]T, 0, n), s...) }

// enter puts a row into the index.
func (t *table) enter(row int) {
	mask := uint64(len(t.index) - 1)
	at := t.hashes[row] & mask
	for t.index[at] != 0 {
		at = (at + 1) & mask
	}
	t.index[at] = uint32(row + 1)
}

// find returns the row of a key.
func (t *table) find(v *batch.View, arena []byte, hash uint64) (int, bool) {
	if len(t.index) == 0 {
		return 0, false
	}
	mask := uint64(len(t.index) - 1)
	for at := hash & mask; t.index[at] != 0; at = (at + 1) & mask {
		row := int(t.index[at] - 1)
		if t.hashes[row] == hash && equal(&t.views[row], t.keys, v, arena) {
			return row, true
		}
	}
	return 0, false
}

// equal reports whether two keys are.
func equal(a *batch.View, arenaA []byte, b *batch.View, arenaB []byte) bool {
	if a.W0 != b.W0 {
		return false
	}
	if a.Inline() || state.IsNullKey(*a) {
		return a.W1 == b.W1
	}
	return bytes.Equal(a.Bytes(arenaA), b.Bytes(arenaB))
}

// insert adds the row of a key that has none, with the given words; there is room.
func (t *table) insert(v batch.View, arena []byte, hash uint64, words []uint64) int {
	t.views, t.keys = appendKey(t.views, t.keys, v, arena)
	t.hashes = append(t.hashes, hash)
	t.flags = append(t.flags, 0)
	t.words = append(t.words, words...)
	for len(t.words) < (windowRows+t.rows())*t.stride {
		t.words = append(t.words, 0)
	}
	t.enter(t.rows() - 1)
	return t.rows() - 1
}

// appendKey appends a key to views, the bytes of a long one to keys.
func appendKey(views []batch.View, keys []byte, v batch.View, arena []byte) ([]batch.View, []byte) {
	k := state.Keys{Views: views, Arena: keys}
	k.Append(v, arena)
	return k.Views, k.Arena
}

// ordered returns the rows in the order of hashes and keys, which is that of the store.
func (t *table) ordered(order []uint32) []uint32 {
	order = order[:0]
	for row := range t.views {
		order = append(order, uint32(row))
	}
	slices.SortFunc(order, func(a, b uint32) int {
		if c := cmp.Compare(t.hashes[a], t.hashes[b]); c != 0 {
			return c
		}
		return bytes.Compare(encodeKey(nil, &t.views[a], t.keys), encodeKey(nil, &t.views[b], t.keys))
	})
	return order
}

// clear drops the rows and keeps their memory.
func (t *table) clear() {
	t.words, t.views, t.hashes = t.words[:windowRows*t.stride], t.views[:0], t.hashes[:0]
	t.flags, t.keys, t.texts = t.flags[:0], t.keys[:0], t.texts[:0]
	clear(t.index)
}

// keep drops the rows for which keep is false, and with them their keys and texts.
func (t *table) keep(layout *state.Layout, keep func(row int) bool) {
	to := table{stride: t.stride, words: t.words[:windowRows*t.stride], views: t.views[:0], hashes: t.hashes[:0], flags: t.flags[:0], index: t.index}
	clear(to.index)
	block, ref := t.block(), make([]record.Ref, 1)
	for row := range t.views {
		if !keep(row) {
			continue
		}
		if layout.MoveTexts != nil {
			ref[0] = t.ref(row)
			to.texts = layout.MoveTexts(block, ref, to.texts)
		}
		// Rows move towards the start only, so nothing is overwritten that is still to come.
		flags := t.flags[row]
		at := to.insert(t.views[row], t.keys, t.hashes[row], t.record(row))
		to.flags[at] = flags
	}
	*t = to
}
