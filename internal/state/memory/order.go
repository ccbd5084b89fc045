package memory

import "unsafe"

// sort puts each run of taken slots in the order of the hashes, so that the
// whole table is. It finds as before: a run stays a run, and no record comes to
// lie before its home. The records that had wrapped around the end, which are
// last in the order, come to lie in the first slots; their number is kept.
func (p *pane) sort() {
	p.wrapped = 0
	if p.n == 0 {
		return
	}
	empty := 0
	for p.slot(uint32(empty))[0] != 0 {
		empty++
	}
	// Once around, from one free slot to itself: every run is met whole.
	run := 0
	for i := 1; i <= p.slots; i++ {
		at := p.around(empty + i)
		if p.slot(uint32(at))[0] != 0 {
			run++
			continue
		}
		if run > 1 {
			p.sortRun(p.around(at-run+p.slots), run)
		}
		run = 0
	}
	for p.wrapped < empty && int(p.scale.Slot(p.hash(p.slot(uint32(p.wrapped))))) > empty {
		p.wrapped++
	}
}

// sortRun sorts n slots from first on by insertion; they may go around the end.
func (p *pane) sortRun(first, n int) {
	o := &p.owner.order
	if cap(o.ranks) < n {
		o.ranks = make([]rank, 2*n)
	}
	if len(o.slot) < p.stride {
		o.slot = make([]uint64, p.stride)
	}
	ranks, tracked := o.ranks[:n], len(p.marks) > 0
	for i := range n {
		r := p.rank(first, p.words(p.around(first+i)))
		if i == 0 || !r.less(ranks[i-1]) {
			ranks[i] = r
			continue
		}
		copy(o.slot, p.words(p.around(first+i)))
		marked := tracked && p.marked(uint32(p.around(first+i)))
		j := i
		for ; j > 0 && r.less(ranks[j-1]); j-- {
			ranks[j] = ranks[j-1]
			copy(p.words(p.around(first+j)), p.words(p.around(first+j-1)))
			if tracked {
				p.moveMark(p.around(first+j), p.around(first+j-1))
			}
		}
		ranks[j] = r
		copy(p.words(p.around(first+j)), o.slot)
		if tracked {
			p.putMark(p.around(first+j), marked)
		}
	}
}

// ordering is scratch of sort.
type ordering struct {
	ranks []rank
	slot  []uint64
}

// rank is the place of a record in its run: of a run that goes around the end,
// the records whose home is at the start of the table come behind the others.
type rank struct {
	start bool
	hash  uint64
}

func (r rank) less(o rank) bool {
	if r.start != o.start {
		return o.start
	}
	return r.hash < o.hash
}

func (p *pane) rank(first int, slot []uint64) rank {
	h := p.hash((*[keyWords]uint64)(slot))
	return rank{int(p.scale.Slot(h)) < first, h}
}

// around returns the slot i steps from slot 0; i is less than twice the slots.
func (p *pane) around(i int) int {
	if i >= p.slots {
		i -= p.slots
	}
	return i
}

// words returns the words of a slot.
func (p *pane) words(slot int) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(p.slot(uint32(slot)))), p.stride)
}
