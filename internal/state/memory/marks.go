package memory

import (
	"math/bits"

	"github.com/gorge-stream/gorge/internal/failpoint"
	"github.com/gorge-stream/gorge/internal/record"
)

// minGone is the number of deleted keys that a pane remembers however few records it has.
const minGone = 1024

func markWords(slots int) int { return (slots + 63) / 64 }

// track begins to mark records: none has changed.
func (p *pane) track() {
	p.fresh, p.located, p.loaded = false, 0, nil
	n := markWords(p.slots)
	if cap(p.marks) < n {
		p.marks = make([]uint64, n)
		return
	}
	p.marks = p.marks[:n]
	clear(p.marks)
}

// refresh makes the pane one that the cuts so far know nothing of.
func (p *pane) refresh() {
	p.fresh, p.marks = true, p.marks[:0]
	p.gone.Reset()
}

// mark notes that the records were located. Once more than half of all has
// changed it is not worth the time.
func (p *pane) mark(refs []record.Ref) {
	marks, per := p.marks, p.perSlot
	for _, r := range refs {
		slot, _ := bits.Mul64(uint64(r-keyWords), per)
		marks[slot>>6] |= 1 << (slot & 63)
	}
	if p.located += len(refs); p.located > p.n/2 {
		p.judge()
	}
}

// judge counts the marks, and gives them up when they are many.
func (p *pane) judge() {
	p.located = p.changed()
	if p.located > p.n/2 {
		p.marks = p.marks[:0]
	}
}

// changed returns the number of marks.
func (p *pane) changed() int {
	n := 0
	for _, w := range p.marks {
		n += bits.OnesCount64(w)
	}
	return n
}

func (p *pane) marked(slot uint32) bool { return p.marks[slot>>6]>>(slot&63)&1 != 0 }

func (p *pane) setMark(slot uint32) { p.marks[slot>>6] |= 1 << (slot & 63) }

// moveMark makes the mark of a slot that of another.
func (p *pane) moveMark(to, from int) { p.putMark(to, p.marked(uint32(from))) }

func (p *pane) putMark(slot int, on bool) {
	p.marks[slot>>6] &^= 1 << (slot & 63)
	if on {
		p.setMark(uint32(slot))
	}
}

// forget notes that the record in a slot of from, whose place the pane takes, is deleted.
func (p *pane) forget(from *pane, s *[keyWords]uint64) {
	if p.fresh || failpoint.Bug("memory-tombstone-forgotten") {
		return
	}
	p.gone.Append(viewOf(s), from.keys)
}

// boundGone gives up remembering deleted keys when there are more of them than
// records: to write the pane anew is cheaper then.
func (p *pane) boundGone() {
	if len(p.gone.Views) > max(minGone, p.n) {
		p.refresh()
	}
}
