package checkpoint

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestCoordinatorKeepsItsWordWhateverComes drives a coordinator with any events that
// a driver can have for it, in any order, and checks the invariants K1 to K7 on
// what it wants to be done.
func TestCoordinatorKeepsItsWordWhateverComes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		t.Repeat(map[string]func(*rapid.T){
			"wait":      m.wait,
			"passed":    m.pass,
			"persisted": m.persisted,
			"decided":   m.decided,
			"committed": m.committed,
			"request":   m.request,
			"stray":     m.stray,
			"stop":      m.rarely(Stop{}),
			"end":       m.rarely(InputEnded{}),
			"":          m.check,
		})
		m.wind()
	})
}

type progress int

const (
	injected progress = iota
	persistAsked
	persistedWell
	decideAsked
	decidedWell
	commitAsked
	committedWell
	abandoned
)

// modelEpoch is what the model knows of one epoch.
type modelEpoch struct {
	Inject
	at      progress
	barrier time.Time
	missing map[int]bool // tasks that have not passed
	writing bool         // Persist is not answered yet
}

type model struct {
	t      *rapid.T
	config Config
	c      *Coordinator
	now    time.Time

	epochs   []*modelEpoch
	failures int
	full     bool // the next epoch has to be full
	stopped  bool
	ended    bool
	over     bool
	asked    map[uint64]bool // requests without an answer
	requests uint64
}

func newModel(t *rapid.T) *model {
	m := &model{t: t, now: scriptStart, full: true, asked: map[uint64]bool{}, config: Config{
		Interval: time.Duration(rapid.IntRange(0, 20).Draw(t, "interval")) * time.Second,
		Timeout:  time.Duration(rapid.IntRange(0, 20).Draw(t, "timeout")) * time.Second,
		Failures: rapid.IntRange(0, 4).Draw(t, "failures"), Tasks: rapid.IntRange(0, 3).Draw(t, "tasks"),
		First: rapid.Uint64Range(1, 100).Draw(t, "first"), Off: rapid.IntRange(0, 7).Draw(t, "off") == 0,
	}}
	m.c = NewCoordinator(m.config)
	m.handle(Started{})
	return m
}

// last returns the latest epoch, nil before the first.
func (m *model) last() *modelEpoch {
	if len(m.epochs) == 0 {
		return nil
	}
	return m.epochs[len(m.epochs)-1]
}

// in returns the latest epoch if it stands there, else it skips the step.
func (m *model) in(t *rapid.T, ok func(*modelEpoch) bool) *modelEpoch {
	e := m.last()
	if e == nil || m.over || !ok(e) {
		t.Skip()
	}
	return e
}

func (m *model) wait(t *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.IntRange(0, 8000).Draw(t, "ms")) * time.Millisecond)
	if w := m.c.Wake(); !w.IsZero() && rapid.Bool().Draw(t, "exact") {
		m.now = w
	}
	m.handle(Tick{})
}

func (m *model) pass(t *rapid.T) {
	e := m.in(t, func(e *modelEpoch) bool { return len(e.missing) > 0 })
	task := rapid.IntRange(0, m.config.Tasks-1).Draw(t, "task")
	delete(e.missing, task)
	m.handle(Passed{Task: task, Epoch: e.Epoch})
}

func (m *model) persisted(t *rapid.T) {
	e := m.in(t, func(e *modelEpoch) bool { return e.writing })
	e.writing = false
	err := anyError(t)
	if err == nil && e.at == persistAsked {
		e.at = persistedWell
	}
	m.handle(Persisted{Epoch: e.Epoch, Err: err})
	if err != nil && e.at != abandoned {
		t.Fatalf("epoch %d was not persisted and not abandoned", e.Epoch)
	}
}

func (m *model) decided(t *rapid.T) {
	e := m.in(t, func(e *modelEpoch) bool { return e.at == decideAsked })
	err := anyError(t)
	if err == nil {
		e.at, m.full, m.failures = decidedWell, false, 0
	}
	m.handle(Decided{Epoch: e.Epoch, Err: err})
	if err != nil && !m.over {
		t.Fatalf("the outcome of epoch %d is unknown, and the job went on", e.Epoch)
	}
}

