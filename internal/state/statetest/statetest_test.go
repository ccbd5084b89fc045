package statetest

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// chunksInOrder is a cut of chunks with one key each.
type chunksInOrder []state.Chunk

func (chunksInOrder) Panes() []state.PaneInfo { return nil }
func (chunksInOrder) Release()                {}
func (c chunksInOrder) Chunks(f func(*state.Chunk) error) error {
	for i := range c {
		if err := f(&c[i]); err != nil {
			return err
		}
	}
	return nil
}

func TestReadCutJudgesTheOrder(t *testing.T) {
	chunk := func(g keygroup.Group, pane int64, keys int) state.Chunk {
		return state.Chunk{Group: g, Pane: pane, Keys: state.Keys{Views: make([]batch.View, keys)}}
	}
	for name, c := range map[string]struct {
		cut  chunksInOrder
		want string
	}{
		"ascending":      {chunksInOrder{chunk(0, 5, 1), chunk(0, 6, 1), chunk(2, -9, 1)}, ""},
		"groups swapped": {chunksInOrder{chunk(1, 0, 1), chunk(0, 1, 1)}, "comes behind"},
		"panes swapped":  {chunksInOrder{chunk(1, 1, 1), chunk(1, 0, 1)}, "comes behind"},
		"twice":          {chunksInOrder{chunk(1, 1, 1), chunk(1, 1, 1)}, "comes behind"},
		"nothing in it":  {chunksInOrder{chunk(1, 1, 0)}, "a chunk of nothing"},
	} {
		k := readCut(c.cut)
		switch {
		case c.want == "" && (k.err != nil || len(k.chunks) != len(c.cut)):
			t.Errorf("%s: %d chunks, %v", name, len(k.chunks), k.err)
		case c.want != "" && (k.err == nil || !strings.Contains(k.err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, k.err, c.want)
		}
	}
}
