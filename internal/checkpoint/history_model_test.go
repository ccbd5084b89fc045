package checkpoint

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gorge-stream/gorge/internal/failpoint"
	"github.com/gorge-stream/gorge/internal/keygroup"
)

// TestEnginesOnOneStoreNeverPartNorLoseObjects runs several engines on one store,
// asleep and awake, giving epochs up, deleting, with power cuts in between and
// other engines at work in the middle of a claim. What must hold is in room.holds.
func TestEnginesOnOneStoreNeverPartNorLoseObjects(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &room{T: t, shelf: newShelf()}
		stop := failpoint.Observe(r.interrupt)
		defer stop()
		t.Repeat(map[string]func(*rapid.T){
			"start":  func(t *rapid.T) { survives(r.start) },
			"decide": func(t *rapid.T) { r.decide() },
			"again":  func(t *rapid.T) { r.decide() },
			"power":  func(t *rapid.T) { r.power() },
			"wait":   func(t *rapid.T) { r.shelf.now = r.shelf.now.Add(time.Hour) },
			"":       func(t *rapid.T) { r.holds() },
		})
	})
}

// room is a store with the engines that use it.
type room struct {
	*rapid.T
	shelf   *shelf
	engines []*engine
	made    int    // objects
	fresh   uint64 // where the last run that began anew stood
	depth   int    // of interruptions
	decided []decision
	// released is the position up to which some engine has told its sources to let go.
	released uint64
}

// decision is a Claim that succeeded and the manifest it went on from.
type decision struct{ parent, epoch uint64 }

type engine struct {
	history *History
	last    *Manifest
	next    uint64
	busy    bool // in the middle of a decision
}

func (r *room) one(label string, of int) int { return rapid.IntRange(0, of-1).Draw(r.T, label) }

// start starts an engine, most often from the latest manifest.
func (r *room) start() {
	if len(r.engines) == 4 {
		r.engines = r.engines[1:]
	}
	h, err := OpenHistory(context.Background(), r.shelf)
	if err != nil {
		r.Fatal(err)
	}
	from, err := h.Latest()
	if err != nil {
		r.Fatal(err)
	}
	if n := len(h.List()); n > 0 && r.one("from an older one", 4) == 0 {
		from = h.List()[r.one("from", n)].Manifest
	}
	e := &engine{history: h}
	opening := h.Opening(from, "p", "test", r.shelf.now)
	if from != nil && r.one("from elsewhere", 8) == 0 {
		opening.Epoch += uint64(r.one("ahead", 5))
	}
	if r.one("fresh", 8) == 0 {
		opening = h.Opening(nil, "p", "test", r.shelf.now)
		if !r.claim(e, opening, func() error { return h.RemoveAll(context.Background(), opening) }) {
			return
		}
	} else if !r.claim(e, opening, func() error { return h.Claim(context.Background(), opening) }) {
		return
	}
	r.engines = append(r.engines, e)
	if r.one("orphans", 2) == 0 {
		if _, err := h.CollectOrphans(context.Background(), r.shelf.now.Add(-time.Hour)); err != nil {
			r.Fatal(err)
		}
	}
}

// claim notes what a claim did, and reports whether the engine may go on.
func (r *room) claim(e *engine, m *Manifest, f func() error) bool {
	parent := e.history.highest()
	err := f()
	if err != nil {
		if !errors.Is(err, ErrExists) {
			r.Fatal(err)
		}
		return false
	}
	r.Logf("decided %d %s behind %d", m.Epoch, m.Kind, parent)
	r.decided = append(r.decided, decision{parent, m.Epoch})
	e.last, e.next = m, m.Epoch+1
	return true
}

// decide lets an engine write an epoch, give it up or decide it, and collect.
func (r *room) decide() {
	if len(r.engines) == 0 {
		return
	}
	e := r.engines[r.one("engine", len(r.engines))]
	if e.busy {
		return
	}
	e.busy = true
	if !survives(func() { r.next(e) }) {
		r.engines = slices.DeleteFunc(r.engines, func(o *engine) bool { return o == e })
	}
	e.busy = false
}

// next is the next epoch of an engine.
func (r *room) next(e *engine) {
	m := *e.last
	m.Epoch, m.Kind, m.Repeats = e.next, Periodic, 0
	e.next++
	at := position(e.last)
	if len(e.last.Sources) == 0 {
		r.fresh += 1000 // somewhere else than all others: this line is not what Oldest is about
		at = r.fresh
	}
	m.Sources = []Source{{Name: "in", Blocks: at + uint64(r.one("read", 3))}}
	segments := r.segments(e.last, m.Epoch)
	m.Steps = []Step{{Name: "s", Shards: []Shard{{Groups: keygroup.All, Segments: segments}}}}
	if r.one("give up", 4) == 0 {
		e.history.Discard(segments)
		return
	}
	if !r.claim(e, &m, func() error { return e.history.Claim(context.Background(), &m) }) {
		r.engines = slices.DeleteFunc(r.engines, func(o *engine) bool { return o == e })
		return
	}
	if r.one("collect", 3) > 0 {
		if err := e.history.Collect(context.Background(), 1+r.one("retain", 3)); err != nil {
			r.Fatal(err)
		}
	}
	if o := e.history.Oldest(); o != nil && r.one("release", 2) == 0 {
		r.Logf("released %d of epoch %d, %d, line %d", position(o), o.Epoch, m.Epoch, m.Line)
		r.released = max(r.released, position(o))
	}
}

