package statetest

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/state"
)

// DurableBackend is a backend whose state outlives the process.
type DurableBackend interface {
	state.Backend
	state.Durable
}

// OpenDurable makes an empty backend.
type OpenDurable func(layout state.Layout, groups keygroup.Range) DurableBackend

// RunDurable runs the suite of state.Durable: cuts, persisted and loaded by any
// number of tasks, against a Go map. Under the race detector it also shows that
// a cut and its task share nothing that changes.
func RunDurable(t *testing.T, open OpenDurable) {
	t.Run("cuts and what is loaded from them are the state at the cut", func(t *testing.T) {
		rapid.Check(t, func(rt *rapid.T) { runHistory(rt, open) })
	})
	t.Run("growing keeps in mind what changed", func(t *testing.T) { grows(t, open) })
	t.Run("deleted records are named", func(t *testing.T) { deletes(t, open) })
	t.Run("a pane that was made again is new", func(t *testing.T) { remakes(t, open) })
	t.Run("a cut does not change with the task", func(t *testing.T) { constant(t, open) })
	t.Run("a cut outlives its backend", func(t *testing.T) { outlives(t, open) })
	t.Run("one cut at a time", func(t *testing.T) { oneAtATime(t, open) })
	t.Run("few changes make a small cut", func(t *testing.T) { small(t, open) })
	t.Run("many records are loaded by any number of tasks", func(t *testing.T) { loadsMany(t, open) })
	t.Run("a damaged chunk is refused", func(t *testing.T) { refuses(t, open) })
	t.Run("cuts take a bounded memory", func(t *testing.T) { bounded(t, open) })
}

// events makes n events with the keys from, from+1, ...
func events(from, n, round int) []event {
	var out []event
	for i := range n {
		out = append(out, event{from + i, fmt.Sprintf("text %d of round %d, long enough to lie in an arena", i, round), batch.Time(round*1000 + i)})
	}
	return out
}

// grown is a stage that has a model of its content.
type grown struct {
	*stage
	want content
}

func newGrown(t rapid.TB, open OpenDurable, tasks int) *grown {
	return &grown{newStage(t, open, tasks), content{}}
}

func (g *grown) add(id int64, ev []event) {
	g.t.Helper()
	g.stage.add(id, ev)
	if g.want[id] == nil {
		g.want[id] = map[int]stats{}
	}
	for _, e := range ev {
		s := g.want[id][e.key]
		s.add(e)
		g.want[id][e.key] = s
	}
}

func (g *grown) retain(id int64, keep func(int64) bool) {
	g.t.Helper()
	g.stage.retain(id, keep)
	for k, s := range g.want[id] {
		if !keep(s.count) {
			delete(g.want[id], k)
		}
	}
}

func (g *grown) drop(id int64) {
	for _, b := range g.tasks {
		b.Drop(id)
	}
	delete(g.want, id)
}

// cut cuts the only task and waits for its chunks.
func (g *grown) cut(base keygroup.Range) []state.Chunk {
	g.t.Helper()
	c, err := g.tasks[0].Cut(base)
	if err != nil {
		g.t.Fatal(err)
	}
	defer c.Release()
	k := readCut(c)
	if k.err != nil {
		g.t.Fatal(k.err)
	}
	return k.chunks
}

// constant reads cuts while the task changes everything, and when it has: updates in
// place, growth, deletions, panes dropped and their memory used again.
func constant(t *testing.T, open OpenDurable) {
	g := newGrown(t, open, 1)
	defer g.close()
	for round := range 2 {
		for id := range int64(3) {
			g.add(id, events(round*500, 1000, round))
		}
		was := g.want.clone()
		c, err := g.tasks[0].Cut(keygroup.All)
		if err != nil {
			t.Fatal(err)
		}
		begin, read := make(chan bool), make(chan kept)
		go func() {
			<-begin
			read <- readCut(c)
		}()
		behind := round%2 == 1
		if !behind {
			close(begin)
		}
		g.drop(0)
		g.add(0, events(90_000, 700, round+100))
		g.add(1, events(round*500, 3000, round+200))
		g.retain(2, func(n int64) bool { return n%2 == 0 })
		g.add(2, events(50_000, 100, round))
		if behind {
			close(begin)
		}
		k := <-read
		c.Release()
		if k.err != nil {
			t.Fatal(k.err)
		}
		to := newStage(t, open, 2)
		to.load(k.chunks)
		to.check("the cut", was)
		to.close()
		g.check("the task", g.want)
	}
}

