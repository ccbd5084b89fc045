package memory

import (
	"math"
	"slices"
	"unsafe"

	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
)

// noGroup is the group of what does not count.
const noGroup = math.MaxUint16

// grouped is numbers of things, by group.
type grouped struct {
	order  []uint32
	starts []uint32 // of each group in order, and the end
}

// sort groups the things with the groups of, counted from the first group of n on;
// those with noGroup are left out.
func (g *grouped) sort(of []uint16, n int) {
	g.order = g.order[:0]
	if len(of) == 0 {
		return
	}
	g.starts = slices.Grow(g.starts[:0], n+1)[:n+1]
	clear(g.starts)
	total := 0
	for _, x := range of {
		if x != noGroup {
			g.starts[x]++
			total++
		}
	}
	sum := uint32(0)
	for i, count := range g.starts {
		g.starts[i] = sum
		sum += count
	}
	g.order = slices.Grow(g.order, total)[:total]
	for i, x := range of {
		if x != noGroup {
			g.order[g.starts[x]] = uint32(i)
			g.starts[x]++
		}
	}
	// Each start has come to be the next one's.
	copy(g.starts[1:], g.starts[:n])
	g.starts[0] = 0
}

// in returns the things of a group.
func (g *grouped) in(group int) []uint32 {
	if len(g.order) == 0 {
		return nil
	}
	return g.order[g.starts[group]:g.starts[group+1]]
}

func (g *grouped) bytes() int { return 4 * (cap(g.order) + cap(g.starts)) }

// chunker is the scratch of Chunks.
type chunker struct {
	of    []uint16
	refs  [stretch]record.Ref
	chunk state.Chunk
}

func (o *chunker) bytes() int {
	c := &o.chunk
	return 2*cap(o.of) + 8*cap(c.Words) + cap(c.Texts) + 16*(cap(c.Keys.Views)+cap(c.Gone.Views)) + cap(c.Keys.Arena) + cap(c.Gone.Arena)
}

// Chunks calls f with the copied records, by group and pane.
func (c *cut) Chunks(f func(c *state.Chunk) error) error {
	panes := c.panes[:len(c.infos)]
	for i := range panes {
		c.group(&panes[i])
	}
	for g := range c.groups.Len() {
		for i := range panes {
			p := &panes[i]
			rows, gone := p.by.in(g), p.goneBy.in(g)
			if len(rows)+len(gone) == 0 {
				continue
			}
			out := &c.out.chunk
			out.Pane, out.Group = c.infos[i].ID, c.groups.First+keygroup.Group(g)
			c.fill(p, rows)
			out.Gone.Reset()
			for _, k := range gone {
				out.Gone.Append(p.gone.Views[k], p.gone.Arena)
			}
			if err := f(out); err != nil {
				return err
			}
		}
	}
	return nil
}

// group finds the groups of the records and deleted keys of a pane.
func (c *cut) group(p *cutPane) {
	n := len(p.slots) / c.stride
	of := slices.Grow(c.out.of[:0], n)[:n]
	for i := range of {
		of[i] = noGroup
		s := (*[keyWords]uint64)(p.slots[i*c.stride:])
		if s[0] == 0 || !p.candidate(i) {
			continue
		}
		if g := keygroup.Of(hashOf(s, p.keys)); p.counts(i, g) {
			of[i] = uint16(g - c.groups.First)
		}
	}
	p.by.sort(of, c.groups.Len())
	n = len(p.gone.Views)
	of = slices.Grow(of[:0], n)[:n]
	for i := range of {
		of[i] = noGroup
		// A group that is written whole needs nobody to tell what is not in it.
		if g := keygroup.Of(state.HashKey(&p.gone.Views[i], p.gone.Arena)); !c.base.Contains(g) {
			of[i] = uint16(g - c.groups.First)
		}
	}
	p.goneBy.sort(of, c.groups.Len())
	c.out.of = of
}

// fill makes the chunk one of the records in the given slots.
func (c *cut) fill(p *cutPane, slots []uint32) {
	out := &c.out.chunk
	out.Keys.Reset()
	out.Words, out.Texts = out.Words[:0], out.Texts[:0]
	for _, i := range slots {
		s := p.slots[int(i)*c.stride:][:c.stride]
		out.Keys.Append(viewOf((*[keyWords]uint64)(s)), p.keys)
		out.Words = append(out.Words, s[keyWords:]...)
	}
	if c.layout.MoveTexts == nil {
		return
	}
	b := record.Block{Base: unsafe.Pointer(unsafe.SliceData(out.Words)), Arena: &p.texts}
	words := c.stride - keyWords
	for from := 0; from < len(slots); from += stretch {
		refs := c.out.refs[:min(stretch, len(slots)-from)]
		for i := range refs {
			refs[i] = uint32((from + i) * words)
		}
		out.Texts = c.layout.MoveTexts(b, refs, out.Texts)
	}
}
