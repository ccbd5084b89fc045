package disk

import (
	"cmp"
	"errors"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
)

// cut is copies of the rows in memory that belong to it, and a snapshot of the
// store for the others. See state.Cut.
type cut struct {
	owner    *Backend
	out      atomic.Bool
	bytes    atomic.Int64 // of its buffers, as of the last Cut or Release
	number   uint64
	base     keygroup.Range
	snapshot *pebble.Snapshot
	infos    []state.PaneInfo
	panes    []cutPane // as many as infos, and those of earlier cuts to be used again
	refs     [windowRows]record.Ref
	reader
}

// cutPane is what a cut has of one pane.
type cutPane struct {
	keys           state.Keys // with hashes
	words          []uint64
	texts          []byte
	order          []uint32 // of the rows, by hash
	stored, listed groups
}

func wordsOf(w []uint64) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(w)) }

// Cut copies rows and takes a snapshot. See state.Durable.
func (s *Backend) Cut(base keygroup.Range) (state.Cut, error) {
	if s.err != nil {
		return nil, s.err
	}
	if s.cut == nil {
		s.cut = &cut{owner: s}
	}
	c := s.cut
	if c.out.Load() {
		return nil, errors.New("the cut before has not been released")
	}
	if err := s.makeRoomForCut(base); err != nil {
		return nil, s.fail(err)
	}
	c.number, c.base, c.infos = s.cutting, base, c.infos[:0]
	s.cutting++
	for len(c.panes) < len(s.panes) {
		c.panes = append(c.panes, cutPane{})
	}
	for i, p := range s.panes {
		c.infos = append(c.infos, state.PaneInfo{ID: p.id, New: p.fresh})
		c.take(&c.panes[i], p)
	}
	c.snapshot = s.db.NewSnapshot()
	s.users.Add(1)
	c.measure()
	c.out.Store(true)
	return c, nil
}

// wanted reports whether a cut takes a row from memory: if the store does not have it
// as it is, and it changed or everything of its group is asked for.
func (p *pane) wanted(row int, base keygroup.Range) bool {
	f := p.flags[row]
	return f&dirty != 0 && (f&changed != 0 || p.fresh || base.Contains(keygroup.Of(p.hashes[row])))
}

// makeRoomForCut writes all rows to the store when copies of them would not fit.
func (s *Backend) makeRoomForCut(base keygroup.Range) error {
	need := 0
	for _, p := range s.panes {
		rows := 0
		for row := range p.views {
			if p.wanted(row, base) {
				rows++
			}
		}
		if rows > 0 {
			need += rows*(rowOverhead+8*p.stride) + len(p.keys) + len(p.texts)
		}
	}
	if s.rowBytes()+need <= s.size.rows {
		return nil
	}
	for i := range s.cut.panes {
		s.cut.panes[i] = cutPane{}
	}
	s.cut.measure()
	if s.rowBytes()+need <= s.size.rows {
		return nil
	}
	return s.evict(nil)
}

// take copies what the cut needs of a pane.
func (c *cut) take(to *cutPane, p *pane) {
	to.keys.Reset()
	to.words, to.texts = to.words[:0], to.texts[:0]
	w, n := len(c.owner.layout.Init), 0
	for row := range p.views {
		if p.wanted(row, c.base) {
			to.keys.Append(p.views[row], p.keys)
			to.keys.Hashes = append(to.keys.Hashes, p.hashes[row])
			to.words = append(to.words, p.record(row)[:w]...)
		}
		p.flags[row] &^= changed
	}
	if move := c.owner.layout.MoveTexts; move != nil {
		b := record.Block{Base: wordsOf(to.words), Arena: &p.texts}
		for n < len(to.keys.Views) {
			refs := c.refs[:min(windowRows, len(to.keys.Views)-n)]
			for i := range refs {
				refs[i] = uint32((n + i) * w)
			}
			to.texts = move(b, refs, to.texts)
			n += len(refs)
		}
	}
	to.stored, to.listed = p.stored, p.listed
	p.fresh, p.listed = false, groups{}
}

// Panes returns the panes of the cut.
func (c *cut) Panes() []state.PaneInfo { return c.infos }

// Release gives the snapshot back and drops the list of changes.
func (c *cut) Release() {
	if !c.out.Load() {
		return
	}
	_ = c.snapshot.Close()
	from := changePrefix(nil, c.number, 0)[:hashAt]
	// What stays after an error is never read again.
	_ = c.owner.db.DeleteRange(from, after(from), pebble.NoSync)
	c.snapshot = nil
	c.measure()
	c.out.Store(false)
	c.owner.leave()
}

func (c *cut) measure() {
	n := c.reader.bytes()
	for i := range c.panes {
		p := &c.panes[i]
		n += keyBytes(&p.keys) + 8*cap(p.words) + cap(p.texts) + 4*cap(p.order)
	}
	c.bytes.Store(int64(n))
}

func keyBytes(k *state.Keys) int { return 16*cap(k.Views) + 8*cap(k.Hashes) + cap(k.Arena) }

// sort orders the copied rows by hash.
func (p *cutPane) sort() {
	p.order = p.order[:0]
	for i := range p.keys.Views {
		p.order = append(p.order, uint32(i))
	}
	slices.SortFunc(p.order, func(a, b uint32) int { return cmp.Compare(p.keys.Hashes[a], p.keys.Hashes[b]) })
}

// in returns the copied rows of a group.
func (p *cutPane) in(g keygroup.Group) []uint32 {
	from, _ := slices.BinarySearchFunc(p.order, g, func(row uint32, g keygroup.Group) int {
		return cmp.Compare(keygroup.Of(p.keys.Hashes[row]), g)
	})
	to := from
	for to < len(p.order) && keygroup.Of(p.keys.Hashes[p.order[to]]) == g {
		to++
	}
	return p.order[from:to]
}

// has reports whether a key is among some of the copied rows, which are ordered by hash.
func (p *cutPane) has(rows []uint32, k *state.Keys) bool {
	at, _ := slices.BinarySearchFunc(rows, k.Hashes[0], func(row uint32, h uint64) int {
		return cmp.Compare(p.keys.Hashes[row], h)
	})
	for ; at < len(rows) && p.keys.Hashes[rows[at]] == k.Hashes[0]; at++ {
		if equal(&p.keys.Views[rows[at]], p.keys.Arena, &k.Views[0], k.Arena) {
			return true
		}
	}
	return false
}
