package job

import (
	"context"
	"maps"
	"runtime"
	"sync"
	"time"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/exchange"
	"github.com/gorge-stream/gorge/internal/failpoint"
	"github.com/gorge-stream/gorge/internal/plan"
	"github.com/gorge-stream/gorge/internal/task"
)

// epochs drives the coordinator: it tells it what happens and does what it asks
// for. Every job has one, as the end of the input is an epoch too; only with
// checkpoints is there anything to persist and decide.
type epochs struct {
	job    *Job
	coord  *checkpoint.Coordinator // owned by run
	events chan checkpoint.Event
	over   chan struct{} // closed when run has returned
	// keeper persists and decides; nil without checkpoints.
	keeper *keeper
	stats  *epochStats

	// committables of abandoned epochs and of the one under way, by sink; owned by
	// whoever persists, decides or commits.
	committables map[*plan.Node][]connector.Committable

	mu       sync.Mutex // guards what follows
	open     map[uint64]*epoch
	carried  []output                            // prepared in abandoned epochs and not persisted
	status   checkpoint.Status                   // a copy for others
	requests map[uint64]chan<- checkpoint.Answer // waiting for savepoints
	nextID   uint64
	left     int  // sources that have not ended
	closed   bool // the job is over: what tasks still hand over is of no use
}

// output is what one sink of one task prepared.
type output struct {
	node     *plan.Node
	prepared connector.Prepared
}

// The places of an epoch at which a crash is worth trying.
var (
	injected      = failpoint.New("job/barrier-injected")
	handedOver    = failpoint.New("job/task-passed-barrier")
	persisted     = failpoint.New("job/output-persisted")
	sinkCommitted = failpoint.New("job/sink-committed")
	released      = failpoint.New("job/epoch-released")
)

// epoch is what the tasks and sources hand over at one barrier.
type epoch struct {
	checkpoint.Inject
	begun     time.Time
	abandoned bool
	taken     bool            // it is being persisted: what was handed over is in use
	writing   context.Context //nolint:containedctx // of writing its state; cut ends it when the epoch is abandoned
	cut       context.CancelFunc
	passages  []task.Passage // by task
	sources   []checkpoint.Source
}

// newEpochs makes the driver of a job whose tasks are complete.
func newEpochs(j *Job, cfg checkpoint.Config, k *keeper) *epochs {
	cfg.Tasks = len(j.tasks)
	return &epochs{
		job: j, coord: checkpoint.NewCoordinator(cfg), keeper: k, left: len(j.feeds), stats: newEpochStats(),
		// A task hands over once per epoch, a source ends once, and every action has one answer.
		events: make(chan checkpoint.Event, len(j.tasks)+len(j.feeds)+16),
		over:   make(chan struct{}), open: map[uint64]*epoch{}, requests: map[uint64]chan<- checkpoint.Answer{},
		committables: map[*plan.Node][]connector.Committable{},
	}
}

// tell queues an event; it is dropped when the job is over.
func (e *epochs) tell(ev checkpoint.Event) {
	select {
	case e.events <- ev:
	case <-e.over:
	}
}

// run handles events until the job is over. It owns the coordinator.
func (e *epochs) run(ctx context.Context) {
	var work sync.WaitGroup
	defer func() {
		close(e.over)
		work.Wait()
		e.abandonAll()
	}()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var next checkpoint.Event = checkpoint.Started{}
	for {
		over := false
		for _, a := range e.coord.Handle(time.Now(), next) {
			over = e.do(ctx, a, &work) || over
		}
		e.mu.Lock()
		e.status = e.coord.Status()
		e.mu.Unlock()
		e.stats.enter(e.status)
		if over {
			return
		}
		wait := time.Hour
		if w := e.coord.Wake(); !w.IsZero() {
			wait = time.Until(w)
		}
		timer.Reset(wait)
		select {
		case next = <-e.events:
		case <-timer.C:
			next = checkpoint.Tick{}
		case <-ctx.Done():
			return
		}
	}
}

// do does what the coordinator asks for; work that takes time runs in a goroutine
// and answers by an event. It reports whether the job is over.
func (e *epochs) do(ctx context.Context, a checkpoint.Action, work *sync.WaitGroup) (over bool) {
	async := func(f func() checkpoint.Event) { work.Go(func() { e.tell(f()) }) }
	switch a := a.(type) {
	case checkpoint.Inject:
		e.inject(a)
	case checkpoint.Persist:
		ep := e.take(a.Epoch)
		async(func() checkpoint.Event { return checkpoint.Persisted{Epoch: a.Epoch, Err: e.persist(ctx, ep)} })
	case checkpoint.Decide:
		ep := e.epoch(a.Epoch)
		async(func() checkpoint.Event { return checkpoint.Decided{Epoch: a.Epoch, Err: e.decide(ctx, ep)} })
	case checkpoint.Commit:
		ep := e.epoch(a.Epoch)
		async(func() checkpoint.Event { return checkpoint.Committed{Epoch: a.Epoch, Err: e.commit(ctx, ep)} })
	case checkpoint.Abandon:
		e.abandon(a)
	case checkpoint.Answer:
		e.answer(a)
	case checkpoint.Fail:
		e.job.fail(a.Err)
		return true
	case checkpoint.Finish:
		return true
	}
	return false
}

func (e *epochs) epoch(id uint64) *epoch {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.open[id]
}

// take marks an epoch as being persisted.
func (e *epochs) take(id uint64) *epoch {
	ep := e.epoch(id)
	e.mu.Lock()
	defer e.mu.Unlock()
	ep.taken = true
	return ep
}

