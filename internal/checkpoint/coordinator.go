package checkpoint

import (
	"errors"
	"fmt"
	"time"

	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/failpoint"
)

// Config is what a coordinator goes by.
type Config struct {
	Interval time.Duration // from barrier to barrier; a barrier also waits for the end of the epoch before
	// Timeout is how long an epoch may take from barrier to persisted; 0: for ever. In the
	// last epoch the time counts from when all tasks have passed: the rows before its
	// barrier are all that is left to do, and nothing would be won by doing them again.
	Timeout  time.Duration
	Failures int    // abandoned epochs in a row after which the job fails, at least 1
	Tasks    int    // tasks that pass barriers
	First    uint64 // number of the first epoch
	Off      bool   // no checkpoints: only the epoch at the end of the input
}

// Coordinator decides when barriers go out and when an epoch is persisted, decided,
// committed or abandoned. It is a pure state machine: Handle takes an event and the
// time and returns what is to be done; it has no clock, no goroutine and no I/O.
// One goroutine at a time calls it.
//
// What holds:
//
//	K1  One epoch is under way at a time, and epochs ascend without gaps.
//	K2  Persist comes behind Passed of every task, Decide behind Persisted without an
//	    error, Commit behind Decided without an error, each at most once per epoch.
//	K3  An abandoned epoch is never decided. The next barrier waits until all tasks
//	    have passed that of the abandoned one and its Persist was answered: barriers do
//	    not overtake each other, and a cut's buffers are needed for the next cut.
//	K4  The first epoch is full, and so is each one behind an abandoned one until one is
//	    decided: the changes that the abandoned cut held are in no manifest.
//	K5  What may have been decided is never abandoned, and nothing follows it: who does not
//	    know the outcome ends, and the next start looks into the store.
//	K6  Finish comes behind the commit of a last epoch only.
//	K7  Every request is answered once.
type Coordinator struct {
	config  Config
	status  Status
	actions []Action // of the call of Handle

	// The epoch under way or being drained.
	last       bool
	barrier    time.Time // when the time of the epoch began to count
	passed     []bool    // by task
	missing    int       // tasks that have not passed
	persisting bool      // a Persist is not answered yet
	joined     []uint64  // requests that it answers

	// What the next epoch goes by.
	next       uint64
	due        time.Time
	full       bool
	inputEnded bool
	stopped    bool
	requests   []uint64
	failures   int // abandoned epochs in a row
}

// NewCoordinator makes a coordinator. Its first event is Started; what comes before is kept.
func NewCoordinator(c Config) *Coordinator {
	return &Coordinator{
		config: c, status: Status{Phase: Starting},
		passed: make([]bool, c.Tasks), next: c.First, full: true,
	}
}

// Status returns where the coordinator stands.
func (c *Coordinator) Status() Status { return c.status }

// Wake returns when a Tick is due, the zero time for never. It changes with Handle only.
func (c *Coordinator) Wake() time.Time {
	if c.status.Phase == Waiting && !c.config.Off {
		return c.due
	}
	return c.deadline()
}

// Handle takes an event and returns what is to be done, in this order. The slice is
// valid until the next call. Events that fit nothing under way do nothing.
func (c *Coordinator) Handle(now time.Time, e Event) []Action {
	c.actions = c.actions[:0]
	switch e.(type) {
	case Persisted: // it counts, however late the news
	case Request: // it is answered before the job ends, not behind
	default:
		c.expire(now)
	}
	c.take(now, e)
	c.begin(now)
	return c.actions
}

func (c *Coordinator) take(now time.Time, e Event) {
	switch e := e.(type) {
	case Started:
		if c.status.Phase == Starting {
			c.enter(Waiting, now)
			c.due = now.Add(c.config.Interval)
		}
	case Passed:
		c.pass(now, e)
	case Persisted:
		c.persisted(now, e)
	case Decided:
		c.decided(now, e)
	case Committed:
		c.committed(now, e)
	case InputEnded:
		c.inputEnded = true
	case Stop:
		c.stopped = !c.config.Off // without checkpoints there is nothing to stop behind
	case Request:
		c.request(e.ID)
	}
}

func (c *Coordinator) do(a Action) { c.actions = append(c.actions, a) }

