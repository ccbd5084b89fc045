package job

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/deadletter"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/operator"
	"github.com/gorge-stream/gorge/internal/plan"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/snapshot"
	"github.com/gorge-stream/gorge/internal/state"
	"github.com/gorge-stream/gorge/internal/window"
)

// StoredState reads the state of one step as a checkpoint holds it. One goroutine owns it.
type StoredState struct {
	step  checkpoint.Step
	parts Parts
	aggs  *operator.Aggregates
	calls int // aggregates
	init  []uint64
	keys  *state.KeyEncoder
	key   *batch.Schema // of the key columns alone
	out   *batch.Pool
	// window makes the window of a pane; nil for state that has none.
	window func(pane int64) window.Window
}

// inspectBytes is how much stored state is looked at together: about so much memory is needed.
var inspectBytes int64 = 64 << 20

// OpenStoredState finds the state of a step of the pipeline in a checkpoint. Of
// parts it uses State alone, which should keep state in memory.
func OpenStoredState(p *plan.Plan, step string, parts Parts, m *checkpoint.Manifest) (*StoredState, error) {
	n, err := statefulNode(p, step)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(m.Steps, func(s checkpoint.Step) bool { return s.Name == step })
	if i < 0 {
		return nil, diag.New("state/not-stored", "the checkpoint of epoch %d has no step %s", m.Epoch, step).
			WithHint("gorge checkpoint inspect shows which it has")
	}
	if !slices.Equal(m.Steps[i].Layout, n.StateLayout()) {
		return nil, diag.New("state/other-layout", "the step %s meant something else when the checkpoint was taken", step).
			WithHint("gorge plan FILE --state shows the difference; use the pipeline file of that time")
	}
	r := &StoredState{step: m.Steps[i], parts: parts}
	return r, r.prepare(n)
}

// statefulNode returns the node of a step that keeps state.
func statefulNode(p *plan.Plan, step string) (*plan.Node, error) {
	var have []string
	known := false
	for _, n := range p.Nodes {
		if n.StateLayout() == nil {
			known = known || n.Name == step
			continue
		}
		if n.Name == step {
			return n, nil
		}
		have = append(have, n.Name)
	}
	hint := "no step of the pipeline keeps state"
	if len(have) > 0 {
		hint = "these do: " + strings.Join(have, ", ")
	}
	if known {
		return nil, diag.New("state/stateless", "%s keeps no state", step).WithHint("%s", hint)
	}
	return nil, diag.New("state/unknown-step", "the pipeline has no step %s", step).WithHint("%s", hint)
}

// prepare makes what turns records into rows.
func (r *StoredState) prepare(n *plan.Node) (err error) {
	var keys []string
	var list []plan.Aggregate
	rows := rowsOf(n.Inputs[0])
	out := &batch.Schema{Time: -1}
	switch op := n.Op.(type) {
	case *plan.WindowAggregate:
		if op.Combine {
			rows = rowsOf(n.Inputs[0].Node.Inputs[0])
		}
		keys, list = op.Keys, op.Aggregates
		r.window = window.Tumbling{Size: micros(op.Window.Size), Offset: micros(op.Window.Offset)}.Pane
	case *plan.Running:
		keys, list = op.Keys, op.Stats
	}
	if r.aggs, err = aggregates(list, rows); err != nil {
		return err
	}
	r.init = r.aggs.Set.Init()
	if op, ok := n.Op.(*plan.Running); ok {
		r.init = operator.RunningInit(r.aggs, micros(op.TTL))
	}
	r.calls = len(list)
	for _, k := range columns(rows, keys) {
		out.Fields = append(out.Fields, rows.Fields[k])
	}
	r.key = &batch.Schema{Time: -1, Fields: slices.Clone(out.Fields)}
	var all []int
	for i := range r.key.Fields {
		all = append(all, i)
	}
	r.keys = state.NewKeyEncoder(r.key, all)
	if r.window != nil {
		out.Fields = append(out.Fields, batch.Field{Name: "window_start", Kind: batch.Timestamp}, batch.Field{Name: "window_end", Kind: batch.Timestamp})
	}
	for _, a := range list {
		out.Fields = append(out.Fields, n.Schema.Fields[n.Schema.Index(a.Name)])
	}
	r.out = batch.NewPool(out, DefaultBatchRows)
	return nil
}

// rowsOf returns the schema of the rows of an output.
func rowsOf(r plan.Ref) *batch.Schema {
	switch r.Port {
	case plan.Late:
		return rowsOf(r.Node.Inputs[0])
	case plan.Dead:
		return deadletter.Schema
	}
	return r.Node.Schema
}