func (m *model) committed(t *rapid.T) {
	e := m.in(t, func(e *modelEpoch) bool { return e.at == commitAsked })
	err := anyError(t)
	if err == nil {
		e.at = committedWell
	}
	m.handle(Committed{Epoch: e.Epoch, Err: err})
	if !m.over && (err != nil || e.Last) {
		t.Fatalf("the job went on behind the commit of epoch %d (%v)", e.Epoch, err)
	}
}

func (m *model) request(t *rapid.T) {
	if len(m.asked) > 3 {
		t.Skip()
	}
	m.requests++
	m.asked[m.requests] = true
	m.handle(Request{ID: m.requests})
}

// stray sends what fits no epoch that is under way.
func (m *model) stray(t *rapid.T) {
	epoch := m.config.First - 1
	if e := m.last(); e != nil && rapid.Bool().Draw(t, "ahead") {
		epoch = e.Epoch + 1
	}
	m.handle(rapid.SampledFrom([]Event{Passed{Epoch: epoch}, Persisted{Epoch: epoch}, Decided{Epoch: epoch},
		Committed{Epoch: epoch}, Persisted{Epoch: epoch, Err: errors.New("stray")}, Started{}}).Draw(t, "event"))
}

func (m *model) rarely(e Event) func(*rapid.T) {
	return func(t *rapid.T) {
		if rapid.IntRange(0, 9).Draw(t, "rarely") > 0 {
			t.Skip()
		}
		m.stopped = m.stopped || e == Stop{} && !m.config.Off
		m.ended = m.ended || e == InputEnded{}
		m.handle(e)
	}
}

func anyError(t *rapid.T) error {
	if rapid.IntRange(0, 3).Draw(t, "fails") == 0 {
		return errors.New("broken")
	}
	return nil
}

// handle hands the event over and checks every action against what is known.
func (m *model) handle(e Event) {
	_, late := e.(Request)
	late = late && m.over
	for _, a := range m.c.Handle(m.now, e) {
		if _, ok := a.(Answer); m.over && !(late && ok) {
			m.t.Fatalf("%s behind the end", actionText(a))
		}
		switch a := a.(type) {
		case Inject:
			m.inject(a)
		case Persist:
			u := m.move(a.Epoch, injected, persistAsked)
			u.writing = true
			if len(u.missing) > 0 {
				m.t.Fatalf("K2: tasks %v have not passed epoch %d", u.missing, a.Epoch)
			}
		case Decide:
			m.move(a.Epoch, persistedWell, decideAsked)
		case Commit:
			m.move(a.Epoch, decidedWell, commitAsked)
		case Abandon:
			m.abandon(a)
		case Answer:
			m.answer(a)
		case Fail:
			m.over = true
		case Finish:
			m.over = true
			if e := m.last(); e == nil || !e.Last || e.at != committedWell {
				m.t.Fatalf("K6: finished behind %+v", e)
			}
		}
	}
}

// move checks that the epoch is the one under way and stands where it must.
func (m *model) move(epoch uint64, from, to progress) *modelEpoch {
	e := m.last()
	if e == nil || e.Epoch != epoch || e.at != from {
		m.t.Fatalf("K2: epoch %d cannot go to %d: %+v", epoch, to, e)
	}
	e.at = to
	return e
}