func (c *Coordinator) enter(p Phase, now time.Time) { c.status.Phase, c.status.Since = p, now }

// begin sends out the next barrier when its time has come.
func (c *Coordinator) begin(now time.Time) {
	if c.status.Phase != Waiting {
		return
	}
	kind := Periodic
	switch {
	case c.inputEnded: // before stopped: there is nothing to go on from
		kind = Ending
	case c.config.Off:
		return
	case c.stopped:
		kind = Stopping
	case len(c.requests) > 0:
		kind = Savepoint
	case now.Before(c.due):
		return
	}
	c.last = kind == Ending || kind == Stopping
	if c.last {
		c.refuse(ending())
	}
	c.joined, c.requests = c.requests, c.joined[:0]
	c.status.Epoch = c.next
	c.next++
	c.barrier, c.due = now, now.Add(c.config.Interval)
	clear(c.passed)
	c.missing = c.config.Tasks
	c.do(Inject{Epoch: c.status.Epoch, Kind: kind, Full: c.full || kind == Savepoint, Last: c.last})
	c.enter(Passing, now)
	c.persist(now)
}

// pass notes that a task has passed the barrier.
func (c *Coordinator) pass(now time.Time, e Passed) {
	if c.missing == 0 || e.Epoch != c.status.Epoch || c.passed[e.Task] {
		return
	}
	c.passed[e.Task] = true
	c.missing--
	c.persist(now)
	c.drain(now)
}

// persist asks for the next step when all tasks have passed.
func (c *Coordinator) persist(now time.Time) {
	all := c.missing == 0 || c.missing == 1 && failpoint.Bug("checkpoint-persist-before-all-passed")
	if c.status.Phase != Passing || !all {
		return
	}
	if c.last {
		c.barrier = now
	}
	c.persisting = true
	c.do(Persist{Epoch: c.status.Epoch})
	c.enter(Persisting, now)
}

// persisted takes the decision when everything is durable.
func (c *Coordinator) persisted(now time.Time, e Persisted) {
	if e.Epoch != c.status.Epoch || !c.persisting {
		return
	}
	c.persisting = false
	switch {
	case c.status.Phase == Draining:
		c.drain(now)
	case e.Err != nil && !failpoint.Bug("checkpoint-decide-after-failed-persist"):
		c.abandon(now, e.Err)
	default:
		if failpoint.Bug("checkpoint-commit-before-decision") {
			c.do(Commit{Epoch: e.Epoch})
		}
		c.do(Decide{Epoch: e.Epoch})
		c.enter(Deciding, now)
	}
}

// decided lets sinks commit what was decided.
func (c *Coordinator) decided(now time.Time, e Decided) {
	if e.Epoch != c.status.Epoch || c.status.Phase != Deciding {
		return
	}
	if e.Err != nil && !failpoint.Bug("checkpoint-commit-after-unknown-decision") {
		c.fail(now, undecided(e.Epoch, e.Err))
		return
	}
	c.full, c.failures = false, 0
	c.do(Commit{Epoch: e.Epoch})
	c.enter(Committing, now)
	if c.last && failpoint.Bug("checkpoint-finish-before-commit") {
		c.committed(now, Committed{Epoch: e.Epoch})
	}
}

// committed ends the epoch, and behind the last one the job.
func (c *Coordinator) committed(now time.Time, e Committed) {
	if e.Epoch != c.status.Epoch || c.status.Phase != Committing {
		return
	}
	if e.Err != nil {
		c.fail(now, diag.New("run/checkpoint", "checkpoint %d is decided, but its output could not be made visible", e.Epoch).
			WithCause(e.Err).WithHint("start the pipeline again: it makes that output visible first"))
		return
	}
	c.status.Committed, c.status.CommittedAt = e.Epoch, now
	c.answer(e.Epoch, nil)
	c.enter(Waiting, now)
	if c.last {
		c.enter(Over, now)
		c.do(Finish{})
	}
}

// deadline returns when the epoch has to be persisted, the zero time for never.
func (c *Coordinator) deadline() time.Time {
	passing := c.status.Phase == Passing && !c.last
	if c.config.Timeout <= 0 || !passing && c.status.Phase != Persisting {
		return time.Time{}
	}
	return c.barrier.Add(c.config.Timeout)
}

