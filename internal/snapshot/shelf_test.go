package snapshot

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf is a store in memory.
type shelf struct {
	mu      sync.Mutex
	objects map[string][]byte
	put     func(name string) error
}

func newShelf() *shelf { return &shelf{objects: map[string][]byte{}} }

func (s *shelf) Put(_ context.Context, name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.put != nil {
		if err := s.put(name); err != nil {
			return err
		}
	}
	s.objects[name] = bytes.Clone(data)
	return nil
}

func (s *shelf) Claim(ctx context.Context, name string, data []byte) error {
	return s.Put(ctx, name, data)
}

func (s *shelf) Get(_ context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.objects[name]
	if !ok {
		return nil, checkpoint.ErrNotFound
	}
	return data, nil
}

func (s *shelf) List(context.Context, string) ([]checkpoint.Object, error) { return nil, nil }
func (s *shelf) Delete(context.Context, []string) error                    { return nil }

// piece is the content of a chunk in plain values.
type piece struct {
	pane    int64
	group   keygroup.Group
	keys    []string // "<null>" is the null key
	words   []uint64
	texts   string
	deleted []string
}

const null = "<null>"

func keys(list []string) state.Keys {
	k := state.Keys{Arena: []byte("something of another column")}
	for _, s := range list {
		switch {
		case s == null:
			k.Views = append(k.Views, state.NullKey)
		case len(s) <= batch.InlineMax:
			k.Views = append(k.Views, batch.InlineView([]byte(s)))
		default:
			k.Views = append(k.Views, batch.LongView([]byte(s), len(k.Arena)))
			k.Arena = append(k.Arena, s...)
			k.Long = true
		}
	}
	return k
}

func names(k *state.Keys) []string {
	var out []string
	for i := range k.Views {
		v := &k.Views[i]
		switch {
		case state.IsNullKey(*v):
			out = append(out, null)
		case !v.Inline() && (!k.Long || uint32(v.W0>>32) != uint32(batch.LongView(v.Bytes(k.Arena), 0).W0>>32)):
			out = append(out, "a long key without Long or with another beginning")
		default:
			out = append(out, string(v.Bytes(k.Arena)))
		}
	}
	return out
}

func (p piece) chunk() *state.Chunk {
	return &state.Chunk{Pane: p.pane, Group: p.group, Keys: keys(p.keys), Words: p.words, Texts: []byte(p.texts), Gone: keys(p.deleted)}
}

func plain(c *state.Chunk) piece {
	return piece{c.Pane, c.Group, names(&c.Keys), slices.Clone(c.Words), string(c.Texts), names(&c.Gone)}
}

// group returns the key group of a key.
func group(key string) keygroup.Group {
	k := keys([]string{key})
	return keygroup.Of(state.HashKey(&k.Views[0], k.Arena))
}

// fakeCut is a cut of given pieces.
type fakeCut struct {
	panes  []state.PaneInfo
	pieces []piece
}

func (c *fakeCut) Panes() []state.PaneInfo { return c.panes }
func (c *fakeCut) Release()                {}
func (c *fakeCut) Chunks(f func(*state.Chunk) error) error {
	for _, p := range c.pieces {
		if err := f(p.chunk()); err != nil {
			return err
		}
	}
	return nil
}

// dump writes pieces for people.
func dump(pieces []piece) string {
	var b strings.Builder
	for _, p := range pieces {
		fmt.Fprintf(&b, "pane %d group %d keys %q words %x texts %q gone %q\n", p.pane, p.group, p.keys, p.words, p.texts, p.deleted)
	}
	return b.String()
}
