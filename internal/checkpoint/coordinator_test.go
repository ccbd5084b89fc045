package checkpoint

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorge-stream/gorge/internal/testkit"
)

// TestCoordinatorScripts runs the scripts of testdata/coordinator: each line of a
// step "at 1s" is an event at that time, the result is what is to be done, when a
// tick is due and the status. "new" makes a coordinator.
func TestCoordinatorScripts(t *testing.T) {
	testkit.Scripts(t, "testdata/coordinator/*.txt", func(t *testing.T) func(*testkit.Step) string {
		r := &coordinatorScript{t: t}
		return r.step
	})
}

var scriptStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

type coordinatorScript struct {
	t *testing.T
	c *Coordinator
}

func (r *coordinatorScript) step(s *testkit.Step) string {
	switch s.Verb {
	case "new":
		r.c = NewCoordinator(Config{
			Interval: r.duration(s.Arg("interval", "5s")), Timeout: r.duration(s.Arg("timeout", "10s")),
			Failures: int(r.number(s.Arg("failures", "3"))), Tasks: int(r.number(s.Arg("tasks", "2"))),
			First: r.number(s.Arg("first", "1")), Off: s.Arg("off", "no") == "yes",
		})
		return r.where()
	case "at":
		now := scriptStart.Add(r.duration(s.Arg("t", "")))
		var b strings.Builder
		for _, l := range s.Lines {
			for _, a := range r.c.Handle(now, r.event(strings.Fields(l))) {
				b.WriteString(actionText(a) + "\n")
			}
		}
		return b.String() + r.where()
	}
	r.t.Fatalf("%s: no verb %s", s.Place, s.Verb)
	return ""
}

func (r *coordinatorScript) event(words []string) Event {
	var n uint64
	if len(words) > 1 {
		n = r.number(words[1])
	}
	var err error
	if i := strings.Join(words, " "); strings.Contains(i, ": ") {
		err = errors.New(i[strings.Index(i, ": ")+2:])
		if err.Error() == ErrExists.Error() {
			err = fmt.Errorf("claim: %w", ErrExists)
		}
	}
	switch strings.TrimSuffix(words[0], ":") {
	case "started":
		return Started{}
	case "tick":
		return Tick{}
	case "passed": // epoch task
		return Passed{Epoch: n, Task: int(r.number(words[2]))}
	case "persisted":
		return Persisted{Epoch: n, Err: err}
	case "decided":
		return Decided{Epoch: n, Err: err}
	case "committed":
		return Committed{Epoch: n, Err: err}
	case "input-ended":
		return InputEnded{}
	case "stop":
		return Stop{}
	case "request":
		return Request{ID: n}
	}
	r.t.Fatalf("no event %q", words)
	return nil
}

func (r *coordinatorScript) number(text string) uint64 {
	n, err := strconv.ParseUint(strings.TrimSuffix(text, ":"), 10, 64)
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

func (r *coordinatorScript) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

// where prints the status and when the next tick is due.
func (r *coordinatorScript) where() string {
	s := r.c.Status()
	text := fmt.Sprintf("epoch %d %s, committed %d, abandoned %d", s.Epoch, s.Phase, s.Committed, s.Abandoned)
	if w := r.c.Wake(); !w.IsZero() {
		text += ", tick at " + w.Sub(scriptStart).String()
	}
	return text + "\n"
}

func actionText(a Action) string {
	switch a := a.(type) {
	case Inject:
		text := fmt.Sprintf("inject %d %s", a.Epoch, a.Kind)
		if a.Full {
			text += " full"
		}
		if a.Last {
			text += " last"
		}
		return text
	case Persist:
		return fmt.Sprintf("persist %d", a.Epoch)
	case Decide:
		return fmt.Sprintf("decide %d", a.Epoch)
	case Commit:
		return fmt.Sprintf("commit %d", a.Epoch)
	case Abandon:
		return fmt.Sprintf("abandon %d: %v", a.Epoch, a.Cause)
	case Answer:
		if a.Err != nil {
			return fmt.Sprintf("answer %d: %v", a.ID, a.Err)
		}
		return fmt.Sprintf("answer %d: epoch %d", a.ID, a.Epoch)
	case Fail:
		return fmt.Sprintf("fail: %v", a.Err)
	case Finish:
		return "finish"
	}
	return fmt.Sprintf("%T", a)
}

func TestStatusTellsSinceWhen(t *testing.T) {
	c := NewCoordinator(Config{Interval: time.Second, Tasks: 1, First: 7})
	at := func(s int) time.Time { return scriptStart.Add(time.Duration(s) * time.Second) }
	c.Handle(at(1), Started{})
	c.Handle(at(2), Tick{})
	if got, want := c.Status(), (Status{Epoch: 7, Phase: Passing, Since: at(2)}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	c.Handle(at(3), Passed{Epoch: 7})
	c.Handle(at(4), Persisted{Epoch: 7})
	c.Handle(at(5), Decided{Epoch: 7})
	c.Handle(at(6), Committed{Epoch: 7}) // and the next barrier is due
	if got, want := c.Status(), (Status{Epoch: 8, Phase: Passing, Since: at(6), Committed: 7, CommittedAt: at(6)}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
