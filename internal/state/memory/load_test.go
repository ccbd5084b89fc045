package memory

import (
	"encoding/binary"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
)

// chunkOf makes a chunk of any bytes: views as they come, unless the bytes ask for good ones.
func chunkOf(in []byte) *state.Chunk {
	next := func(n int) []byte {
		out := make([]byte, n)
		in = in[copy(out, in):]
		return out
	}
	c := &state.Chunk{Pane: 1, Group: keygroup.Group(binary.LittleEndian.Uint16(next(2)) % keygroup.Count)}
	c.Keys.Arena = next(64)
	c.Gone.Arena = c.Keys.Arena
	for len(in) > 0 && len(c.Keys.Views) < 40 {
		var v batch.View
		switch how := next(1)[0]; how % 4 {
		case 0:
			v = batch.View{W0: binary.LittleEndian.Uint64(next(8)), W1: binary.LittleEndian.Uint64(next(8))}
		case 1:
			v = batch.LongView(c.Keys.Arena[how%32:], int(how%32))
		case 2:
			v = batch.InlineView(next(int(how) % 13))
		default:
			v = state.NullKey
		}
		if len(in)%5 == 0 && v.Inline() {
			c.Group = keygroup.Of(batch.Hash(v.W0, v.W1))
		}
		c.Keys.Views = append(c.Keys.Views, v)
		c.Words = append(c.Words, uint64(len(in)))
		if len(in)%7 == 0 {
			c.Gone.Views = append(c.Gone.Views, v)
		}
	}
	return c
}

// FuzzLoad loads chunks of any bytes: those that are refused leave no trace, of the
// others every key is found with its words.
func FuzzLoad(f *testing.F) {
	f.Add([]byte("\x00\x00"))
	f.Add(append(make([]byte, 66), "\x02ab\x02cd\x06key\x06abc"...))
	f.Add(append(make([]byte, 66), 3, 3, 1, 5, 9, 13, 2, 2, 2, 2, 2))
	f.Fuzz(func(t *testing.T, in []byte) {
		s := New(state.Layout{Init: []uint64{99}}, keygroup.All)
		defer s.Close()
		c := chunkOf(in)
		if err := s.Load(c); err != nil {
			if len(s.Panes()) != 0 {
				t.Errorf("%v, and there are panes %v", err, s.Panes())
			}
			return
		}
		p, err := s.pane(c.Pane)
		if err != nil {
			t.Fatal(err)
		}
		last := map[string]uint64{}
		for i := range c.Keys.Views {
			last[keyText(&c.Keys, i)] = c.Words[i]
		}
		if p.n != len(last) {
			t.Errorf("%d records of %d keys", p.n, len(last))
		}
		refs := make([]record.Ref, len(last)+1)
		n, _ := p.Scan(0, refs)
		var k state.Keys
		p.Keys(refs[:n], &k)
		for i, r := range refs[:n] {
			if got, want := *p.Block().Word(r, 0), last[keyText(&k, i)]; got != want {
				t.Errorf("key %q: %d, want %d", keyText(&k, i), got, want)
			}
		}
	})
}

func keyText(k *state.Keys, i int) string {
	if state.IsNullKey(k.Views[i]) {
		return "null"
	}
	return "=" + string(k.Views[i].Bytes(k.Arena))
}
