package memory

import (
	"math"
	"unsafe"

	"github.com/gorge-stream/gorge/internal/failpoint"
	"github.com/gorge-stream/gorge/internal/record"
)

// grow makes room for n records. Small tables double, large ones grow by half,
// which keeps the memory per key down.
func (p *pane) grow(n int) error {
	slots := p.slots
	for slots*loadNum/loadDen < n {
		if slots < 1<<18 {
			slots *= 2
		} else {
			slots += slots / 2
		}
	}
	return p.rebuild(slots, nil)
}

// Retain rebuilds the table without the records for which keep is false.
func (p *pane) Retain(keep func(r record.Ref) bool) error {
	kept := 0
	for i := range uint32(p.slots) {
		if p.slot(i)[0] != 0 && keep(i*uint32(p.stride)+keyWords) {
			kept++
		}
	}
	if kept == p.n {
		return nil
	}
	return p.rebuild(max(minSlots, kept*2), keep)
}

// rebuild moves the records for which keep is true (nil: all) to a table of the given size.
func (p *pane) rebuild(slots int, keep func(record.Ref) bool) error {
	to := *p
	if err := to.allocate(slots); err != nil {
		return err
	}
	if keep != nil {
		to.keys, to.keysIn = nil, nil
	}
	if len(p.marks) > 0 {
		to.marks = make([]uint64, markWords(slots))
	}
	to.n = 0
	for i := range uint32(p.slots) {
		s := p.slot(i)
		if s[0] == 0 {
			continue
		}
		if keep != nil && !keep(i*uint32(p.stride)+keyWords) {
			to.forget(p, s)
			continue
		}
		j := to.put(p, s, keep != nil)
		if len(p.marks) > 0 && p.marked(i) && !failpoint.Bug("memory-marks-lost-on-grow") {
			to.setMark(j)
		}
	}
	p.free()
	*p = to
	if keep != nil {
		p.compact()
		p.boundGone()
	}
	return nil
}

// minCompact is the size of an arena of texts, in bytes, from which on it is worth compacting.
const minCompact = 16 << 10

// compact drops the texts of deleted records once the arena has doubled.
func (p *pane) compact() {
	move := p.owner.layout.MoveTexts
	if move == nil || len(p.values) < max(2*p.compacted, minCompact) {
		return
	}
	var to []byte
	refs := make([]record.Ref, 0, stretch)
	for i := range uint32(p.slots) {
		if p.slot(i)[0] == 0 {
			continue
		}
		if refs = append(refs, i*uint32(p.stride)+keyWords); len(refs) == stretch {
			to = move(p.Block(), refs, to)
			refs = refs[:0]
		}
	}
	p.values = move(p.Block(), refs, to)
	p.compacted = len(p.values)
}

// put copies a slot of another table, whose key is not in this one, and returns
// where it is. The bytes of a long key come along if moveKey says so.
func (p *pane) put(from *pane, s *[keyWords]uint64, moveKey bool) uint32 {
	j := p.scale.Slot(from.hash(s))
	for p.slot(j)[0] != 0 {
		if j++; j == uint32(p.slots) {
			j = 0
		}
	}
	d := p.slot(j)
	words := uintptr(p.stride)
	copy(unsafe.Slice((*uint64)(unsafe.Pointer(d)), words), unsafe.Slice((*uint64)(unsafe.Pointer(s)), words))
	if moveKey && long(s[0]) {
		d[1] = uint64(len(p.keys))<<32 | s[1]&math.MaxUint32
		p.keys = append(p.keys, from.longKey(s)...)
	}
	p.n++
	return j
}
