package checkpoint_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/failpoint"
)

// driver does what the coordinator wants, in the way a job does it.
type driver struct {
	*process
	a           *actor
	ended       int // feeds at their end
	latest      *record
	coordinator *checkpoint.Coordinator
	epoch       *epoch          // of the latest barrier
	waiting     []*output       // prepared, not durable yet; also of abandoned epochs
	durable     []string        // durable and not committed; also of abandoned epochs
	asked       map[uint64]bool // requests without an answer
}

// epoch is what the driver knows of the epoch of the latest barrier.
type epoch struct {
	checkpoint.Inject
	record    *record
	cuts      []*cut
	cancel    chan struct{} // closed: persisting should be cut short
	writing   bool
	abandoned bool
}

// written comes from the actor that persists.
type written struct {
	checkpoint.Persisted
	durable []string
	rest    []*output
}

func (d *driver) run(a *actor) {
	d.a = a
	d.asked = map[uint64]bool{}
	if !d.open() {
		return
	}
	d.coordinator = checkpoint.NewCoordinator(d.config)
	d.handle(checkpoint.Started{})
	for {
		e, ok := d.next()
		if !ok || !a.pause(a.chance.within(20*time.Microsecond)) {
			return
		}
		d.take(e)
	}
}

// open recovers what the process before left behind, and starts feeds and tasks.
func (d *driver) open() bool {
	r := d.w.latest()
	if r.Finished {
		// The process that decided it may have died before its output could be seen.
		if failpoint.Bug("simulation-finished-is-not-recovered") || d.recover(r) {
			d.finish("found finished", true)
		}
		return false
	}
	if failpoint.Bug("simulation-recover-before-opening") && !d.recover(r) {
		return false
	}
	// The opening manifest comes before all else: behind it nobody else decides.
	opening := *r
	opening.Epoch, opening.Kind = r.Epoch+1, checkpoint.Opening
	if err := d.a.claim(&opening); err != nil {
		d.failed(err)
		return false
	}
	if !d.recover(&opening) {
		return false
	}
	state := d.w.restore(&opening)
	d.w.checkState(&opening, state)
	d.latest = &opening
	d.config.First = opening.Epoch + 1
	for i := range d.w.tasks {
		d.spawn(fmt.Sprintf("task %d", i), d.process.task(i, state[i]))
	}
	for f := range d.w.feeds {
		d.spawn(fmt.Sprintf("feed %d", f), d.process.feed(f, opening.Positions[f]))
	}
	d.spawn("fate", d.process.fate)
	return true
}

// recover is Sink.Recover.
func (d *driver) recover(r *record) bool {
	if !d.a.commitAll(r.Output) || !d.a.pause(time.Microsecond) || !d.a.step("clear") {
		return false
	}
	d.w.clear()
	if !failpoint.Bug("simulation-recover-before-opening") {
		d.w.checkVisible(r)
	}
	return d.a.step("recovered")
}

// next waits for an event or the tick.
func (d *driver) next() (any, bool) {
	select {
	case e := <-d.events:
		return e, true
	default:
	}
	var tick <-chan time.Time
	if wake := d.coordinator.Wake(); !wake.IsZero() {
		t := time.NewTimer(d.a.turn(max(time.Until(wake), 1)))
		defer t.Stop()
		tick = t.C
	}
	select {
	case e := <-d.events:
		return e, true
	case <-tick:
		return checkpoint.Tick{}, true
	case <-d.dead:
		return nil, false
	}
}

func (d *driver) take(e any) {
	switch e := e.(type) {
	case feedEnded:
		if d.ended++; d.ended == len(d.w.feeds) {
			d.handle(checkpoint.InputEnded{})
		}
	case handover:
		d.received(e)
		d.handle(e.Passed)
	case written:
		d.epoch.writing = false
		d.durable = append(d.durable, e.durable...)
		d.waiting = append(e.rest, d.waiting...)
		d.handle(e.Persisted)
	case checkpoint.Decided:
		if e.Err == nil {
			d.latest = d.epoch.record
		}
		d.handle(e)
	case checkpoint.Committed:
		if e.Err == nil {
			d.durable = nil
		}
		d.handle(e)
	case checkpoint.Request:
		d.asked[e.ID] = true
		d.handle(e)
	case checkpoint.Event:
		d.handle(e)
	}
}

