package job

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/delivery"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/failpoint"
	"github.com/gorge-stream/gorge/internal/plan"
)

// Checkpoints says where a job keeps its checkpoints and from which it goes on.
type Checkpoints struct {
	Store  checkpoint.Store
	Engine string // version, for the manifests
	// Shared: engines on other machines may be writing to the store, which the lock
	// of a folder rules out.
	Shared bool
	// Fresh: begin anew whatever the store holds.
	Fresh bool
	// From is the checkpoint to go on from, in FromStore; nil for the latest of Store.
	From      *checkpoint.Manifest
	FromStore checkpoint.Store
	// Rename tells the names of steps, sources and sinks in the pipeline by those in the checkpoint.
	Rename map[string]string
	// DropState permits that the checkpoint has state that the pipeline has no use for.
	DropState bool
}

// keeper keeps the checkpoints of one job. The goroutine that persists, decides or
// commits an epoch owns it: there is one at a time.
type keeper struct {
	job     *Job
	store   checkpoint.Store
	history *checkpoint.History
	engine  string
	// resume is what the job goes on from, nil for a start from nothing; names are the
	// names in the pipeline of its parts, by kind and name in the checkpoint.
	resume *checkpoint.Manifest
	names  map[string]map[string]string
	first  uint64 // number of the first epoch
	shards []*shard
	holds  atomic.Int32 // savepoints that are being copied: nothing is deleted
	bytes  atomic.Int64 // of the last checkpoint that was written
	now    func() time.Time
}

// The places of the keeper at which a crash is worth trying.
var (
	claimedOpening  = failpoint.New("job/opening-claimed")
	sinksRecovered  = failpoint.New("job/sinks-recovered")
	stateWritten    = failpoint.New("job/state-written")
	decidedManifest = failpoint.New("job/manifest-claimed")
	sourcesReleased = failpoint.New("job/sources-released")
)

// openCheckpoints finds what the job goes on from, checks that it fits, takes the
// store over from whoever wrote to it before, and opens the sinks that take part.
//
// The order matters at each step: an engine that still runs is fenced before the
// sinks are touched; what the latest checkpoint has decided is made visible before
// a start from nothing forgets it; and sinks clear away what is left only then.
func (b *builder) openCheckpoints(ctx context.Context) error {
	c := b.opts.Checkpoints
	if c == nil {
		return nil
	}
	if name := b.unrepeatable(); name != "" {
		b.opts.Log.Info("running without checkpoints: the input cannot be read again", "source", name)
		return nil
	}
	h, err := checkpoint.OpenHistory(ctx, c.Store)
	if err != nil {
		return err
	}
	k := &keeper{job: b.Job, store: c.Store, history: h, engine: c.Engine, now: b.opts.Now}
	latest, err := k.latest(c)
	if err != nil {
		return err
	}
	if err := k.choose(c, latest, Needs(b.plan)); err != nil {
		return err
	}
	opening := h.Opening(latest, b.plan.Name, c.Engine, b.opts.Now())
	if err := h.Claim(ctx, opening); err != nil {
		return err
	}
	claimedOpening.Hit()
	b.keeper = k
	if err := b.openSinks(ctx, latest); err != nil {
		return err
	}
	sinksRecovered.Hit()
	if k.resume == nil && latest != nil && latest.Finished && !c.Fresh && c.From == nil {
		k.collect(ctx)
		return &FinishedError{Taken: latest.Taken}
	}
	k.first = opening.Epoch + 1
	if k.resume == latest {
		k.collect(ctx)
		return k.collectOrphans(ctx)
	}
	if k.resume != nil {
		if err := checkpoint.CopyObjects(ctx, c.FromStore, k.resume, c.Store); err != nil {
			return err
		}
	}
	anew := h.Opening(k.resume, b.plan.Name, c.Engine, b.opts.Now())
	k.withoutOutput(anew)
	if err := h.RemoveAll(ctx, anew); err != nil {
		return err
	}
	for _, s := range b.sinks {
		if err := s.sink.Recover(ctx, 0, nil); err != nil {
			return fmt.Errorf("sink %s: begin anew: %w", s.node.Name, err)
		}
	}
	k.first = anew.Epoch + 1
	return k.collectOrphans(ctx)
}

// FinishedError is what Build returns when the input had come to its end: all output
// is out now, and to begin anew without being asked would make it a second time. A
// run that was killed behind its last decision ends well that way.
type FinishedError struct{ Taken time.Time }

// Error says when the input had ended.
func (e *FinishedError) Error() string {
	return "the input was processed to its end at " + e.Taken.UTC().Format(time.RFC3339) + ", and every result is out"
}

