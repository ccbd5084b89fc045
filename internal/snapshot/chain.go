package snapshot

import (
	"cmp"
	"slices"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/failpoint"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/state"
)

const (
	// rounds is the number of cuts in which the base goes around all key groups, at most:
	// a restore reads no more segments.
	rounds = 40
	// excess bounds what a restore reads beside the records there are: with a share c of
	// them changed from cut to cut and a share s of the groups in each base, the changes of
	// 1/(2s) cuts on average. With s = c/excess that is excess/2 times the records.
	excess = 6
)

// Chain is the segments that hold the state of one shard, and what is to be written
// next. The zero value of a shard without segments is made by NewChain. One goroutine
// at a time uses it.
type Chain struct {
	groups   keygroup.Range
	panes    []checkpoint.Pane
	segments []checkpoint.Segment
	next     keygroup.Group // where the next base begins
	out      bool           // between Base and Append
	live     int64          // records there are, about
	changed  int64          // rows of the last cut outside of its base
}

// NewChain makes the chain of a task of which nothing is written yet.
func NewChain(groups keygroup.Range) *Chain {
	return &Chain{groups: groups, next: groups.First, out: true}
}

// Base returns the key groups of which the next cut must have all records:
// keygroup.All when full, and when the cut before never came to Append, whose changes
// are in no segment; else some, that move on from cut to cut.
func (c *Chain) Base(full bool) keygroup.Range {
	lost := c.out && !failpoint.Bug("snapshot-cut-after-a-lost-one-is-not-full")
	c.out = true
	if full || lost {
		return keygroup.All
	}
	if c.changed == 0 {
		// Nothing piles up: to write a base every few seconds would be all that an idle job writes.
		return keygroup.Range{First: c.next, End: c.next}
	}
	n := (c.groups.Len() + rounds - 1) / rounds
	if c.live > 0 {
		n = max(n, int(int64(c.groups.Len())*c.changed/(excess*c.live)))
	}
	return keygroup.Range{First: c.next, End: min(c.next+keygroup.Group(min(n, keygroup.Count)), c.groups.End)}
}

// Append notes that the cut of an epoch, made with the base that Base returned, is in
// the store as segs. Whether the epoch is decided does not matter: its changes are
// in the chain, and the next manifest names it.
func (c *Chain) Append(epoch uint64, panes []state.PaneInfo, segs []checkpoint.Segment, base keygroup.Range) {
	c.out = false
	base = base.Overlap(c.groups)
	full := base == c.groups
	c.measure(segs, base)
	c.panes = c.alive(epoch, panes, full)
	if full {
		c.segments, c.next = nil, c.groups.First
	} else if base.Len() > 0 {
		if c.next = base.End; c.next == c.groups.End {
			c.next = c.groups.First
		}
	}
	c.segments = append(c.segments, segs...)
	c.drop()
}

// measure estimates the records there are from those of the base: keys are spread
// evenly over key groups.
func (c *Chain) measure(segs []checkpoint.Segment, base keygroup.Range) {
	c.changed = 0
	whole := int64(0)
	for _, s := range segs {
		whole += s.BaseRows
		c.changed += s.Rows - s.BaseRows
	}
	if base.Len() > 0 {
		c.live = whole * int64(c.groups.Len()) / int64(base.Len())
	}
}

// alive returns the panes of a cut with the epochs they were born in. Of a pane that
// is new, or that the chain does not know because a cut was lost, nothing before the epoch counts.
func (c *Chain) alive(epoch uint64, panes []state.PaneInfo, full bool) []checkpoint.Pane {
	out := make([]checkpoint.Pane, 0, len(panes))
	for _, p := range panes {
		born := epoch
		i, known := slices.BinarySearchFunc(c.panes, p.ID, func(o checkpoint.Pane, id int64) int { return cmp.Compare(o.ID, id) })
		if known && !full && (!p.New || failpoint.Bug("snapshot-new-pane-keeps-its-birth")) {
			born = c.panes[i].Born
		}
		out = append(out, checkpoint.Pane{ID: p.ID, Born: born})
	}
	return out
}

// drop lets go of the segments that a restore would not look at: for each of their
// groups there is a later base, or every pane was born behind them.
func (c *Chain) drop() {
	from := bases(c.segments)
	oldest := uint64(0)
	for i, p := range c.panes {
		if i == 0 || p.Born < oldest {
			oldest = p.Born
		}
	}
	c.segments = slices.DeleteFunc(c.segments, func(s checkpoint.Segment) bool {
		return len(c.panes) == 0 || s.Epoch < oldest || !from.need(s, c.groups)
	})
}

// Shard returns what a manifest says of the shard. It is a copy.
func (c *Chain) Shard() checkpoint.Shard {
	return checkpoint.Shard{Groups: c.groups, Panes: slices.Clone(c.panes), Segments: slices.Clone(c.segments)}
}