// received takes what a task hands over: of an abandoned epoch the cut is dropped, the output is not.
func (d *driver) received(h handover) {
	e := d.epoch
	switch {
	case h.Epoch != e.Epoch:
		d.w.violationf("task %d passes epoch %d, and %d is under way", h.Task, h.Epoch, e.Epoch)
	case h.cut == nil:
		e.record.Positions[h.Task] = h.position
	case e.abandoned:
		h.cut.inUse.Store(false)
	default:
		e.cuts = append(e.cuts, h.cut)
	}
	if h.output != nil {
		d.waiting = append(d.waiting, h.output)
	}
}

func (d *driver) handle(e checkpoint.Event) {
	for _, a := range d.coordinator.Handle(time.Now(), e) {
		if d.process.ended() {
			return
		}
		d.w.notef("%d: %T%+v", d.n, a, a)
		switch a := a.(type) {
		case checkpoint.Inject:
			d.inject(a)
		case checkpoint.Persist:
			d.persist()
		case checkpoint.Decide:
			d.decide()
		case checkpoint.Commit:
			d.commit(a.Epoch)
		case checkpoint.Abandon:
			d.abandon()
		case checkpoint.Answer:
			d.answered(a)
		case checkpoint.Fail:
			d.failed(a.Err)
		case checkpoint.Finish:
			d.finish("finished", d.epoch.Kind == checkpoint.Ending)
		}
	}
}

func (d *driver) inject(i checkpoint.Inject) {
	r := &record{Epoch: i.Epoch, Kind: i.Kind, Finished: i.Kind == checkpoint.Ending}
	r.Positions = append(r.Positions, d.latest.Positions...)
	d.epoch = &epoch{Inject: i, record: r, cancel: make(chan struct{})}
	for _, b := range d.barriers {
		b <- i
	}
}

// abandon drops the cuts of the epoch; its output goes into the next one that is decided.
func (d *driver) abandon() {
	d.w.count("abandoned")
	d.epoch.abandoned = true
	close(d.epoch.cancel)
	if !d.epoch.writing {
		for _, c := range d.epoch.cuts {
			c.inUse.Store(false)
		}
	}
	if failpoint.Bug("simulation-forget-output-of-abandoned") {
		d.waiting, d.durable = nil, nil
	}
}

// persist writes cuts and output beside everything else.
func (d *driver) persist() {
	e, outputs := d.epoch, d.waiting
	e.writing, d.waiting = true, nil
	d.spawn("persist", func(a *actor) {
		w := written{Persisted: checkpoint.Persisted{Epoch: e.Epoch}, rest: outputs}
		for len(w.rest) > 0 {
			o := w.rest[0]
			if !a.pause(a.cost()) || !a.step("prepare "+o.name) {
				return
			}
			a.w.prepare(o.name, o.rows)
			w.rest, w.durable = w.rest[1:], append(w.durable, o.name)
		}
		for _, c := range e.cuts {
			if !a.pause(a.cost()) || !a.step("write cut") {
				return
			}
			if w.Err == nil {
				w.Err = a.write(e, c)
			}
		}
		for _, c := range e.cuts {
			c.inUse.Store(false)
		}
		a.events <- w
	})
}

// cost is how long a call to the store or the sink takes.
func (a *actor) cost() time.Duration {
	if a.faults && a.chance.one(12) {
		return a.chance.within(40 * time.Millisecond)
	}
	return a.chance.within(500 * time.Microsecond)
}

// write puts a cut into the store.
func (a *actor) write(e *epoch, c *cut) error {
	select {
	case <-e.cancel:
		return errors.New("cancelled")
	default:
	}
	if a.faults && a.chance.one(12) {
		return errors.New("the store is away")
	}
	data, err := json.Marshal(c.values)
	if err != nil {
		return err
	}
	return a.w.store.Put(context.Background(), a.cutName(e.Epoch, c.task), data)
}

func (p *process) cutName(epoch uint64, task int) string {
	return fmt.Sprintf("chunks/%d-%d-%d", p.n, epoch, task)
}

// decide claims the manifest.
func (d *driver) decide() {
	e, r, before := d.epoch, d.epoch.record, d.latest
	for i, chain := range d.latest.Chains {
		if e.Full {
			chain = nil
		}
		r.Chains = append(r.Chains, append(chain[:len(chain):len(chain)], d.cutName(e.Epoch, i)))
	}
	r.Output = append(r.Output, d.durable...)
	d.spawn("decide", func(a *actor) {
		err := a.claimBehind(before, r)
		if a.pause(time.Microsecond) {
			a.events <- checkpoint.Decided{Epoch: e.Epoch, Err: err}
		}
	})
}

