package memory

import (
	"errors"
	"fmt"
	"math/bits"
	"sync/atomic"
	"unsafe"

	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
)

// The states of the one cut of a backend.
const (
	cutIdle     = iota // between Release and the next Cut
	cutOut             // between Cut and Release
	cutOrphaned        // out, and the backend is closed
	cutFreed
)

// stretch is the records that are worked on at a time, so that they stay in the
// cache next to the core.
const stretch = 1024

// cut is the copy of what the last Cut asked for. See state.Cut.
type cut struct {
	layout state.Layout
	groups keygroup.Range
	stride int
	state  atomic.Int32
	bytes  atomic.Int64 // of its buffers, as of the last Cut or Release

	base  keygroup.Range // of the last Cut
	infos []state.PaneInfo
	panes []cutPane // as many as infos, and those of earlier cuts to be used again
	rows  buffer
	used  int // words of rows
	refs  [stretch]record.Ref
	out   chunker
}

// cutPane is the copy of one pane.
type cutPane struct {
	// slots are slots of the table as they were. The first run of them lay side by
	// side, and the taken ones among them with a group in whole count; the others
	// hold changed records, and those with other groups count. But for marks.
	slots []uint64
	run   int
	whole keygroup.Range
	// marks are those of the slots when all of them were copied to save time, and not
	// because all count: those with marks do, and those with a group in whole, which
	// are among the near slots from first on.
	marks       []uint64
	first, near int
	keys        []byte // shared with the pane, see M1
	texts       []byte // arena of the words
	gone        state.Keys
	// by are the slots that count, goneBy the deleted keys, by group.
	by, goneBy grouped
}

// Cut copies the state. See state.Durable.
func (s *Backend) Cut(base keygroup.Range) (state.Cut, error) {
	if s.cut == nil {
		s.cut = &cut{layout: s.layout, groups: s.groups, stride: keyWords + len(s.layout.Init)}
	}
	c := s.cut
	if c.state.Load() != cutIdle {
		return nil, errors.New("the cut before has not been released, or the state is closed")
	}
	need := 0
	for _, p := range s.panes {
		if _, n, _ := p.run(base); p.scattered(n) {
			need += p.slots * p.stride
		} else {
			need += (n + p.changed()) * p.stride
		}
	}
	if err := c.rows.reserve(need); err != nil {
		return nil, fmt.Errorf("allocate the copy of the state for a checkpoint: %w", err)
	}
	c.base, c.used, c.infos = base, 0, c.infos[:0]
	for len(c.panes) < len(s.panes) {
		c.panes = append(c.panes, cutPane{})
	}
	for i, p := range s.panes {
		c.infos = append(c.infos, state.PaneInfo{ID: s.ids[i], New: p.fresh})
		c.take(&c.panes[i], p)
		p.track()
	}
	c.measure()
	c.state.Store(cutOut)
	return c, nil
}

// run returns the slots that a cut copies as they lie there: n from the first
// on, around the end; and the groups of which they hold every record.
func (p *pane) run(base keygroup.Range) (first, n int, whole keygroup.Range) {
	groups := p.owner.groups
	r := keygroup.Range{First: max(base.First, groups.First), End: min(base.End, groups.End)}
	if len(p.marks) == 0 || r == groups {
		return 0, p.slots, keygroup.All
	}
	if r.First >= r.End {
		return 0, 0, keygroup.Range{}
	}
	first = int(p.scale.Slot(uint64(r.First) << (64 - keygroup.Bits)))
	end := int(p.scale.Slot(uint64(r.End)<<(64-keygroup.Bits)-1)) + 1
	// What found its home taken lies further on, up to a free slot.
	for end < first+p.slots && p.slot(uint32(p.around(end)))[0] != 0 {
		end++
	}
	return first, end - first, r
}

// scattered reports whether so many records have changed, beside a run of n, that
// picking them out takes longer than copying the table: each is a miss of some 50 ns,
// while slots that follow each other take 2 or 3.
func (p *pane) scattered(n int) bool { return n < p.slots && p.changed() > p.slots/16 }

// candidate reports whether slot i may count: one that may not need not be looked at.
func (p *cutPane) candidate(i int) bool {
	if len(p.marks) == 0 || p.marked(i) {
		return true
	}
	d := i - p.first
	if d < 0 {
		d += p.run
	}
	return d < p.near
}

// counts reports whether slot i, with a record of group g, does.
func (p *cutPane) counts(i int, g keygroup.Group) bool {
	if len(p.marks) > 0 {
		return p.whole.Contains(g) || p.marked(i)
	}
	return p.whole.Contains(g) == (i < p.run)
}

func (p *cutPane) marked(i int) bool { return p.marks[i>>6]>>(i&63)&1 != 0 }

