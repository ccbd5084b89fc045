package memory

import (
	"bytes"
	"math"
	"unsafe"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
)

// loading is the scratch of Load.
type loading struct {
	hashes []uint64
	refs   [stretch]record.Ref
	words  []uint64
}

// Load adds the records of a chunk. See state.Durable.
func (s *Backend) Load(c *state.Chunk) error {
	if !s.groups.Contains(c.Group) {
		return nil
	}
	var err error
	if s.load.hashes, err = c.Check(len(s.layout.Init), s.load.hashes); err != nil {
		return err
	}
	p, err := s.pane(c.Pane)
	if err != nil {
		return err
	}
	p.refresh()
	if p.loaded == nil {
		p.loaded = make([]int32, s.groups.Len())
	}
	before := p.n
	for i := range c.Gone.Views {
		p.remove(&c.Gone.Views[i], c.Gone.Arena)
	}
	if err := p.expect(c.Group, len(c.Keys.Views)); err != nil {
		return err
	}
	for from := 0; from < len(c.Keys.Views); from += stretch {
		if err := p.loadRows(c, from, min(from+stretch, len(c.Keys.Views))); err != nil {
			return err
		}
	}
	p.loaded[c.Group-s.groups.First] += int32(p.n - before)
	return nil
}

// loadRows makes the records from to to-1 of a chunk that was checked.
func (p *pane) loadRows(c *state.Chunk, from, to int) error {
	l, w := &p.owner.load, p.stride-keyWords
	k := state.Keys{Views: c.Keys.Views[from:to], Hashes: l.hashes[from:to], Arena: c.Keys.Arena, Long: len(c.Keys.Arena) > 0}
	refs := l.refs[:to-from]
	if err := p.Locate(&k, refs); err != nil {
		return err
	}
	words := c.Words[from*w : to*w]
	if move := p.owner.layout.MoveTexts; move != nil {
		// In a copy: the chunk is not the backend's.
		l.words = append(l.words[:0], words...)
		words = l.words
		var own [stretch]record.Ref
		for i := range refs {
			own[i] = uint32(i * w)
		}
		b := record.Block{Base: unsafe.Pointer(unsafe.SliceData(words)), Arena: &c.Texts}
		p.values = move(b, own[:len(refs)], p.values)
	}
	for i, r := range refs {
		copy(unsafe.Slice((*uint64)(unsafe.Add(p.base, uintptr(r)*8)), w), words[i*w:])
	}
	return nil
}

// enough is the number of records from which on their density tells that of the rest.
const enough = 256

// expect makes room for n records of a group. Chunks come in the order of the
// groups and so of the slots: as long as the table has only the size of what was
// loaded, all of it would want to lie at its start. So what the last groups hold
// is taken for the density everywhere.
func (p *pane) expect(g keygroup.Group, n int) error {
	at := int(g - p.owner.groups.First)
	sum, groups := n+int(p.loaded[at]), 1
	for ; sum < enough && groups <= at; groups++ {
		sum += int(p.loaded[at-groups])
	}
	total := p.n + n
	if sum >= enough {
		total = max(total, min(sum*len(p.loaded)/groups, math.MaxUint32/p.stride/4))
	}
	// Locally there may be a few more than on average.
	if total <= p.limit+p.limit/8 {
		return nil
	}
	return p.grow(total)
}

// remove deletes the record of a key, if there is one: the records behind it
// that it kept from their homes move up.
func (p *pane) remove(v *batch.View, arena []byte) {
	at, ok := p.find(v, arena)
	if !ok {
		return
	}
	hole := at
	for next := p.around(hole + 1); p.slot(uint32(next))[0] != 0; next = p.around(next + 1) {
		home := int(p.scale.Slot(p.hash(p.slot(uint32(next)))))
		if p.distance(home, next) >= p.distance(hole, next) {
			copy(p.words(hole), p.words(next))
			hole = next
		}
	}
	clear(p.words(hole))
	p.n--
}

// distance returns the steps from one slot to another, around the end.
func (p *pane) distance(from, to int) int {
	if to < from {
		to += p.slots
	}
	return to - from
}

// find returns the slot of a key.
func (p *pane) find(v *batch.View, arena []byte) (int, bool) {
	h := state.HashKey(v, arena)
	for at := int(p.scale.Slot(h)); ; at = p.around(at + 1) {
		s := p.slot(uint32(at))
		switch {
		case s[0] == 0:
			return 0, false
		case s[0] != v.W0|taken:
		case long(s[0]) && bytes.Equal(p.longKey(s), v.Bytes(arena)), !long(s[0]) && s[1] == v.W1:
			return at, true
		}
	}
}
