package operator_test

import (
	"testing"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/checkpoint/checkpointtest"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/operator"
	"github.com/gorge-stream/gorge/internal/snapshot"
	"github.com/gorge-stream/gorge/internal/state"
	"github.com/gorge-stream/gorge/internal/state/memory"
)

// kept is a backend with a store of checkpoints.
type kept struct {
	layout  state.Layout
	backend *memory.Backend
	store   *checkpointtest.Memory
	chain   *snapshot.Chain
	epoch   uint64
}

func newKept(l state.Layout) *kept {
	return &kept{layout: l, backend: memory.New(l, keygroup.All), store: checkpointtest.NewMemory(), chain: snapshot.NewChain(keygroup.All)}
}

// checkpoint writes what has changed since the last one.
func (k *kept) checkpoint(t *testing.T) {
	k.epoch++
	base := k.chain.Base(k.epoch == 1)
	cut, err := k.backend.Cut(base)
	if err != nil {
		t.Fatal(err)
	}
	defer cut.Release()
	segments, err := snapshot.Write(t.Context(), k.store, cut, snapshot.Header{
		Epoch: k.epoch, Run: 1, Step: "script", Groups: keygroup.All, Base: base, Words: len(k.layout.Init),
	})
	if err != nil {
		t.Fatal(err)
	}
	k.chain.Append(k.epoch, cut.Panes(), segments, base)
}

// restore makes a new backend with the state of the last checkpoint. Its two halves
// come one after the other, as from the tasks of a run at another parallelism.
func (k *kept) restore(t *testing.T) {
	step := checkpoint.Step{Name: "script", Shards: []checkpoint.Shard{k.chain.Shard()}}
	k.backend = memory.New(k.layout, keygroup.All)
	for half := range 2 {
		if err := snapshot.Restore(t.Context(), k.store, step, keygroup.Owned(half, 2), len(k.layout.Init), k.backend.Load); err != nil {
			t.Fatal(err)
		}
	}
	k.chain, k.epoch = snapshot.NewChain(keygroup.All), 0
	k.store = checkpointtest.NewMemory()
	k.checkpoint(t)
}

// layout returns the layout of records that begin with accumulators.
func layout(a *operator.Aggregates, init []uint64) state.Layout {
	l := state.Layout{Init: init}
	if a.Set.KeepsTexts() {
		l.MoveTexts = a.Set.MoveTexts
	}
	return l
}
