package snapshot

import (
	"fmt"
	"maps"
	"testing"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
	"github.com/gorge-stream/gorge/internal/state/memory"
)

var layout = state.Layout{Init: make([]uint64, 5)}

// fill adds one to the first word of the records of keys from to end-1 that the
// backend has the groups of.
func fill(t testing.TB, b *memory.Backend, groups keygroup.Range, from, end int) {
	t.Helper()
	p, err := b.Pane(60)
	if err != nil {
		t.Fatal(err)
	}
	var refs [512]record.Ref
	for at := from; at < end; at += len(refs) {
		var list []string
		for i := at; i < min(at+len(refs), end); i++ {
			if name := fmt.Sprintf("device %07d", i); groups.Contains(group(name)) {
				list = append(list, name)
			}
		}
		k := keys(list)
		for i := range k.Views {
			k.Hashes = append(k.Hashes, state.HashKey(&k.Views[i], k.Arena))
		}
		if err := p.Locate(&k, refs[:]); err != nil {
			t.Fatal(err)
		}
		for _, r := range refs[:len(list)] {
			*p.Block().Int(r, 0)++
		}
	}
}

// counts returns the first words of the records by key.
func counts(t testing.TB, backends ...*memory.Backend) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	for _, b := range backends {
		p, err := b.Pane(60)
		if err != nil {
			t.Fatal(err)
		}
		var refs [512]record.Ref
		for cursor := uint64(0); ; {
			var n int
			if n, cursor = p.Scan(cursor, refs[:]); n == 0 {
				break
			}
			var k state.Keys
			p.Keys(refs[:n], &k)
			for i, name := range names(&k) {
				out[name] += *p.Block().Int(refs[i], 0)
			}
		}
	}
	return out
}

// cutInto takes one cut of a backend into the store.
func cutInto(t testing.TB, s checkpoint.Store, b *memory.Backend, c *Chain, epoch uint64) {
	t.Helper()
	base := c.Base(false)
	cut, err := b.Cut(base)
	if err != nil {
		t.Fatal(err)
	}
	defer cut.Release()
	segs, err := Write(ctx, s, cut, Header{Epoch: epoch, Step: "s", Groups: c.groups, Base: base, Words: 5})
	if err != nil {
		t.Fatal(err)
	}
	c.Append(epoch, cut.Panes(), segs, base)
}

func TestStateInMemoryGoesThroughAStoreToAnotherNumberOfTasks(t *testing.T) {
	s := newShelf()
	step := checkpoint.Step{Name: "s"}
	var olds []*memory.Backend
	for i := range 2 {
		groups := keygroup.Owned(i, 2)
		b, c := memory.New(layout, groups), NewChain(groups)
		defer b.Close()
		for epoch := uint64(1); epoch < 8; epoch++ {
			fill(t, b, groups, int(epoch)*1000, 20_000)
			cutInto(t, s, b, c, epoch)
		}
		olds = append(olds, b)
		step.Shards = append(step.Shards, c.Shard())
	}
	want := counts(t, olds...)
	for _, tasks := range []int{1, 2, 7} {
		var news []*memory.Backend
		for i := range tasks {
			b := memory.New(layout, keygroup.Owned(i, tasks))
			defer b.Close()
			if err := Restore(ctx, s, step, keygroup.Owned(i, tasks), 5, b.Load); err != nil {
				t.Fatal(err)
			}
			news = append(news, b)
		}
		if got := counts(t, news...); len(got) != 19_000 || !maps.Equal(got, want) {
			t.Errorf("%d tasks have %d records, not those %d", tasks, len(got), len(want))
		}
	}
}

// BenchmarkRestore reads 500,000 records into an empty backend.
func BenchmarkRestore(b *testing.B) {
	s := newShelf()
	from, c := memory.New(layout, keygroup.All), NewChain(keygroup.All)
	defer from.Close()
	fill(b, from, keygroup.All, 0, benchRows)
	cutInto(b, s, from, c, 1)
	step := checkpoint.Step{Shards: []checkpoint.Shard{c.Shard()}}
	for b.Loop() {
		to := memory.New(layout, keygroup.All)
		if err := Restore(ctx, s, step, keygroup.All, 5, to.Load); err != nil {
			b.Fatal(err)
		}
		to.Close()
	}
}
