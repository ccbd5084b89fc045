package job

import (
	"context"
	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/plan"
	"github.com/gorge-stream/gorge/internal/state"
)

type shard struct {
	task, node int
	step       *plan.Node
	groups     keygroup.Range
	words      int
	state      state.Durable
}

func (s *shard) cut(full bool) (state.Cut, error)             { return nil, nil }
func (k *keeper) restore(ctx context.Context, s *shard) error { return nil }
func (k *keeper) write(ctx context.Context, ep *epoch) error  { return nil }
func (k *keeper) shardsOf(n *plan.Node) []checkpoint.Shard    { return nil }

// shard notes the state of a step in a task.
func (k *keeper) shard(task, node int, step *plan.Node, groups keygroup.Range, words int, kept state.Durable) *shard {
	s := &shard{task: task, node: node, step: step, groups: groups, words: words, state: kept}
	k.shards = append(k.shards, s)
	return s
}