func outlives(t *testing.T, open OpenDurable) {
	g := newGrown(t, open, 1)
	g.add(7, events(0, 3000, 1))
	c, err := g.tasks[0].Cut(keygroup.All)
	if err != nil {
		t.Fatal(err)
	}
	g.close()
	k := readCut(c)
	if k.err != nil {
		t.Fatal(k.err)
	}
	c.Release()
	to := newStage(t, open, 1)
	defer to.close()
	to.load(k.chunks)
	to.check("the cut", g.want)
}

func oneAtATime(t *testing.T, open OpenDurable) {
	g := newGrown(t, open, 1)
	defer g.close()
	g.add(1, events(0, 10, 1))
	c, err := g.tasks[0].Cut(keygroup.All)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.tasks[0].Cut(keygroup.All); err == nil {
		t.Error("a second cut while the first is out")
	}
	c.Release()
	if got := rowsOf(g.cut(keygroup.All)); got != 10 {
		t.Errorf("a cut of everything behind the refused one has %d records", got)
	}
}

// small: a cut holds what changed, and of the groups of its base everything.
func small(t *testing.T, open OpenDurable) {
	const keys = 2000
	g := newGrown(t, open, 1)
	defer g.close()
	g.add(1, events(0, keys, 1))
	if got := rowsOf(g.cut(keygroup.All)); got != keys {
		t.Fatalf("the first cut has %d records", got)
	}
	none := keygroup.Range{}
	if got := rowsOf(g.cut(none)); got != 0 {
		t.Errorf("%d records when nothing changed", got)
	}
	g.add(1, events(100, 200, 2))
	if got := rowsOf(g.cut(none)); got != 200 {
		t.Errorf("%d records when 200 changed", got)
	}
	g.add(1, events(100, 200, 3))
	g.check("a scan", g.want) // moves records
	if got := rowsOf(g.cut(none)); got != 200 {
		t.Errorf("%d records when 200 changed before a scan", got)
	}
	g.add(1, events(keys, 5*keys, 4)) // grows
	if got := rowsOf(g.cut(none)); got < 5*keys || got > 6*keys {
		t.Errorf("%d records when %d came", got, 5*keys)
	}
	base := keygroup.Range{First: 100, End: 300}
	want := 0
	for k := range g.want[1] {
		if base.Contains(g.group(k)) || k < 50 {
			want++
		}
	}
	g.add(1, events(0, 50, 5))
	if got := rowsOf(g.cut(base)); got != want {
		t.Errorf("%d records, want %d of the base or changed", got, want)
	}
}

// grows changes a tenth of the records, then adds a fifth, and so on until every
// table must have grown several times.
func grows(t *testing.T, open OpenDurable) {
	g := newGrown(t, open, 1)
	defer g.close()
	g.add(1, events(0, 1000, 0))
	g.cut(keygroup.All)
	for round, n := 1, 1000; round < 13; round++ {
		g.add(1, events(0, n/10, round))
		g.add(1, events(n, n/5, round))
		if got, want := rowsOf(g.cut(keygroup.Range{})), n/10+n/5; got != want {
			t.Errorf("%d records when %d of %d changed and %d came", got, n/10, n, n/5)
		}
		n += n / 5
	}
}

// deletes: what is deleted is gone for who loads the cuts, and again there when it
// was located since.
func deletes(t *testing.T, open OpenDurable) {
	g := newGrown(t, open, 1)
	defer g.close()
	g.add(1, append(events(-1, 2001, 1), events(0, 300, 2)...))
	chunks := g.cut(keygroup.All)
	g.retain(1, func(n int64) bool { return n == 1 })
	g.add(1, events(0, 10, 3))
	later := g.cut(keygroup.Range{})
	gone, records := 0, rowsOf(later)
	for i := range later {
		gone += len(later[i].Gone.Views)
	}
	// Whether those that are there again are named is the backend's choice.
	if gone < 290 || gone > 300 || records != 10 {
		t.Errorf("%d keys gone and %d records, want 290 to 300 and 10", gone, records)
	}
	to := newStage(t, open, 2)
	defer to.close()
	to.load(append(chunks, later...))
	to.check("loaded", g.want)
}