func (m *model) inject(a Inject) {
	want := m.config.First
	if e := m.last(); e != nil {
		want = e.Epoch + 1
		if e.at != committedWell && e.at != abandoned {
			m.t.Fatalf("K1: epoch %d comes while %d stands at %d", a.Epoch, e.Epoch, e.at)
		}
		if len(e.missing) > 0 || e.writing {
			m.t.Fatalf("K3: epoch %d comes before %d is drained: %+v", a.Epoch, e.Epoch, e)
		}
		early := m.now.Sub(e.barrier) < m.config.Interval
		if early && a.Kind == Periodic {
			m.t.Fatalf("epoch %d comes %s behind the one before", a.Epoch, m.now.Sub(e.barrier))
		}
	}
	wantKind := a.Kind == Ending
	if !m.ended {
		wantKind = a.Kind == Stopping && m.stopped || a.Kind != Ending && !m.stopped && !m.config.Off
	}
	savepoint := len(m.asked) > 0 && !a.Last
	if a.Epoch != want || !wantKind || savepoint != (a.Kind == Savepoint) || a.Last != (a.Kind == Ending || a.Kind == Stopping) {
		m.t.Fatalf("%s, want epoch %d: ended %v, stopped %v, requests %v", actionText(a), want, m.ended, m.stopped, m.asked)
	}
	if a.Full != (m.full || savepoint) {
		m.t.Fatalf("K4: %s, but it must be full: %v", actionText(a), m.full || savepoint)
	}
	e := &modelEpoch{Inject: a, barrier: m.now, missing: map[int]bool{}}
	for i := range m.config.Tasks {
		e.missing[i] = true
	}
	m.epochs = append(m.epochs, e)
}

func (m *model) abandon(a Abandon) {
	e := m.last()
	if e == nil || e.Epoch != a.Epoch || e.at > persistAsked || a.Cause == nil {
		m.t.Fatalf("K5: %s at %+v", actionText(a), e)
	}
	e.at, m.full = abandoned, true
	m.failures++
}

func (m *model) answer(a Answer) {
	if !m.asked[a.ID] {
		m.t.Fatalf("K7: %s without a request", actionText(a))
	}
	delete(m.asked, a.ID)
	if e := m.last(); a.Err == nil && (e.Epoch != a.Epoch || e.at != committedWell || e.Kind != Savepoint || !e.Full) {
		m.t.Fatalf("%s, but it stands at %+v", actionText(a), e)
	}
}

// check holds between the steps.
func (m *model) check(t *rapid.T) {
	e, s := m.last(), m.c.Status()
	if m.over != (s.Phase == Over) {
		t.Fatalf("over is %v, phase is %s", m.over, s.Phase)
	}
	if m.over {
		if len(m.asked) > 0 || !m.c.Wake().IsZero() {
			t.Fatalf("over, but %v have no answer, tick at %s", m.asked, m.c.Wake())
		}
		return
	}
	if m.failures >= max(m.config.Failures, 1) || e != nil && e.Last && e.at == abandoned {
		t.Fatalf("%d failures in a row, and the job goes on behind %+v", m.failures, e)
	}
	if idle := e == nil || e.at == committedWell; idle && (m.ended || m.stopped) {
		t.Fatalf("nothing is under way, and the last epoch is not, at %+v", s)
	}
	if e != nil && s.Epoch != e.Epoch {
		t.Fatalf("status %+v, epoch %d is under way", s, e.Epoch)
	}
}

// wind lets everything come to an end: nothing may be left hanging.
func (m *model) wind() {
	m.ended = true
	m.handle(InputEnded{})
	for range 100 {
		e := m.last()
		if m.over {
			break
		}
		switch {
		case len(e.missing) > 0:
			for i := range m.config.Tasks {
				delete(e.missing, i)
				m.handle(Passed{Task: i, Epoch: e.Epoch})
			}
		case e.writing:
			e.writing = false
			if e.at == persistAsked {
				e.at = persistedWell
			}
			m.handle(Persisted{Epoch: e.Epoch})
		case e.at == decideAsked:
			e.at, m.full, m.failures = decidedWell, false, 0
			m.handle(Decided{Epoch: e.Epoch})
		case e.at == commitAsked:
			e.at = committedWell
			m.handle(Committed{Epoch: e.Epoch})
		}
	}
	if !m.over || len(m.asked) > 0 {
		m.t.Fatalf("the job does not come to its end: %+v, requests %v", m.c.Status(), m.asked)
	}
}