// take copies what the cut needs of a pane.
func (c *cut) take(to *cutPane, p *pane) {
	first, n, whole := p.run(c.base)
	to.whole, to.marks = whole, to.marks[:0]
	if p.scattered(n) {
		to.marks, to.first, to.near = append(to.marks, p.marks...), first, n
		first, n = 0, p.slots
	}
	to.run = n
	dst := c.rows.words[c.used:]
	table := unsafe.Slice((*uint64)(p.base), p.slots*p.stride)
	tail := min(n, p.slots-first)
	copy(dst, table[first*p.stride:(first+tail)*p.stride])
	copy(dst[tail*p.stride:], table[:(n-tail)*p.stride])
	at := n * p.stride
	if n < p.slots {
		at += c.takeMarked(dst[at:], p)
	}
	to.slots = dst[:at:at]
	c.used += at
	to.keys = p.keys
	p.keysIn = c
	to.gone, p.gone = p.gone, to.gone
	p.gone.Reset()
	to.texts = to.texts[:0]
	switch {
	case c.layout.MoveTexts == nil:
	case n == p.slots && len(to.marks) == 0:
		to.texts = append(to.texts, p.values...)
	default:
		c.takeTexts(to, p)
	}
}

// takeMarked copies the marked slots and returns how many words they are.
func (c *cut) takeMarked(dst []uint64, p *pane) int {
	at, n := 0, 0
	flush := func() {
		if n > 0 {
			prefetch(p.base, &c.refs[0], n)
		}
		for _, w := range c.refs[:n] {
			at += copy(dst[at:], unsafe.Slice((*uint64)(unsafe.Add(p.base, uintptr(w)*8)), p.stride))
		}
		n = 0
	}
	for i, w := range p.marks {
		for ; w != 0; w &= w - 1 {
			if n == stretch {
				flush()
			}
			c.refs[n] = uint32((i*64 + bits.TrailingZeros64(w)) * p.stride)
			n++
		}
	}
	flush()
	return at
}

// takeTexts copies the texts of the records that count only.
func (c *cut) takeTexts(to *cutPane, p *pane) {
	b := record.Block{Base: unsafe.Pointer(unsafe.SliceData(to.slots)), Arena: &p.values}
	n := 0
	for at := 0; at < len(to.slots); at += p.stride {
		if to.slots[at] == 0 || !to.candidate(at/p.stride) {
			continue
		}
		if n == stretch {
			to.texts = c.layout.MoveTexts(b, c.refs[:], to.texts)
			n = 0
		}
		c.refs[n] = uint32(at + keyWords)
		n++
	}
	to.texts = c.layout.MoveTexts(b, c.refs[:n], to.texts)
}

// Panes returns the panes of the cut.
func (c *cut) Panes() []state.PaneInfo { return c.infos }

// Release keeps the buffers for the next cut. If they had become tight it makes
// larger ones here, where no task waits for their first touch.
func (c *cut) Release() {
	if s := c.state.Load(); s != cutOut && s != cutOrphaned {
		return
	}
	for i := range c.infos {
		c.panes[i].keys = nil
	}
	if len(c.rows.words)-c.used < c.used/4 {
		c.rows.replace(c.used + c.used/2)
	}
	c.measure()
	if !c.state.CompareAndSwap(cutOut, cutIdle) {
		c.rows.release()
		c.state.Store(cutFreed)
	}
}

// orphan frees the buffers, or leaves it to Release.
func (c *cut) orphan() {
	if c.state.CompareAndSwap(cutOut, cutOrphaned) {
		return
	}
	if c.state.CompareAndSwap(cutIdle, cutFreed) {
		c.rows.release()
	}
}

// refersTo reports whether the bytes that panes shared with the cut are still in
// use; a nil cut has none.
func (c *cut) refersTo() bool {
	if c == nil {
		return false
	}
	s := c.state.Load()
	return s == cutOut || s == cutOrphaned
}

func (c *cut) measure() {
	n := len(c.rows.words)*8 + c.out.bytes()
	for i := range c.panes {
		p := &c.panes[i]
		n += cap(p.texts) + cap(p.gone.Views)*16 + cap(p.gone.Arena) + 8*cap(p.marks) + p.by.bytes() + p.goneBy.bytes()
	}
	c.bytes.Store(int64(n))
}

// buffer is words outside the collected heap.
type buffer struct {
	words []uint64
	free  func()
}

// reserve makes room for n words; what was there is lost.
func (b *buffer) reserve(n int) error {
	if n <= len(b.words) {
		return nil
	}
	b.release()
	return b.allocate(n + n/4)
}

func (b *buffer) allocate(n int) error {
	base, free, err := allocate(n * 8)
	if err != nil {
		return err
	}
	b.words, b.free = unsafe.Slice((*uint64)(base), n), free
	return nil
}

// replace makes a buffer of n words whose memory is really there, if it can.
func (b *buffer) replace(n int) {
	b.release()
	if b.allocate(n) == nil {
		clear(b.words)
	}
}

func (b *buffer) release() {
	if b.free != nil {
		b.free()
	}
	b.words, b.free = nil, nil
}