// latest returns the latest checkpoint in the store. One that cannot be read
// matters unless the run is asked to begin anew.
func (k *keeper) latest(c *Checkpoints) (*checkpoint.Manifest, error) {
	m, err := k.history.Latest()
	if err != nil && (c.Fresh || c.From != nil) {
		k.job.opts.Log.Warn("the latest checkpoint cannot be read; output that it had decided may be missing", "error", err)
		return nil, nil
	}
	return m, err
}

// collect deletes old manifests at a start: each start writes one, and a run that
// never gets as far as its first epoch would leave them to pile up.
func (k *keeper) collect(ctx context.Context) {
	if err := k.history.Collect(ctx, k.job.plan.Checkpoint.Retain); err != nil {
		k.job.opts.Log.Warn("old checkpoints could not be deleted", "error", err)
	}
}

// collectOrphans deletes what engines left that were killed while they wrote.
func (k *keeper) collectOrphans(ctx context.Context) error {
	before := k.now()
	if k.job.opts.Checkpoints.Shared {
		before = before.Add(-orphanAge)
	}
	n, err := k.history.CollectOrphans(ctx, before)
	if err != nil {
		k.job.opts.Log.Warn("what an earlier run had left could not be deleted", "error", err)
	} else if n > 0 {
		k.job.opts.Log.Debug("deleted what an earlier run had left", "objects", n)
	}
	return ctx.Err()
}

// orphanAge is how old an object in a shared store has to be that no checkpoint
// names to be surely nobody's.
const orphanAge = time.Hour

// withoutOutput takes what sinks have to commit out of a checkpoint: it has been
// committed where it was made.
func (k *keeper) withoutOutput(m *checkpoint.Manifest) {
	m.Sinks = slices.Clone(m.Sinks)
	for i := range m.Sinks {
		m.Sinks[i].Committables = nil
	}
}

// openSinks opens the sinks that take part in epochs and brings them to where the
// latest checkpoint says.
func (b *builder) openSinks(ctx context.Context, latest *checkpoint.Manifest) error {
	for _, n := range b.plan.Nodes {
		op, ok := n.Op.(*plan.Sink)
		if !ok {
			continue
		}
		reg := b.parts.Connectors[op.Connector]
		// What shows its rows when it is whole loses them in a crash without epochs.
		if reg.NewEpochSink == nil || op.Direct() && reg.AtEnd == nil {
			continue
		}
		env, err := b.sinkEnv(n, op)
		if err != nil {
			return err
		}
		sink, err := reg.NewEpochSink(op.Set, env)
		if err != nil {
			return err
		}
		b.sinks = append(b.sinks, epochSink{n, sink})
		last, c := b.keeper.output(latest, n.Name)
		if err := sink.Recover(ctx, last, c); err != nil {
			if anew := b.opts.Checkpoints.Fresh || b.opts.Checkpoints.From != nil; !anew {
				return fmt.Errorf("sink %s: recover: %w", n.Name, err)
			}
			b.opts.Log.Warn("what the latest checkpoint had decided may be missing in a sink", "sink", n.Name, "error", err)
		}
	}
	return nil
}

// output returns what a checkpoint has to commit of a sink, again if need be.
func (k *keeper) output(m *checkpoint.Manifest, name string) (last uint64, c []connector.Committable) {
	if m == nil {
		return 0, nil
	}
	if k.resume == m {
		name = k.stored("sink", name)
	}
	for _, s := range m.Sinks {
		if s.Name == name {
			for _, one := range s.Committables {
				c = append(c, one)
			}
			return m.Origin(), c
		}
	}
	return 0, nil // the sink is new
}

// unrepeatable returns the name of a source when no source can be read again, "" otherwise.
func (b *builder) unrepeatable() string {
	name := ""
	for _, n := range b.plan.Nodes {
		op, ok := n.Op.(*plan.Source)
		if !ok {
			continue
		}
		p := b.parts.Connectors[op.Connector].SourcePromise
		if p == nil || p(op.Set).Guarantee > delivery.AtMostOnce {
			return ""
		}
		name = n.Name
	}
	return name
}

