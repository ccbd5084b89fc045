package statetest

import (
	"fmt"
	"maps"
	"slices"

	"pgregory.net/rapid"

	"github.com/gorge-stream/gorge/internal/agg"
	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
)

// event is one row: a key (see keyText, -1 for null) and what is aggregated.
type event struct {
	key  int
	text string
	time batch.Time
}

// stats is what the records of the suite hold, computed the simple way.
type stats struct {
	count                 int64
	min, max, first, last string
	from, to              batch.Time
}

func (s *stats) add(e event) {
	if s.count == 0 {
		*s = stats{0, e.text, e.text, e.text, e.text, e.time, e.time}
	}
	s.count++
	s.min, s.max = min(s.min, e.text), max(s.max, e.text)
	if e.time < s.from {
		s.first, s.from = e.text, e.time
	}
	if e.time >= s.to {
		s.last, s.to = e.text, e.time
	}
}

func (s stats) String() string {
	return fmt.Sprintf("%d %q %q %q %q", s.count, s.min, s.max, s.first, s.last)
}

// content is statistics by pane and key.
type content map[int64]map[int]stats

func (c content) clone() content {
	out := content{}
	for id, p := range c {
		out[id] = maps.Clone(p)
	}
	return out
}

// newSet makes the aggregates of the suite. Word 0 of a record is the number of rows.
func newSet() *agg.Set {
	var calls []agg.Call
	for i, name := range []string{"count", "min", "max", "first", "last"} {
		f, ok := agg.Lookup(name)
		if !ok {
			panic("statetest: no aggregate " + name)
		}
		c := agg.Call{Function: f}
		if i > 0 {
			c.Args = []agg.Arg{{Column: 0, Kind: batch.String}}
		}
		calls = append(calls, c)
	}
	return agg.NewSet(calls)
}

// stage is the tasks of one operator, each with a backend for its range of groups.
type stage struct {
	t      rapid.TB
	open   OpenDurable
	set    *agg.Set
	enc    *state.KeyEncoder
	pool   *batch.Pool
	tasks  []DurableBackend
	groups map[int]keygroup.Group // of keys, as far as met
}

const stageRows = 64

func newStage(t rapid.TB, open OpenDurable, tasks int) *stage {
	s := &stage{
		t: t, open: open, set: newSet(), enc: state.NewKeyEncoder(keySchema, []int{0}),
		pool: batch.NewPool(keySchema, stageRows), groups: map[int]keygroup.Group{},
	}
	s.start(tasks)
	return s
}

// start opens empty backends.
func (s *stage) start(tasks int) {
	s.tasks = nil
	layout := state.Layout{Init: s.set.Init(), MoveTexts: s.set.MoveTexts}
	for i := range tasks {
		s.tasks = append(s.tasks, s.open(layout, keygroup.Owned(i, tasks)))
	}
}

func (s *stage) close() {
	for _, b := range s.tasks {
		b.Close()
	}
	s.tasks = nil
}

func (s *stage) group(key int) keygroup.Group {
	g, ok := s.groups[key]
	if !ok {
		b := s.pool.Get()
		fill(b, []int{key})
		g = keygroup.Of(s.enc.Encode(b).Hashes[0])
		b.Release()
		s.groups[key] = g
	}
	return g
}

// pane returns the pane of a task.
func (s *stage) pane(b state.Backend, id int64) state.Pane {
	s.t.Helper()
	p, err := b.Pane(id)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// add gives each event to the task that has its key.
func (s *stage) add(id int64, events []event) {
	s.t.Helper()
	for i, b := range s.tasks {
		var mine []event
		for _, e := range events {
			if keygroup.Owned(i, len(s.tasks)).Contains(s.group(e.key)) {
				mine = append(mine, e)
			}
		}
		for part := range slices.Chunk(mine, stageRows) {
			s.addRows(s.pane(b, id), part)
		}
	}
}

func (s *stage) addRows(p state.Pane, events []event) {
	s.t.Helper()
	b := s.pool.Get()
	defer b.Release()
	col, times := batch.NewColumn(batch.String, len(events)), make([]batch.Time, len(events))
	keys := make([]int, len(events))
	for i, e := range events {
		col.SetText(i, e.text)
		times[i], keys[i] = e.time, e.key
	}
	fill(b, keys)
	refs := make([]record.Ref, len(events))
	if err := p.Locate(s.enc.Encode(b), refs); err != nil {
		s.t.Fatal(err)
	}
	s.set.Update(p.Block(), refs, []*batch.Column{col}, times, 0)
}

// retain keeps the records whose number of rows leaves the given rest.
func (s *stage) retain(id int64, keep func(count int64) bool) {
	s.t.Helper()
	for _, b := range s.tasks {
		p := s.pane(b, id)
		if err := p.Retain(func(r record.Ref) bool { return keep(*p.Block().Int(r, 0)) }); err != nil {
			s.t.Fatal(err)
		}
	}
}

// rows returns what a pane of a backend holds, as text by key.
func (s *stage) rows(b state.Backend, id int64, into map[string]string) {
	s.t.Helper()
	p := s.pane(b, id)
	refs := make([]record.Ref, stageRows)
	last := uint64(0)
	for n, c := p.Scan(0, refs); n > 0; n, c = p.Scan(c, refs) {
		var k state.Keys
		p.Keys(refs[:n], &k)
		var cols []*batch.Column
		for i := 1; i < 5; i++ {
			col := batch.NewColumn(batch.String, n)
			s.set.Result(i, p.Block(), refs[:n], col, 0)
			cols = append(cols, col)
		}
		for i, r := range refs[:n] {
			h := state.HashKey(&k.Views[i], k.Arena)
			if h < last {
				s.t.Fatalf("pane %d: hash %x comes behind %x", id, h, last)
			}
			last = h
			key := keyOf(&k, i)
			if _, twice := into[key]; twice {
				s.t.Fatalf("pane %d has key %q twice", id, key)
			}
			into[key] = fmt.Sprintf("%d %q %q %q %q", *p.Block().Int(r, 0), cols[0].Bytes(i), cols[1].Bytes(i), cols[2].Bytes(i), cols[3].Bytes(i))
		}
	}
}

func keyOf(k *state.Keys, i int) string {
	if state.IsNullKey(k.Views[i]) {
		return "<null>"
	}
	return string(k.Views[i].Bytes(k.Arena))
}

// check compares all panes of all tasks with what they should hold.
func (s *stage) check(what string, want content) {
	s.t.Helper()
	ids := map[int64]bool{}
	for id := range want {
		ids[id] = true
	}
	for _, b := range s.tasks {
		for _, id := range b.Panes() {
			ids[id] = true
		}
	}
	for id := range ids {
		got := map[string]string{}
		for _, b := range s.tasks {
			if slices.Contains(b.Panes(), id) {
				s.rows(b, id, got)
			}
		}
		if len(got) != len(want[id]) {
			s.t.Fatalf("%s: pane %d has %d records, want %d", what, id, len(got), len(want[id]))
		}
		for k, v := range want[id] {
			if got[text(k)] != v.String() {
				s.t.Fatalf("%s: pane %d, key %q: %s, want %s", what, id, text(k), got[text(k)], v)
			}
		}
	}
}