// Schema returns the schema of the rows: the key, of a window its start and end,
// and the aggregates as they stood.
func (r *StoredState) Schema() *batch.Schema { return r.out.Schema() }

// Key returns the schema of the key columns.
func (r *StoredState) Key() *batch.Schema { return r.key }

// Read calls f with the rows, by range of key groups, window, and hash of the key. With a key,
// a batch of one row with the schema Key, it is the rows of that one. A batch is f's to release.
func (r *StoredState) Read(ctx context.Context, store checkpoint.Store, key *batch.Batch, f func(*batch.Batch) error) error {
	if key != nil {
		k := r.keys.Encode(key)
		g := keygroup.Of(k.Hashes[0])
		return r.groups(ctx, store, keygroup.Range{First: g, End: g + 1}, only(k), f)
	}
	bytes := int64(0)
	for _, h := range r.step.Shards {
		for _, s := range h.Segments {
			bytes += s.Size
		}
	}
	rounds := int(min(bytes/inspectBytes+1, keygroup.Count))
	for i := range rounds {
		if err := r.groups(ctx, store, keygroup.Owned(i, rounds), nil, f); err != nil {
			return err
		}
	}
	return nil
}

// only returns a function that tells the first of some keys from others.
func only(want *state.Keys) func(*state.Keys, int) bool {
	null := state.IsNullKey(want.Views[0])
	text := ""
	if !null {
		text = string(want.Views[0].Bytes(want.Arena))
	}
	return func(k *state.Keys, i int) bool {
		v := &k.Views[i]
		if null || state.IsNullKey(*v) {
			return null && state.IsNullKey(*v)
		}
		return string(v.Bytes(k.Arena)) == text
	}
}

// groups reads the state of some key groups.
func (r *StoredState) groups(ctx context.Context, store checkpoint.Store, groups keygroup.Range, wanted func(*state.Keys, int) bool, f func(*batch.Batch) error) error {
	layout := state.Layout{Init: r.init}
	if r.aggs.Set.KeepsTexts() {
		layout.MoveTexts = r.aggs.Set.MoveTexts
	}
	kept, err := r.parts.State(layout, groups, false)
	if err != nil {
		return err
	}
	defer kept.Close()
	if err := snapshot.Restore(ctx, store, r.step, groups, len(r.init), func(c *state.Chunk) error {
		if err := r.fits(c); err != nil {
			return err
		}
		return kept.Load(c)
	}); err != nil {
		return err
	}
	for _, id := range slices.Clone(kept.Panes()) {
		if err := r.pane(ctx, kept, id, wanted, f); err != nil {
			return err
		}
	}
	return nil
}

// fits refuses keys that are none of the step's.
func (r *StoredState) fits(c *state.Chunk) error {
	for i := range c.Keys.Views {
		if !r.keys.Fits(c.Keys.Views[i], c.Keys.Arena) {
			return fmt.Errorf("pane %d, key group %d: key %d is none of the step's", c.Pane, c.Group, i)
		}
	}
	return nil
}

// pane reads one pane.
func (r *StoredState) pane(ctx context.Context, kept state.Backend, id int64, wanted func(*state.Keys, int) bool, f func(*batch.Batch) error) error {
	p, err := kept.Pane(id)
	if err != nil {
		return err
	}
	refs := make([]record.Ref, r.out.Cap())
	for cursor := uint64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var n int
		if n, cursor = p.Scan(cursor, refs); n == 0 {
			return nil
		}
		found := refs[:n]
		if wanted != nil {
			var k state.Keys
			p.Keys(found, &k)
			at := 0
			for i, ref := range found {
				if wanted(&k, i) {
					found[at] = ref
					at++
				}
			}
			if found = found[:at]; at == 0 {
				continue
			}
		}
		if err := f(r.rows(p, found, id)); err != nil {
			return err
		}
	}
}

// rows makes the rows of records.
func (r *StoredState) rows(p state.Pane, refs []record.Ref, id int64) *batch.Batch {
	o := r.out.Get()
	at := len(r.key.Fields)
	if at > 0 {
		var k state.Keys
		p.Keys(refs, &k)
		var cols []*batch.Column
		for i := range at {
			cols = append(cols, o.Col(i))
		}
		r.keys.Decode(&k, cols, 0)
	}
	if r.window != nil {
		w := r.window(id)
		start, end := o.Col(at).Int64s(), o.Col(at+1).Int64s()
		for i := range refs {
			start[i], end[i] = w.Start, w.End
		}
		at += 2
	}
	for i := range r.calls {
		r.aggs.Set.Result(i, p.Block(), refs, o.Col(at+i), 0)
	}
	o.SetLen(len(refs))
	return o
}