// choose settles what the job goes on from: the latest checkpoint, the one that
// was asked for, or nothing.
func (k *keeper) choose(c *Checkpoints, latest *checkpoint.Manifest, needs checkpoint.Needs) error {
	m, log := latest, k.job.opts.Log
	if c.From != nil {
		m = c.From
	}
	if m == nil || c.Fresh {
		return nil
	}
	if name := k.job.plan.Name; m.Pipeline != name {
		return diag.New("run/other-pipeline", "the checkpoint is of the pipeline %s, not of %s", m.Pipeline, name).
			WithHint("give each pipeline a data directory of its own, or start anew with --fresh")
	}
	if m.Finished || len(m.Sources) == 0 {
		// The run had come to its end, or never got as far as its first epoch.
		if c.From != nil {
			return diag.New("run/from-nothing", "there is nothing to go on from in the checkpoint of epoch %d: the input had ended, or had not begun", m.Epoch).
				WithHint("gorge checkpoint list shows the others; --fresh starts anew, and makes all output again")
		}
		return nil
	}
	p := checkpoint.PlanState(m, needs, c.Rename)
	if err := p.Err(c.DropState); err != nil {
		return err
	}
	k.names = map[string]map[string]string{}
	for _, what := range []string{"step", "source", "sink"} {
		k.names[what] = p.Names(what)
	}
	k.resume = m
	log.Info("going on from a checkpoint", "epoch", m.Epoch, "taken", m.Taken.Format(time.RFC3339))
	return nil
}

// Needs returns what a job of the plan needs from a checkpoint that it goes on from.
func Needs(p *plan.Plan) checkpoint.Needs {
	var out checkpoint.Needs
	for _, n := range p.Nodes {
		switch op := n.Op.(type) {
		case *plan.Source:
			out.Sources = append(out.Sources, checkpoint.Edge{Name: n.Name, Connector: op.Connector})
		case *plan.Sink:
			out.Sinks = append(out.Sinks, checkpoint.Edge{Name: n.Name, Connector: op.Connector})
		default:
			if layout := n.StateLayout(); layout != nil {
				out.Steps = append(out.Steps, checkpoint.Need{Step: n.Name, Layout: layout})
			}
		}
	}
	return out
}

// stored returns the name in the checkpoint of a part of the pipeline, "" when it has none.
func (k *keeper) stored(what, name string) string {
	for stored, mine := range k.names[what] {
		if mine == name {
			return stored
		}
	}
	return ""
}

// sourceAt returns where a source stood, nil when it begins.
func (k *keeper) sourceAt(name string) *checkpoint.Source {
	if k == nil || k.resume == nil {
		return nil
	}
	stored := k.stored("source", name)
	for i := range k.resume.Sources {
		if s := &k.resume.Sources[i]; stored != "" && s.Name == stored {
			return s
		}
	}
	return nil
}

// decide claims the manifest of an epoch: the one commit.
func (k *keeper) decide(ctx context.Context, ep *epoch, output map[*plan.Node][]connector.Committable) error {
	m := &checkpoint.Manifest{
		Version: checkpoint.Version, Engine: k.engine, Pipeline: k.job.plan.Name, Epoch: ep.Epoch, Kind: ep.Kind,
		Taken: k.now(), Finished: ep.Kind == checkpoint.Ending, Parallelism: k.job.opts.Parallelism,
	}
	for i, f := range k.job.feeds {
		at := ep.sources[i]
		at.Name, at.Connector = f.name, f.connector
		m.Sources = append(m.Sources, at)
	}
	for _, n := range k.job.plan.Nodes {
		switch op := n.Op.(type) {
		case *plan.Sink:
			s := checkpoint.Sink{Name: n.Name, Connector: op.Connector}
			for _, c := range output[n] {
				s.Committables = append(s.Committables, c)
			}
			m.Sinks = append(m.Sinks, s)
		default:
			if layout := n.StateLayout(); layout != nil {
				m.Steps = append(m.Steps, checkpoint.Step{Name: n.Name, Layout: layout, Shards: k.shardsOf(n)})
			}
		}
	}
	if err := k.history.Claim(ctx, m); err != nil {
		return err
	}
	decidedManifest.Hit()
	return nil
}

// release lets go of what no kept checkpoint needs: input that sources keep, old
// manifests and segments.
func (k *keeper) release(ctx context.Context) error {
	if k.holds.Load() > 0 {
		return nil
	}
	if err := k.history.Collect(ctx, k.job.plan.Checkpoint.Retain); err != nil {
		return fmt.Errorf("delete old checkpoints: %w", err)
	}
	oldest := k.history.Oldest()
	if oldest == nil {
		return nil
	}
	for _, f := range k.job.feeds {
		r, ok := f.source.(connector.Releaser)
		if !ok {
			continue
		}
		for _, s := range oldest.Sources {
			if s.Name != f.name {
				continue
			}
			for _, sp := range s.Splits {
				if err := r.Release(ctx, sp.ID, sp.Position); err != nil {
					return fmt.Errorf("source %s: let go of input: %w", f.name, err)
				}
			}
		}
	}
	sourcesReleased.Hit()
	return nil
}
