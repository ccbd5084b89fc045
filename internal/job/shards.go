package job

import (
	"context"
	"fmt"
	"slices"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/plan"
	"github.com/gorge-stream/gorge/internal/snapshot"
	"github.com/gorge-stream/gorge/internal/state"
)

// shard is the state of one step in one task. The task calls cut; the rest belongs to the keeper's owner.
type shard struct {
	task   int // index of the task and of the node in its chain
	node   int
	step   *plan.Node
	groups keygroup.Range
	words  int
	state  state.Durable
	chain  *snapshot.Chain
	base   keygroup.Range // of the cut under way
}

func (s *shard) cut(full bool) (state.Cut, error) {
	s.base = s.chain.Base(full)
	return s.state.Cut(s.base)
}

// restore loads the state of a step in one task.
func (k *keeper) restore(ctx context.Context, s *shard) error {
	if k.resume == nil {
		return nil
	}
	stored := k.stored("step", s.step.Name)
	for _, step := range k.resume.Steps {
		if stored == "" || step.Name != stored {
			continue
		}
		if err := snapshot.Restore(ctx, k.store, step, s.groups, s.words, s.state.Load); err != nil {
			return fmt.Errorf("restore the state of step %s: %w", s.step.Name, err)
		}
	}
	return nil
}

// write makes the cuts of an epoch durable.
func (k *keeper) write(ctx context.Context, ep *epoch) error {
	type written struct {
		segments []checkpoint.Segment
		panes    []state.PaneInfo
	}
	all := make([]written, len(k.shards))
	err := parallel(len(k.shards), func(i int) (err error) {
		s := k.shards[i]
		cut := ep.passages[s.task].Cuts[s.node]
		all[i].panes = slices.Clone(cut.Panes())
		all[i].segments, err = snapshot.Write(ctx, k.store, cut, snapshot.Header{Epoch: ep.Epoch, Run: k.first - 1, Step: s.step.Name, Groups: s.groups, Base: s.base, Words: s.words})
		return err
	})
	bytes := int64(0)
	for i, w := range all {
		if err != nil {
			k.history.Discard(w.segments)
			continue
		}
		k.shards[i].chain.Append(ep.Epoch, w.panes, w.segments, k.shards[i].base)
		for _, s := range w.segments {
			bytes += s.Size
		}
	}
	k.bytes.Store(bytes)
	stateWritten.Hit()
	return err
}

func (k *keeper) shardsOf(n *plan.Node) []checkpoint.Shard {
	var out []checkpoint.Shard
	for _, s := range k.shards {
		if s.step == n {
			out = append(out, s.chain.Shard())
		}
	}
	return out
}

// shard notes the state of a step in a task.
func (k *keeper) shard(task, node int, step *plan.Node, groups keygroup.Range, words int, kept state.Durable) *shard {
	s := &shard{task: task, node: node, step: step, groups: groups, words: words, state: kept, chain: snapshot.NewChain(groups)}
	k.shards = append(k.shards, s)
	return s
}