// inject opens an epoch and asks every source for its barrier.
func (e *epochs) inject(a checkpoint.Inject) {
	writing, cut := context.WithCancel(e.job.ctx)
	e.mu.Lock()
	e.open[a.Epoch] = &epoch{
		Inject: a, begun: time.Now(), writing: writing, cut: cut,
		passages: make([]task.Passage, len(e.job.tasks)), sources: make([]checkpoint.Source, len(e.job.feeds)),
	}
	e.mu.Unlock()
	b := exchange.Barrier{Epoch: a.Epoch, Full: a.Full, Last: a.Last, Final: a.Kind == checkpoint.Ending}
	for _, f := range e.job.feeds {
		f.feed.Inject(b)
	}
	injected.Hit()
}

// sourceAt takes where source i stands at the barrier of an epoch.
func (e *epochs) sourceAt(i int, id uint64, at checkpoint.Source) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open[id].sources[i] = at
}

// ended takes the end of one source.
func (e *epochs) ended() {
	e.mu.Lock()
	e.left--
	last := e.left == 0
	e.mu.Unlock()
	if last {
		e.tell(checkpoint.InputEnded{})
	}
}

// passed takes what task i hands over at a barrier.
func (e *epochs) passed(i int, p task.Passage) {
	e.mu.Lock()
	if ep := e.open[p.Epoch]; e.closed {
		p.Release()
	} else {
		ep.passages[i] = p
		e.stats.pass(p)
		if ep.abandoned {
			e.give(ep)
		}
	}
	e.mu.Unlock()
	handedOver.Hit()
	e.tell(checkpoint.Passed{Task: i, Epoch: p.Epoch})
}

// give gives up the cuts of an abandoned epoch that is not being persisted, and keeps
// its prepared output for the next one. The caller holds mu.
func (e *epochs) give(ep *epoch) {
	for i := range ep.passages {
		p := &ep.passages[i]
		p.Release()
		e.carried = append(e.carried, e.outputs(i, p)...)
		*p = task.Passage{}
	}
}

// outputs returns what the sinks of task i prepared.
func (e *epochs) outputs(i int, p *task.Passage) []output {
	var out []output
	for k, prepared := range p.Prepared {
		if prepared != nil {
			out = append(out, output{e.job.tasks[i].nodes[k], prepared})
		}
	}
	return out
}

func (e *epochs) abandon(a checkpoint.Abandon) {
	e.job.opts.Log.Warn("a checkpoint was abandoned, the pipeline goes on", "epoch", a.Epoch, "cause", a.Cause)
	e.mu.Lock()
	defer e.mu.Unlock()
	ep := e.open[a.Epoch]
	ep.abandoned = true
	ep.cut()
	if !ep.taken {
		e.give(ep)
	}
}

// abandonAll releases what is left when the job is over.
func (e *epochs) abandonAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for _, ep := range e.open {
		ep.cut()
		for i := range ep.passages {
			ep.passages[i].Release()
		}
	}
}

// persist makes what the tasks handed over durable: what the sinks prepared, here
// and in abandoned epochs before, and the state.
func (e *epochs) persist(ctx context.Context, ep *epoch) error {
	e.mu.Lock()
	out := e.carried
	e.carried = nil
	for i := range ep.passages {
		out = append(out, e.outputs(i, &ep.passages[i])...)
	}
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		for i := range ep.passages {
			ep.passages[i].Release()
			ep.passages[i] = task.Passage{}
		}
	}()
	made := make([]connector.Committable, len(out))
	err := parallel(len(out), func(i int) (err error) {
		made[i], err = out[i].prepared.Persist(ctx)
		return err
	})
	if err != nil {
		// What a disk may have lost is not tried again: the job ends, like in a crash.
		e.job.fail(err)
		return err
	}
	for i, o := range out {
		if made[i] != nil {
			e.committables[o.node] = append(e.committables[o.node], made[i])
		}
	}
	persisted.Hit()
	if e.keeper == nil {
		return nil
	}
	return e.keeper.write(ep.writing, ep)
}

// decide claims the manifest of the epoch.
func (e *epochs) decide(ctx context.Context, ep *epoch) error {
	if e.keeper == nil {
		return nil
	}
	return e.keeper.decide(ctx, ep, e.committables)
}

// commit makes the output of the epoch visible and lets go of what no kept checkpoint needs.
func (e *epochs) commit(ctx context.Context, ep *epoch) error {
	for _, s := range e.job.sinks {
		if err := s.sink.Commit(ctx, ep.Epoch, e.committables[s.node]); err != nil {
			return err
		}
		sinkCommitted.Hit()
	}
	clear(e.committables)
	if e.keeper != nil {
		if err := e.keeper.release(ctx); err != nil {
			// The epoch is out; what could not be let go of now goes behind a later one.
			e.job.opts.Log.Warn("old checkpoints take more room than they should", "error", err)
		}
	}
	e.mu.Lock()
	maps.DeleteFunc(e.open, func(id uint64, old *epoch) bool {
		if id <= ep.Epoch {
			old.cut()
		}
		return id <= ep.Epoch
	})
	e.mu.Unlock()
	e.stats.total.Observe(time.Since(ep.begun).Seconds())
	released.Hit()
	return nil
}

// parallel calls f for 0 to n-1, a few at a time, and returns the first error by index.
func parallel(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	room := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i := range n {
		room <- struct{}{}
		wg.Go(func() {
			errs[i] = f(i)
			<-room
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
