package snapshot

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/state"
)

// row is a record of the model: a word, and a text that the second word refers to.
type row struct {
	word uint64
	text string
}

// page is a pane of the model, and book a backend.
type page struct {
	rows        map[string]row
	dirty, gone map[string]bool
	fresh       bool
}

type book struct {
	groups keygroup.Range
	pages  map[int64]*page
}

func newBook(groups keygroup.Range) *book { return &book{groups, map[int64]*page{}} }

func (b *book) page(id int64) *page {
	if b.pages[id] == nil {
		b.pages[id] = &page{map[string]row{}, map[string]bool{}, map[string]bool{}, true}
	}
	return b.pages[id]
}

func (b *book) put(pane int64, key string, r row) {
	p := b.page(pane)
	p.rows[key] = r
	p.dirty[key] = true
}

func (b *book) remove(pane int64, key string) {
	p := b.page(pane)
	if _, ok := p.rows[key]; ok {
		delete(p.rows, key)
		delete(p.dirty, key)
		p.gone[key] = true
	}
}

// cut is what state.Durable says of Cut.
func (b *book) cut(base keygroup.Range) *fakeCut {
	c := &fakeCut{}
	for _, id := range slices.Sorted(maps.Keys(b.pages)) {
		p := b.pages[id]
		c.panes = append(c.panes, state.PaneInfo{ID: id, New: p.fresh})
		pieces := map[keygroup.Group]*piece{}
		of := func(key string) *piece {
			g := group(key)
			if pieces[g] == nil {
				pieces[g] = &piece{pane: id, group: g}
			}
			return pieces[g]
		}
		for _, key := range slices.Sorted(maps.Keys(p.rows)) {
			if p.dirty[key] || base.Contains(group(key)) {
				t, r := of(key), p.rows[key]
				t.keys = append(t.keys, key)
				t.words = append(t.words, r.word, uint64(len(t.texts))<<32|uint64(len(r.text)))
				t.texts += r.text
			}
		}
		for _, key := range slices.Sorted(maps.Keys(p.gone)) {
			if !p.fresh && !base.Contains(group(key)) {
				of(key).deleted = append(of(key).deleted, key)
			}
		}
		for _, t := range pieces {
			c.pieces = append(c.pieces, *t)
		}
		p.dirty, p.gone, p.fresh = map[string]bool{}, map[string]bool{}, false
	}
	slices.SortFunc(c.pieces, func(a, b piece) int { return int(int64(a.group)*100+a.pane) - int(int64(b.group)*100+b.pane) })
	return c
}

// load is what state.Durable says of Load.
func (b *book) load(c *state.Chunk) error {
	p := plain(c)
	for _, key := range p.deleted {
		b.remove(p.pane, key)
	}
	for i, key := range p.keys {
		at, n := p.words[2*i+1]>>32, p.words[2*i+1]&(1<<32-1)
		b.put(p.pane, key, row{p.words[2*i], p.texts[at : at+n]})
	}
	if !b.groups.Contains(p.group) || slices.ContainsFunc(p.keys, func(k string) bool { return group(k) != p.group }) {
		return fmt.Errorf("group %d with %q for the groups %v", p.group, p.keys, b.groups)
	}
	return nil
}

// content is all rows, for comparison; panes without any are left out.
func content(books []*book) map[string]row {
	out := map[string]row{}
	for _, b := range books {
		for id, p := range b.pages {
			for key, r := range p.rows {
				out[fmt.Sprintf("%d %s", id, key)] = r
			}
		}
	}
	return out
}

// world is a job with a model of its state.
type world struct {
	*rapid.T
	store  *shelf
	epoch  uint64
	books  []*book
	chains []*Chain
	// The last manifest, and what it must restore to.
	step checkpoint.Step
	kept map[string]row
}

const modelKeys = 24

func (w *world) one(label string, of int) int { return rapid.IntRange(0, of-1).Draw(w.T, label) }

func (w *world) key() string {
	n := w.one("key", modelKeys)
	return fmt.Sprintf("key %d%s", n, strings.Repeat(" and long", n%2))
}

func (w *world) change() {
	for range 1 + w.one("changes", 12) {
		key, id := w.key(), int64(w.one("pane", 3))-1
		b := w.books[slices.IndexFunc(w.books, func(b *book) bool { return b.groups.Contains(group(key)) })]
		switch w.one("what", 10) {
		default:
			b.put(id, key, row{uint64(w.one("word", 1000)), strings.Repeat("t", w.one("text", 4))})
		case 0, 1, 2:
			b.remove(id, key)
		case 3:
			delete(b.pages, id)
		}
	}
}