// claimBehind claims the names of abandoned epochs first, with manifests that repeat the
// one before. So every process that goes on from an epoch needs the next name, and
// two that know nothing of each other meet there.
func (a *actor) claimBehind(before, r *record) error {
	for n := before.Epoch + 1; n < r.Epoch && !failpoint.Bug("simulation-names-of-abandoned-left-free"); n++ {
		again := *before
		again.Epoch = n
		if err := a.claim(&again); err != nil {
			return err
		}
	}
	return a.claim(r)
}

var errNoAnswer = errors.New("no answer")

// claim takes the manifest's name. The answer may get lost, and the call may even
// arrive when its process is long gone.
func (a *actor) claim(r *record) error {
	if !a.pause(a.cost()) || !a.step(fmt.Sprintf("claim %s %+v", r.name(), *r)) {
		return errNoAnswer
	}
	name, data := r.name(), r.bytes()
	fault := 0
	if a.faults {
		fault = a.chance.IntN(40)
	}
	switch fault {
	case 1:
		a.w.count("claim lost")
		return errNoAnswer
	case 2:
		a.w.count("claim late")
		late := &actor{process: &process{w: a.w, dead: make(chan struct{})}, slot: a.slot, chance: a.chance}
		a.w.late.Go(func() {
			if late.pause(late.chance.within(60 * time.Millisecond)) {
				err := late.w.store.Claim(context.Background(), name, data)
				late.w.notef("late claim of %s: %v", name, err)
			}
		})
		return errNoAnswer
	}
	err := a.w.store.Claim(context.Background(), name, data)
	if fault == 3 {
		a.w.count("claim unknown")
		err = errNoAnswer
	}
	if !a.step(fmt.Sprintf("claimed: %v", err)) {
		return errNoAnswer
	}
	return err
}

// commit makes output visible.
func (d *driver) commit(epoch uint64) {
	names := d.durable
	d.spawn("commit", func(a *actor) {
		if !a.commitAll(names) {
			return
		}
		var err error
		if a.faults && a.chance.one(60) {
			err = errors.New("permission denied")
		}
		a.events <- checkpoint.Committed{Epoch: epoch, Err: err}
	})
}

func (a *actor) commitAll(names []string) bool {
	for _, name := range names {
		if !a.pause(a.cost()) || !a.step("commit "+name) {
			return false
		}
		a.w.commit(name)
	}
	return a.pause(time.Microsecond) && a.step("committed")
}

// answered checks that a request was asked, and a savepoint is decided and whole.
func (d *driver) answered(a checkpoint.Answer) {
	if !d.asked[a.ID] {
		d.w.violationf("request %d was not asked, or is answered twice", a.ID)
	}
	delete(d.asked, a.ID)
	if a.Err != nil {
		return
	}
	d.w.count("savepoint")
	r := d.latest
	whole := r.Epoch == a.Epoch
	for _, chain := range r.Chains {
		whole = whole && len(chain) == 1
	}
	if _, err := d.w.store.Get(context.Background(), r.name()); !whole || err != nil {
		d.w.violationf("savepoint %d is %+v: %v", a.Epoch, r, err)
	}
}

func (d *driver) failed(err error) {
	how := "failed"
	if errors.Is(err, checkpoint.ErrExists) {
		how = "fenced"
	}
	d.unanswered()
	d.end(how)
}

func (d *driver) finish(how string, atEnd bool) {
	d.unanswered()
	if atEnd {
		d.w.finished.Store(true)
	} else {
		how = "stopped"
	}
	d.end(how)
}

func (d *driver) unanswered() {
	if len(d.asked) > 0 {
		d.w.violationf("requests %v have no answer", d.asked)
	}
}

// fate is what comes from outside: savepoints, a stop, a sudden end, a successor.
func (p *process) fate(a *actor) {
	for id := uint64(1); a.chance.one(2) && a.pause(a.chance.within(15*time.Millisecond)); id++ {
		p.events <- checkpoint.Request{ID: id}
	}
	if !p.faults || a.chance.one(3) || !a.pause(a.chance.within(50*time.Millisecond)) {
		return
	}
	switch a.chance.IntN(3) {
	case 0:
		p.events <- checkpoint.Stop{}
	case 1:
		p.end("crashed")
	case 2: // the supervisor believes that the process is dead
		a.w.count("orphaned")
		a.w.notef("%s: orphaned", a.name)
		p.leave()
	}
}
