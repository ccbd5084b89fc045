package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"
)

// kind is how a life ends, or what disturbs it.
type kind int

const (
	none      kind = iota // the life may finish
	killAny               // SIGKILL at a random moment after the engine is ready
	killStart             // SIGKILL while the engine starts
	killPoint             // SIGKILL at a failpoint
	freeze                // SIGSTOP for a while, and SIGKILL some time behind it
	stop                  // SIGTERM: the engine takes a last checkpoint
	worker                // SIGKILL of a Python worker, and some time later of the engine
)

// String names the kind in tables.
func (k kind) String() string {
	return [...]string{
		"none", "SIGKILL at a random moment", "SIGKILL while it starts", "SIGKILL at a failpoint",
		"SIGSTOP, SIGCONT, SIGKILL", "SIGTERM", "SIGKILL of a Python worker, then of the engine",
	}[k]
}

// A fault is what happens to one life.
type fault struct {
	kind  kind
	after time.Duration // after the start with killStart, else after the engine is ready
	point string        // of killPoint
	hit   int           // how often the point is passed before, and once
}

// String describes the fault in the log of a campaign.
func (f fault) String() string {
	switch f.kind {
	case killAny:
		return fmt.Sprintf("SIGKILL %v after it was ready", f.after)
	case killStart:
		return fmt.Sprintf("SIGKILL %v after its start", f.after)
	case killPoint:
		return fmt.Sprintf("%s=%d", f.point, f.hit)
	case freeze:
		return fmt.Sprintf("SIGSTOP %v after it was ready, SIGCONT, SIGKILL", f.after)
	case stop:
		return fmt.Sprintf("SIGTERM %v after it was ready", f.after)
	case worker:
		return fmt.Sprintf("SIGKILL of a worker %v after it was ready, then of the engine", f.after)
	}
	return "none"
}

// How long a life lasts at most before it is killed, and how long the kernel
// takes to start the engine, roughly: chance needs bounds.
const (
	lifetime  = 300 * time.Millisecond
	startTime = 60 * time.Millisecond
	pointTime = 2 * time.Second
)

// choose draws the fault of a life. points are the failpoints of the engine.
func choose(rng *rand.Rand, points []string, workers bool) fault {
	f := fault{hit: 1 + min(rng.IntN(4), rng.IntN(4)), after: time.Duration(rng.Int64N(int64(lifetime)))}
	at := rng.IntN(100)
	pick := 0
	if len(points) > 0 {
		pick = rng.IntN(len(points))
	}
	switch {
	case at < 25 && workers:
		f.kind = worker
	case at < 66 && len(points) > 0:
		f.kind, f.point = killPoint, points[pick]
	case at < 74:
		f.kind, f.after = killStart, time.Duration(rng.Int64N(int64(startTime)))
	case at < 79:
		f.kind = freeze
	case at < 84:
		f.kind = stop
	default:
		f.kind = killAny
	}
	return f
}

// strike lets the fault happen to a life and returns when the life is over, or when
// nothing more will be done to it. It reports whether the fault has come about.
func (f fault) strike(l *life) (struck bool, started time.Duration, err error) {
	if f.kind == killStart {
		return !l.wait(f.after) && l.kill(), 0, nil
	}
	if started, err = l.ready(); err != nil || l.over() {
		return f.kind == killPoint && l.over() && l.killed(), started, err
	}
	switch f.kind {
	case killPoint:
		if l.wait(pointTime) {
			return l.killed(), started, nil
		}
		l.kill() // the point was not reached: a random moment, then
		return false, started, nil
	case killAny:
		return !l.wait(f.after) && l.kill(), started, nil
	case freeze:
		if l.wait(f.after) {
			return false, started, nil
		}
		l.signal(syscall.SIGSTOP)
		l.wait(f.after / 2)
		l.signal(syscall.SIGCONT)
		return !l.wait(f.after/2) && l.kill(), started, nil
	case stop:
		if l.wait(f.after) {
			return false, started, nil
		}
		l.signal(syscall.SIGTERM)
		if !l.wait(l.patience) {
			return false, started, l.stuck("did not stop")
		}
		return true, started, nil
	case worker:
		if l.wait(f.after) {
			return false, started, nil
		}
		all := l.workers()
		for _, pid := range all[:min(1, len(all))] {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
		}
		if !l.wait(f.after * 2) {
			l.kill()
		}
		return len(all) > 0, started, nil
	case none, killStart:
	}
	return false, started, nil
}

// kill ends the engine alone, as the kernel would.
func (l *life) kill() bool {
	l.signal(syscall.SIGKILL)
	<-l.done
	return l.killed()
}

// sortedKeys returns the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