// expire abandons an epoch that takes too long.
func (c *Coordinator) expire(now time.Time) {
	d := c.deadline()
	if d.IsZero() || now.Before(d) {
		return
	}
	if c.status.Phase == Passing {
		c.abandon(now, fmt.Errorf("after %s, %d of %d tasks had not passed its barrier", c.config.Timeout, c.missing, c.config.Tasks))
		return
	}
	c.abandon(now, fmt.Errorf("after %s it was not in the store", c.config.Timeout))
}

// abandon gives an epoch up that cannot have been decided.
func (c *Coordinator) abandon(now time.Time, cause error) {
	slow := c.status.Phase == Passing
	c.status.Abandoned++
	c.failures++
	c.full = c.full || !failpoint.Bug("checkpoint-not-full-after-abandon")
	c.do(Abandon{Epoch: c.status.Epoch, Cause: cause})
	c.answer(0, diag.New("run/savepoint", "the savepoint was abandoned").
		WithCause(cause).WithHint("the job goes on: ask again"))
	switch {
	case c.last:
		c.fail(now, diag.New("run/checkpoint", "the last checkpoint could not be taken").WithCause(cause).
			WithHint("start the pipeline again: it goes on from the checkpoint before"))
	case c.failures >= max(c.config.Failures, 1):
		c.fail(now, tooMany(c.failures, cause, slow))
	default:
		c.enter(Draining, now)
		c.drain(now)
	}
}

// drain ends the wait for what is left of an abandoned epoch.
func (c *Coordinator) drain(now time.Time) {
	if c.status.Phase == Draining && (c.missing == 0 && !c.persisting || failpoint.Bug("checkpoint-barrier-before-drained")) {
		c.enter(Waiting, now)
	}
}

// request puts a request to the next epoch.
func (c *Coordinator) request(id uint64) {
	c.requests = append(c.requests, id)
	switch {
	case c.config.Off:
		c.refuse(diag.New("run/savepoint", "the pipeline takes no checkpoints, so there is no savepoint").
			WithHint("start it without checkpoint: off"))
	case c.status.Phase == Over || c.last:
		c.refuse(ending())
	}
}

// answer answers the requests that joined the epoch under way.
func (c *Coordinator) answer(epoch uint64, err error) {
	for _, id := range c.joined {
		c.do(Answer{ID: id, Epoch: epoch, Err: err})
	}
	c.joined = c.joined[:0]
}

// refuse answers the requests that wait for the next epoch.
func (c *Coordinator) refuse(err error) {
	for _, id := range c.requests {
		c.do(Answer{ID: id, Err: err})
	}
	c.requests = c.requests[:0]
}

// fail ends the job.
func (c *Coordinator) fail(now time.Time, err error) {
	c.answer(0, err)
	c.refuse(err)
	c.do(Fail{Err: err})
	c.enter(Over, now)
}

func ending() error {
	return diag.New("run/savepoint", "the pipeline is ending, so it takes no savepoint any more").
		WithHint("start it again and ask then")
}

// undecided says that the outcome of a decision is unknown, or that it was not ours.
func undecided(epoch uint64, cause error) error {
	if errors.Is(cause, ErrExists) {
		return diag.New("run/checkpoint", "another engine has taken over the checkpoints of this pipeline").WithCause(cause).
			WithHint("one engine runs a pipeline at a time: stop one of them, or give each a store of its own")
	}
	return diag.New("run/checkpoint", "it is not known whether checkpoint %d was decided", epoch).WithCause(cause).
		WithHint("start the pipeline again: it finds out from the store")
}

// tooMany says that the bound of abandoned epochs is reached.
func tooMany(n int, cause error, slow bool) error {
	e := diag.New("run/checkpoint", "%d checkpoints in a row could not be taken", n).WithCause(cause)
	if slow {
		return e.WithHint("a step or sink is too slow: make it faster, or raise checkpoint: {timeout: ...} in the pipeline file")
	}
	return e.WithHint("see whether the checkpoint store can be written; then start the pipeline again: it goes on from the last checkpoint")
}