// position is where the source of a manifest stands.
func position(m *Manifest) uint64 {
	if len(m.Sources) == 0 {
		return 0
	}
	return m.Sources[0].Blocks
}

// segments keeps some of the segments of the last manifest and writes new ones.
func (r *room) segments(last *Manifest, epoch uint64) []Segment {
	var out []Segment
	for _, s := range last.Segments() {
		if r.one("keep", 3) > 0 {
			out = append(out, s)
		}
	}
	for range r.one("new", 3) {
		r.made++
		s := Segment{Object: object(r.made), Size: 1, Epoch: epoch, Groups: keygroup.All}
		if err := r.shelf.Put(context.Background(), s.Object, []byte{1}); err != nil {
			r.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

// interrupt lets somebody else act at a failpoint.
func (r *room) interrupt(name string) {
	if r.depth > 0 || r.one("interrupt at "+name, 3) > 0 {
		return
	}
	r.depth++
	defer func() { r.depth-- }() // also when it panics
	switch r.one("by", 5) {
	case 0, 1:
		survives(r.start)
	case 2, 3:
		r.decide()
	default:
		panic(killed{})
	}
}

// killed is what ends an engine in the middle.
type killed struct{}

// survives runs f and reports whether the engine was not killed in it.
func survives(f func()) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(killed); !ok {
				panic(p)
			}
		}
	}()
	f()
	return true
}

// power cuts the power of the machine.
func (r *room) power() {
	r.engines = nil
	r.shelf.cut(func(string) bool { return r.one("comes back", 2) == 0 })
}

func (r *room) holds() {
	h, err := OpenHistory(context.Background(), r.shelf)
	if err != nil {
		r.Fatal(err)
	}
	for _, e := range h.List() {
		m := e.Manifest
		for _, s := range m.Segments() {
			if _, ok := r.shelf.objects[s.Object]; !ok {
				r.Fatalf("epoch %d is there without %s", m.Epoch, s.Object)
			}
		}
		if len(m.Sources) > 0 && position(m) < r.released {
			for _, e := range h.List() {
				r.Logf("%d %s line %d repeats %d before %d at %d", e.Epoch, e.Manifest.Kind, e.Manifest.Line, e.Manifest.Repeats, e.Manifest.Before, position(e.Manifest))
			}
			r.Fatalf("a run may start from epoch %d at %d, but the sources have let go of what is before %d", m.Epoch, position(m), r.released)
		}
	}
	for _, a := range r.decided {
		// The next start goes on from the latest, whether its claim has returned or not.
		l := h.List()[len(h.List())-1].Manifest
		parent := uint64(0)
		if n := len(l.Before); n > 0 {
			parent = l.Before[n-1].Epoch
		}
		jump := l.Kind == Opening && l.Epoch > parent+1 // from elsewhere: see History
		if a.epoch > l.Epoch || a.epoch < l.Epoch && a.epoch > parent && !jump {
			r.Fatalf("the latest is epoch %d behind %d, and %d was decided", l.Epoch, parent, a.epoch)
		}
		for _, b := range r.decided {
			if a.epoch < b.epoch && b.parent < a.epoch {
				r.Fatalf("epoch %d was decided behind %d, without knowledge of the decision on %d", b.epoch, b.parent, a.epoch)
			}
			if a != b && a.epoch == b.epoch {
				r.Fatalf("epoch %d was decided twice", a.epoch)
			}
		}
	}
}

// TestRetentionLeavesNothingBehind runs one engine for long: what is there in the end
// is what the kept manifests name, and one epoch more.
func TestRetentionLeavesNothingBehind(t *testing.T) {
	ctx, s := context.Background(), newShelf()
	h, err := OpenHistory(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	m := h.Opening(nil, "p", "test", s.now)
	for n := range 20 {
		if err := h.Claim(ctx, m); err != nil {
			t.Fatal(err)
		}
		if err := h.Collect(ctx, 3); err != nil {
			t.Fatal(err)
		}
		next := *m
		next.Epoch, next.Kind = m.Epoch+1, Periodic
		next.Steps = []Step{{Name: "s", Shards: []Shard{{Groups: keygroup.All}}}}
		for i := range 2 {
			seg := Segment{Object: object(2*n + i), Size: 1, Epoch: next.Epoch, Groups: keygroup.All}
			if err := s.Put(ctx, seg.Object, []byte{1}); err != nil {
				t.Fatal(err)
			}
			next.Steps[0].Shards[0].Segments = append(next.Steps[0].Shards[0].Segments, seg)
		}
		m = &next
	}
	if got := len(h.List()); got != 3 {
		t.Errorf("%d manifests are kept, want 3", got)
	}
	if got := s.names(chunkFolder); len(got) > 2*5 {
		t.Errorf("%d objects are there: %q", len(got), got)
	}
	if o := h.Oldest(); o == nil || o.Epoch != 17 {
		t.Errorf("the oldest that may come back is %v", o)
	}
}