func remakes(t *testing.T, open OpenDurable) {
	g := newGrown(t, open, 1)
	defer g.close()
	g.add(1, events(0, 100, 1))
	g.add(2, events(0, 100, 1))
	isNew := func() []state.PaneInfo {
		c, err := g.tasks[0].Cut(keygroup.Range{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Release()
		return slices.Clone(c.Panes())
	}
	if got, want := isNew(), []state.PaneInfo{{ID: 1, New: true}, {ID: 2, New: true}}; !slices.Equal(got, want) {
		t.Errorf("at first %v, want %v", got, want)
	}
	if got, want := isNew(), []state.PaneInfo{{ID: 1}, {ID: 2}}; !slices.Equal(got, want) {
		t.Errorf("without changes %v, want %v", got, want)
	}
	g.drop(2)
	g.add(2, events(50, 100, 2))
	g.drop(-5)
	g.add(-5, events(0, 1, 1))
	if got, want := isNew(), []state.PaneInfo{{ID: -5, New: true}, {ID: 1}, {ID: 2, New: true}}; !slices.Equal(got, want) {
		t.Errorf("made again: %v, want %v", got, want)
	}
	g.drop(2)
	g.add(2, events(500, 100, 3))
	if got := rowsOf(g.cut(keygroup.Range{})); got != 100 {
		t.Errorf("%d records of a pane made again, want 100", got)
	}
}

func rowsOf(chunks []state.Chunk) int {
	n := 0
	for i := range chunks {
		n += len(chunks[i].Keys.Views)
	}
	return n
}

// loadsMany: chunks come in the order of the hashes, which must not make tables slow.
func loadsMany(t *testing.T, open OpenDurable) {
	for _, keys := range []int{900, 6_000} {
		g := newGrown(t, open, 1)
		g.add(1, events(0, keys/3, 1))
		chunks := g.cut(keygroup.All)
		g.add(1, events(0, keys, 2)) // three times as many
		chunks = append(chunks, g.cut(keygroup.Range{})...)
		for _, tasks := range []int{1, 2, 7} {
			to := newStage(t, open, tasks)
			to.load(chunks)
			to.check(fmt.Sprintf("%d tasks", tasks), g.want)
			to.close()
		}
		g.close()
	}
}

// refuses: what comes from a file may be anything.
func refuses(t *testing.T, open OpenDurable) {
	g := newGrown(t, open, 1)
	defer g.close()
	g.add(1, events(0, 1000, 1))
	chunks := g.cut(keygroup.All)
	at := slices.IndexFunc(chunks, func(c state.Chunk) bool { return len(c.Keys.Views) > 1 && len(c.Keys.Arena) > 0 })
	for name, damage := range map[string]func(c *state.Chunk){
		"a word less":            func(c *state.Chunk) { c.Words = c.Words[1:] },
		"a key less":             func(c *state.Chunk) { c.Keys.Views = c.Keys.Views[1:] },
		"another group":          func(c *state.Chunk) { c.Group ^= 1 },
		"a key cut short":        func(c *state.Chunk) { c.Keys.Arena = c.Keys.Arena[:len(c.Keys.Arena)-1] },
		"a length out of bounds": func(c *state.Chunk) { c.Keys.Views[0].W0 |= 1 << 31 },
		"a gone key of nowhere":  func(c *state.Chunk) { c.Gone.Views = append(c.Gone.Views, batch.View{W0: 1 << 20, W1: 77 << 32}) },
		"gone from elsewhere":    func(c *state.Chunk) { c.Gone.Views = append(c.Gone.Views, otherGroup(c.Group)) },
		"padding that counts":    func(c *state.Chunk) { c.Gone.Views = append(c.Gone.Views, batch.View{W0: 1, W1: 1}) },
	} {
		c := copyChunk(&chunks[at])
		damage(&c)
		if err := g.tasks[0].Load(&c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	g.check("after refused chunks", g.want)
}

// otherGroup returns a key that is not in the group.
func otherGroup(g keygroup.Group) batch.View {
	v := batch.InlineView([]byte("a"))
	if keygroup.Of(batch.Hash(v.W0, v.W1)) == g {
		return batch.InlineView([]byte("b"))
	}
	return v
}

// bounded: many windows, each cut several times, and keys that come and go
// between two cuts, take no more memory than a few.
func bounded(t *testing.T, open OpenDurable) {
	g := newGrown(t, open, 1)
	defer g.close()
	var early int64
	for round := range 16 {
		id := int64(round)
		g.add(id, events(round*1000, 700, round))
		g.cut(keygroup.All)
		g.add(id, events(round*1000, 700, round))
		g.cut(keygroup.Range{})
		g.drop(id)
		g.add(-1, events(1_000_000+round*1000, 500, round))
		g.retain(-1, func(int64) bool { return false })
		if round == 5 {
			early = g.tasks[0].Bytes()
		}
	}
	g.cut(keygroup.Range{})
	for round := range 16 {
		g.add(-1, events(2_000_000+round*1000, 500, round))
		g.retain(-1, func(int64) bool { return false })
	}
	if late := g.tasks[0].Bytes(); late > 2*early {
		t.Errorf("%d bytes after 6 rounds, %d in the end", early, late)
	}
}
