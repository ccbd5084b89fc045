package state

import (
	"fmt"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/keygroup"
)

// Durable is what makes a backend's state outlive the process. All state of an
// operator that the input behind a barrier depends on lives in its backend, so
// that operators themselves know nothing of checkpoints.
type Durable interface {
	// Cut returns the state at this moment: of the key groups in base all records,
	// of the others those that were located or deleted since the last Cut. It holds up
	// the task, so it copies and does no more. The backend keeps one cut's buffers
	// for the next: the cut before must have been released. The first Cut, and the
	// one behind a cut whose content got lost, needs keygroup.All.
	Cut(base keygroup.Range) (Cut, error)
	// Load adds the records of a chunk whose keys belong to the backend's groups and
	// deletes those that it names as gone; chunks come in the order in which they
	// were cut. What was loaded counts as changed.
	Load(c *Chunk) error
}

// Cut is state as it was at one moment, no longer the task's. One goroutine at a
// time uses it, beside the task; the backend may be closed in the meantime.
type Cut interface {
	// Panes returns the panes there were, ascending by id.
	Panes() []PaneInfo
	// Chunks calls f with the records of the cut by ascending group and, within a
	// group, pane. A chunk is valid until f returns.
	Chunks(f func(c *Chunk) error) error
	// Release gives the buffers back.
	Release()
}

// PaneInfo is one pane of a cut.
type PaneInfo struct {
	ID int64
	// New: there was none of this id in the cut before, or not the same one: nothing
	// that earlier cuts hold for the id belongs to it.
	New bool
}

// Chunk is records of one pane and one key group.
type Chunk struct {
	Pane  int64
	Group keygroup.Group
	// Keys are the encoded keys (see Keys; Hashes are not set).
	Keys Keys
	// Words are the records in the order of Keys, each as long as Layout.Init.
	Words []uint64
	// Texts is the arena of the words, with nothing in it but what they refer to.
	Texts []byte
	// Gone are the keys of deleted records. They count before the records.
	Gone Keys
}

// Check finds what would break the table of a backend that loads the chunk, whose
// records are words long each: it may come from a file. It appends the hashes of
// Keys to hashes[:0].
func (c *Chunk) Check(words int, hashes []uint64) ([]uint64, error) {
	if len(c.Words) != len(c.Keys.Views)*words {
		return hashes, c.broken("%d words for %d records of %d", len(c.Words), len(c.Keys.Views), words)
	}
	for _, k := range []*Keys{&c.Gone, &c.Keys} {
		hashes = hashes[:0]
		for i := range k.Views {
			v := &k.Views[i]
			if !wellFormed(v, k.Arena) {
				return hashes, c.broken("key %d is not well formed", i)
			}
			h := HashKey(v, k.Arena)
			if g := keygroup.Of(h); g != c.Group {
				return hashes, c.broken("key %d belongs to the key group %d", i, g)
			}
			hashes = append(hashes, h)
		}
	}
	return hashes, nil
}

func (c *Chunk) broken(format string, args ...any) error {
	return fmt.Errorf("chunk of pane %d and key group %d: %s", c.Pane, c.Group, fmt.Sprintf(format, args...))
}

// maxKey is the longest key in bytes, so that its length leaves a bit to backends.
const maxKey = 1<<31 - 1

// wellFormed reports whether a view is the one that a KeyEncoder makes for its bytes.
func wellFormed(v *batch.View, arena []byte) bool {
	switch {
	case IsNullKey(*v):
		return *v == NullKey
	case v.Inline():
		return batch.InlineView(v.Bytes(nil)) == *v
	case v.Len() > maxKey || v.Offset()+v.Len() > len(arena):
		return false
	}
	return batch.LongView(v.Bytes(arena), v.Offset()) == *v
}

// Append appends a key of another arena, and the bytes of a long one to the own arena.
func (k *Keys) Append(v batch.View, arena []byte) {
	if !v.Inline() && !IsNullKey(v) {
		b := v.Bytes(arena)
		v.W1 = uint64(len(k.Arena)) << 32
		k.Arena = append(k.Arena, b...)
		k.Long = true
	}
	k.Views = append(k.Views, v)
}

// Reset empties the keys and keeps their memory.
func (k *Keys) Reset() {
	k.Views, k.Hashes, k.Arena, k.Long = k.Views[:0], k.Hashes[:0], k.Arena[:0], false
}
