package checkpoint

import "time"

// Event is what the coordinator is told.
type Event interface{ event() }

// Started: every task runs, so that barriers may come.
type Started struct{}

// Tick: the time that Coordinator.Wake named has come. More of them do no harm.
type Tick struct{}

// Passed: a task has passed the barrier of an epoch; its cut is made. Every task
// passes every barrier, also that of an epoch that was abandoned in the meantime.
type Passed struct {
	Task  int // 0 to Config.Tasks-1
	Epoch uint64
}

// Persisted answers Persist, exactly once for each, also when the epoch was
// abandoned in the meantime: until then its cuts are in use, and no barrier follows.
type Persisted struct {
	Epoch uint64
	Err   error
}

// Decided answers Decide. An error leaves open whether the decision was made.
type Decided struct {
	Epoch uint64
	Err   error
}

// Committed answers Commit.
type Committed struct {
	Epoch uint64
	Err   error
}

// InputEnded: every source has ended.
type InputEnded struct{}

// Stop: somebody asked the job to stop behind a last checkpoint.
type Stop struct{}

// Request: somebody asks for a savepoint. ID names the request in its Answer.
type Request struct{ ID uint64 }

func (Started) event()    {}
func (Tick) event()       {}
func (Passed) event()     {}
func (Persisted) event()  {}
func (Decided) event()    {}
func (Committed) event()  {}
func (InputEnded) event() {}
func (Stop) event()       {}
func (Request) event()    {}

// Action is what the coordinator wants to be done.
type Action interface{ action() }

// Inject asks every source to take the barrier of an epoch into its sequence.
type Inject struct {
	Epoch uint64
	Kind  Kind
	Full  bool // every cut must be whole
	Last  bool // tasks end behind the barrier
}

// Persist asks to make durable what the tasks handed over at the barrier.
type Persist struct{ Epoch uint64 }

// Decide asks to claim the manifest of the epoch: the one commit.
type Decide struct{ Epoch uint64 }

// Commit asks to make the output of the epoch visible, and that which sinks had
// prepared in abandoned epochs since the Commit before.
type Commit struct{ Epoch uint64 }

// Abandon tells that the epoch will never be decided. Persisting should be cut
// short; what tasks hand over of it from now on is dropped. The rows of the epoch are
// not: what sinks prepared of it belongs to the next epoch that is decided.
type Abandon struct {
	Epoch uint64
	Cause error
}

// Answer answers a Request: Epoch is the savepoint, committed, unless Err says why there is none.
type Answer struct {
	ID    uint64
	Epoch uint64
	Err   error
}

// Fail ends the job with an error, as a crash would: the next start goes on from
// the last decided checkpoint. Every request so far has its Answer; later ones get theirs, too.
type Fail struct{ Err error }

// Finish ends the job well: the last epoch is committed. Requests are as behind Fail.
type Finish struct{}

func (Inject) action()  {}
func (Persist) action() {}
func (Decide) action()  {}
func (Commit) action()  {}
func (Abandon) action() {}
func (Answer) action()  {}
func (Fail) action()    {}
func (Finish) action()  {}

// Phase is where an epoch stands.
type Phase string

// The phases, in the order in which an epoch goes through them.
const (
	Starting   Phase = "starting"   // tasks are not up yet
	Waiting    Phase = "waiting"    // for the next barrier; no epoch is under way
	Passing    Phase = "passing"    // tasks pass the barrier
	Persisting Phase = "persisting" // cuts and prepared output are made durable
	Deciding   Phase = "deciding"   // the manifest is being claimed
	Committing Phase = "committing" // sinks make the output visible
	Draining   Phase = "draining"   // the epoch is abandoned, its barrier or its writing is still under way
	Over       Phase = "over"       // finished or failed
)

// Status is where the coordinator stands, for metrics and people.
type Status struct {
	Epoch       uint64 // under way, or the latest one; 0 before the first
	Phase       Phase
	Since       time.Time // when the phase began
	Committed   uint64    // the latest committed epoch, 0 for none
	CommittedAt time.Time
	Abandoned   int // epochs, since the start
}
