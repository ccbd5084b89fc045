package statetest

import (
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/state"
)

// kept is what was read of one cut.
type kept struct {
	panes  []state.PaneInfo
	chunks []state.Chunk
	err    error
}

// readCut copies a cut. It may run beside the task.
func readCut(c state.Cut) kept {
	k := kept{panes: slices.Clone(c.Panes())}
	group, pane := -1, int64(0)
	k.err = c.Chunks(func(c *state.Chunk) error {
		if int(c.Group) < group || int(c.Group) == group && c.Pane <= pane {
			return fmt.Errorf("group %d, pane %d comes behind group %d, pane %d", c.Group, c.Pane, group, pane)
		}
		group, pane = int(c.Group), c.Pane
		if len(c.Keys.Views)+len(c.Gone.Views) == 0 {
			return fmt.Errorf("group %d, pane %d: a chunk of nothing", c.Group, c.Pane)
		}
		k.chunks = append(k.chunks, copyChunk(c))
		return nil
	})
	return k
}

func copyChunk(c *state.Chunk) state.Chunk {
	keys := func(k state.Keys) state.Keys {
		return state.Keys{Views: slices.Clone(k.Views), Arena: slices.Clone(k.Arena), Long: k.Long}
	}
	return state.Chunk{
		Pane: c.Pane, Group: c.Group, Keys: keys(c.Keys), Gone: keys(c.Gone),
		Words: slices.Clone(c.Words), Texts: slices.Clone(c.Texts),
	}
}