// take takes a checkpoint; some tasks lose their cuts, by which it is given up.
func (w *world) take() {
	w.epoch++
	step := checkpoint.Step{Name: "s"}
	lost := false
	full := w.one("full", 8) == 0
	kept := content(w.books)
	for i, b := range w.books {
		c := w.chains[i]
		base := c.Base(full)
		cut := b.cut(base)
		fate := w.one("fate", 8)
		if fate == 0 { // before it was written
			lost = true
			continue
		}
		if fate == 1 {
			w.store.put = func(string) error { return errors.New("no room") }
		}
		segs, err := Write(ctx, w.store, cut, Header{Epoch: w.epoch, Step: "s", Groups: b.groups, Base: base, Words: 2})
		w.store.put = nil
		if err != nil {
			lost = true
			continue
		}
		c.Append(w.epoch, cut.panes, segs, base)
		step.Shards = append(step.Shards, c.Shard())
	}
	if lost {
		return
	}
	w.step, w.kept = step, kept
	m := &checkpoint.Manifest{Version: checkpoint.Version, Epoch: w.epoch, Kind: checkpoint.Periodic, Steps: []checkpoint.Step{step}}
	if _, err := checkpoint.DecodeManifest(m.Encode()); err != nil {
		w.Fatal(err)
	}
	if problems := Verify(ctx, w.store, m); problems != nil {
		w.Fatal(problems)
	}
	w.restored(1 + w.one("read by", 9))
}

// restored restores the last checkpoint for n tasks and compares.
func (w *world) restored(n int) []*book {
	var books []*book
	for i := range n {
		b := newBook(keygroup.Owned(i, n))
		if err := Restore(ctx, w.store, w.step, b.groups, 2, b.load); err != nil {
			w.Fatal(err)
		}
		books = append(books, b)
	}
	if got := content(books); !maps.Equal(got, w.kept) {
		w.Fatalf("epoch %d restores to %v, want %v\n%+v", w.epoch, got, w.kept, w.step)
	}
	return books
}

// crash starts the job anew with n tasks.
func (w *world) crash(n int) {
	w.epoch++
	w.books = w.restored(n)
	w.chains = nil
	for _, b := range w.books {
		w.chains = append(w.chains, NewChain(b.groups))
	}
}

// TestWhatIsRestoredIsWhatWasCut runs random changes, deletions, panes that go and
// come again, cuts that get lost, crashes and restarts with other numbers of tasks.
func TestWhatIsRestoredIsWhatWasCut(t *testing.T) {
	defer func(n int) { target = n }(target)
	rapid.Check(t, func(t *rapid.T) {
		target = rapid.IntRange(1, 600).Draw(t, "target")
		w := &world{T: t, store: newShelf()}
		w.crash(1 + w.one("tasks", 5))
		t.Repeat(map[string]func(*rapid.T){
			"change":      func(*rapid.T) { w.change() },
			"change more": func(*rapid.T) { w.change() },
			"take":        func(*rapid.T) { w.take() },
			"take two":    func(*rapid.T) { w.take(); w.take() },
			"crash":       func(*rapid.T) { w.crash(1 + w.one("tasks", 9)) },
		})
	})
}

// TestChainsStayShort runs one shard for long: neither what it names nor what a
// restore reads grows, whatever the share of records that change.
func TestChainsStayShort(t *testing.T) {
	defer func(n int) { target = n }(target)
	target = 1 << 10
	for _, c := range []struct {
		records, changes, every int
		most                    int // segments' rows by records, times 10
	}{{2000, 100, 1, 30}, {2000, 2000, 1, 60}, {2000, 600, 1, 50}, {20, 1, 1, 600}, {3, 3, 1, 420}, {4, 1, 2, 420}} {
		t.Run(fmt.Sprintf("%d of %d each %d", c.changes, c.records, c.every), func(t *testing.T) {
			s, chain, b := newShelf(), NewChain(keygroup.All), newBook(keygroup.All)
			put, changed := 0, 0
			for epoch := uint64(1); epoch <= 320; epoch++ {
				for i := range c.changes {
					if int(epoch)%c.every > 0 {
						break
					}
					b.put(0, fmt.Sprintf("key %d", (int(epoch)*c.changes+i*7919)%c.records), row{word: epoch})
				}
				base := chain.Base(false)
				cut := b.cut(base)
				segs := wrote(t, s, cut, Header{Epoch: epoch, Step: "s", Groups: keygroup.All, Base: base, Words: 2})
				chain.Append(epoch, cut.panes, segs, base)
				for _, seg := range segs {
					put += int(seg.Rows)
				}
				changed += c.changes / c.every
			}
			epochs := map[uint64]bool{}
			rows := 0
			for _, seg := range chain.Shard().Segments {
				epochs[seg.Epoch] = true
				rows += int(seg.Rows)
			}
			if len(epochs) > c.every*rounds+2 || rows*10 > c.most*c.records {
				t.Errorf("it names %d epochs with %d rows of %d records", len(epochs), rows, c.records)
			}
			if c.every == 1 && c.records > 100 && put*100 > changed*175 {
				t.Errorf("%d rows were written for %d changes", put, changed)
			}
			got := newBook(keygroup.All)
			if err := Restore(ctx, s, checkpoint.Step{Shards: []checkpoint.Shard{chain.Shard()}}, keygroup.All, 2, got.load); err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(content([]*book{got}), content([]*book{b})) {
				t.Error("it does not restore to what it was")
			}
		})
	}
}

// wrote writes a cut.
func wrote(t *testing.T, s checkpoint.Store, cut state.Cut, h Header) []checkpoint.Segment {
	t.Helper()
	segs, err := Write(ctx, s, cut, h)
	if err != nil {
		t.Fatal(err)
	}
	return segs
}
