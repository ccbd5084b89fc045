package memory

import (
	"fmt"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
)

// TestCutsHoldWhatChangedWhateverTheShare changes shares of the records around the one
// from which on the table is copied as a whole, with bases at its start, in it and at its end.
func TestCutsHoldWhatChangedWhateverTheShare(t *testing.T) {
	const keys = 20_000
	for _, groups := range []keygroup.Range{keygroup.All, {First: 300, End: 700}} {
		s := New(state.Layout{Init: []uint64{0, 0, 0}}, groups)
		defer s.Close()
		var own []*state.Keys
		for _, k := range encoded(4*keys/1024, keys) {
			own = append(own, only(k, groups))
		}
		want := map[string]uint64{}
		for round, k := range own {
			touch(t, s, k, uint64(round), want)
		}
		readAll(t, s, keygroup.All)
		ways := map[bool]int{}
		for round, batches := range []int{0, 1, 2, 3, 4, 6, 8, 10} {
			for b, base := range []keygroup.Range{{}, {First: 0, End: 310}, {First: 400, End: 410}, {First: 650, End: 1024}} {
				changed := map[string]uint64{}
				for i := range batches {
					touch(t, s, own[(7*round+3*b+i)%len(own)], uint64(1000+100*round+10*b+i), changed)
				}
				for k, v := range changed {
					want[k] = v
				}
				for k, v := range want {
					if base.Contains(groupOf(k)) {
						changed[k] = v
					}
				}
				p := s.panes[0]
				_, n, _ := p.run(base)
				ways[p.scattered(n)]++
				same(t, readAll(t, s, base), changed, fmt.Sprintf("%d batches changed, base %v of %v", batches, base, groups))
			}
		}
		if ways[false] < 5 || ways[true] < 5 {
			t.Errorf("cuts by the way they were taken: %v", ways)
		}
	}
}

// only keeps the keys of some groups.
func only(k *state.Keys, groups keygroup.Range) *state.Keys {
	out := &state.Keys{Arena: k.Arena, Long: k.Long}
	for i, h := range k.Hashes {
		if groups.Contains(keygroup.Of(h)) {
			out.Views, out.Hashes = append(out.Views, k.Views[i]), append(out.Hashes, h)
		}
	}
	return out
}

// touch sets the first word of the records of the keys, and notes it.
func touch(t *testing.T, s *Backend, k *state.Keys, value uint64, noted map[string]uint64) {
	t.Helper()
	p, err := s.Pane(0)
	if err != nil {
		t.Fatal(err)
	}
	refs := make([]record.Ref, len(k.Views))
	if err := p.Locate(k, refs); err != nil {
		t.Fatal(err)
	}
	for i, r := range refs {
		*p.Block().Int(r, 0) = int64(value)
		noted[string(k.Views[i].Bytes(k.Arena))] = value
	}
}

func groupOf(key string) keygroup.Group {
	var k state.Keys
	k.Append(batch.InlineView([]byte(key)), nil)
	return keygroup.Of(state.HashKey(&k.Views[0], nil))
}

// readAll takes a cut and returns its records; it holds that none is there twice.
func readAll(t *testing.T, s *Backend, base keygroup.Range) map[string]uint64 {
	t.Helper()
	c, err := s.Cut(base)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	out := map[string]uint64{}
	if err := c.Chunks(func(c *state.Chunk) error {
		for i, v := range c.Keys.Views {
			key := string(v.Bytes(c.Keys.Arena))
			if _, twice := out[key]; twice {
				t.Errorf("%s is in the cut twice", key)
			}
			out[key] = c.Words[i*3]
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func same(t *testing.T, got, want map[string]uint64, what string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d records, want %d", what, len(got), len(want))
	}
	for k, v := range want {
		if got[k] != v {
			t.Fatalf("%s: %s is %d, want %d", what, k, got[k], v)
		}
	}
}