// load gives all chunks to every task: each takes what is its own.
func (s *stage) load(chunks []state.Chunk) {
	s.t.Helper()
	for i := range chunks {
		for _, b := range s.tasks {
			if err := b.Load(&chunks[i]); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// history is a stage whose cuts are persisted as changes and bases, with what
// the tests must know to judge them.
type history struct {
	grown
	rt *rapid.T

	log     []state.Chunk // the persisted chunks that count
	atCut   content       // what the log stands for
	touched map[int64]map[string]bool
	deleted map[int64]map[string]bool
	remade  map[int64]bool // panes that are new, or of which records were deleted

	// Of the cut that is being read.
	base    keygroup.Range
	pending content
	cuts    []state.Cut
	reads   []chan kept
	judge   func(k kept)
	full    bool // the next cut must be of everything
	round   int
}

func runHistory(rt *rapid.T, open OpenDurable) {
	h := &history{grown: *newGrown(rt, open, rapid.SampledFrom([]int{1, 2, 7}).Draw(rt, "tasks")), rt: rt, full: true, atCut: content{}}
	h.forget()
	defer func() { h.close() }()
	rt.Repeat(map[string]func(*rapid.T){
		"add":    h.doAdd,
		"retain": h.doRetain,
		"drop":   h.doDrop,
		"cut":    h.doCut,
		"lose":   h.doLose,
		"crash":  h.doCrash,
		"scan":   func(*rapid.T) { h.check("the tasks", h.want) },
	})
	h.finish(true)
	h.restored(3)
}

func (h *history) forget() {
	h.touched, h.deleted, h.remade = map[int64]map[string]bool{}, map[int64]map[string]bool{}, map[int64]bool{}
}

func note(m map[int64]map[string]bool, id int64, key int) {
	if m[id] == nil {
		m[id] = map[string]bool{}
	}
	m[id][text(key)] = true
}

func (h *history) drawPane(t *rapid.T) int64 { return rapid.Int64Range(-1, 2).Draw(t, "pane") }

func (h *history) doAdd(t *rapid.T) {
	id := h.drawPane(t)
	from := rapid.IntRange(-1, 400).Draw(t, "from")
	n := rapid.SampledFrom([]int{1, 5, 40, 300}).Draw(t, "keys")
	long := rapid.IntRange(0, 40).Draw(t, "length")
	h.round++
	var ev []event
	for i := range n {
		ev = append(ev, event{from + i, fmt.Sprint(strings.Repeat("x", (long+i)%41), h.round), batch.Time((i * 37) % 11)})
		note(h.touched, id, from+i)
	}
	if h.want[id] == nil {
		h.remade[id] = true
	}
	h.add(id, ev)
}

func (h *history) doRetain(t *rapid.T) {
	id := h.drawPane(t)
	m := rapid.Int64Range(1, 4).Draw(t, "of")
	keep := func(n int64) bool { return n%m != 0 }
	if h.want[id] == nil {
		h.remade[id] = true
	}
	for k, s := range h.want[id] {
		if !keep(s.count) {
			note(h.deleted, id, k)
			h.remade[id] = true
		}
	}
	h.retain(id, keep)
}

func (h *history) doDrop(t *rapid.T) {
	id := h.drawPane(t)
	h.drop(id)
	h.remade[id] = true
}

// doCut begins a cut; it is read while the tasks go on.
func (h *history) doCut(t *rapid.T) {
	h.finish(true)
	h.base = keygroup.All
	if !h.full {
		a, b := rapid.IntRange(0, keygroup.Count).Draw(t, "base"), rapid.IntRange(0, keygroup.Count).Draw(t, "end")
		h.base = keygroup.Range{First: keygroup.Group(min(a, b)), End: keygroup.Group(max(a, b))}
	}
	h.full = false
	h.pending = h.want.clone()
	for _, b := range h.tasks {
		c, err := b.Cut(h.base)
		if err != nil {
			h.t.Fatal(err)
		}
		read := make(chan kept, 1)
		go func() { read <- readCut(c) }()
		h.cuts, h.reads = append(h.cuts, c), append(h.reads, read)
	}
	touched, deleted, remade, want := h.touched, h.deleted, h.remade, h.pending
	h.judge = func(k kept) { h.checkChanges(k, touched, deleted, remade, want) }
	h.forget()
}

// finish waits for the cut that is being read, if there is one; keep: and persists it.
func (h *history) finish(keep bool) {
	var all []kept
	for i, read := range h.reads {
		k := <-read
		h.cuts[i].Release()
		if k.err != nil {
			h.t.Fatal(k.err)
		}
		all = append(all, k)
	}
	running := len(h.reads) > 0
	h.cuts, h.reads = nil, nil
	if !running || !keep {
		return
	}
	for i, k := range all {
		h.judge(k)
		h.persist(keygroup.Owned(i, len(all)), k)
	}
	h.atCut = h.pending
	h.restored(rapid.SampledFrom([]int{1, 2, 7}).Draw(h.rt, "restored by"))
}

// persist keeps the chunks of a cut, and of those before what still counts.
func (h *history) persist(mine keygroup.Range, k kept) {
	h.log = slices.DeleteFunc(h.log, func(c state.Chunk) bool {
		if !mine.Contains(c.Group) {
			return false
		}
		at := slices.IndexFunc(k.panes, func(p state.PaneInfo) bool { return p.ID == c.Pane })
		return at < 0 || k.panes[at].New || h.base.Contains(c.Group)
	})
	h.log = append(h.log, k.chunks...)
}

// checkChanges holds a cut to what changed: a record that nobody located is in it
// only when its group is in the base, or its pane is new or for the most part changed.
func (h *history) checkChanges(k kept, touched, deleted map[int64]map[string]bool, remade map[int64]bool, want content) {
	for i := range k.chunks {
		c := &k.chunks[i]
		if !slices.ContainsFunc(k.panes, func(p state.PaneInfo) bool { return p.ID == c.Pane }) {
			h.t.Fatalf("a chunk of pane %d, which is not in the cut", c.Pane)
		}
		for j := range c.Gone.Views {
			if key := keyOf(&c.Gone, j); !deleted[c.Pane][key] {
				h.t.Fatalf("pane %d: %q is gone, but nobody deleted it", c.Pane, key)
			}
		}
		// Tasks judge by their own records; a quarter of all is surely less than half of none.
		if h.base.Contains(c.Group) || remade[c.Pane] || len(h.tasks) > 1 || 4*len(touched[c.Pane]) > len(want[c.Pane]) {
			continue
		}
		for j := range c.Keys.Views {
			if key := keyOf(&c.Keys, j); !touched[c.Pane][key] {
				h.t.Fatalf("pane %d: %q is in the cut, but nobody located it", c.Pane, key)
			}
		}
	}
}

// doLose gives up the content of a cut.
func (h *history) doLose(*rapid.T) {
	if len(h.reads) > 0 {
		h.finish(false)
		h.full = true
	}
}

// restored loads what was persisted and compares it with the state at the cut.
func (h *history) restored(tasks int) {
	to := newStage(h.t, h.open, tasks)
	defer to.close()
	to.load(h.log)
	to.check(fmt.Sprintf("restored by %d tasks", tasks), h.atCut)
}

// doCrash goes on from the last cut, maybe with another number of tasks.
func (h *history) doCrash(t *rapid.T) {
	h.finish(true)
	h.close()
	h.start(rapid.SampledFrom([]int{1, 2, 7}).Draw(t, "tasks"))
	h.load(h.log)
	h.want, h.full = h.atCut.clone(), true
	h.forget()
	for id := range h.want {
		h.remade[id] = true
	}
}
