// Package failpoint names the places of the commit path at which a crash is
// worth trying, and kills the process at one of them when a test asks for it.
//
// A package declares its points as variables; Hit costs one load when nothing is
// armed. The environment variable GORGE_FAILPOINT arms one point of a run of the
// real binary: "checkpoint/decided" or "checkpoint/decided=3" for the third time.
//
// The package knows names and signals, and nothing of what happens at a point.
package failpoint

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// Variable is the environment variable that arms a point; TraceVariable names a
// file that gets the name of every point that is hit.
const (
	Variable      = "GORGE_FAILPOINT"
	TraceVariable = "GORGE_FAILPOINT_TRACE"
)

// Point is one named place.
type Point struct {
	name string
	left atomic.Int64 // hits until the crash; 0: not armed
}

var (
	mu     sync.Mutex
	points = map[string]*Point{}        // guarded by mu
	hook   atomic.Pointer[func(string)] // nil outside of simulations
)

// New declares a point. Names are unique and look like "package/what-has-just-happened".
// It is called while packages are initialised.
func New(name string) *Point {
	mu.Lock()
	defer mu.Unlock()
	if points[name] != nil {
		panic(fmt.Sprintf("failpoint: %q is declared twice", name))
	}
	p := &Point{name: name}
	points[name] = p
	return p
}

// Names returns the names of all points, sorted.
func Names() []string {
	mu.Lock()
	defer mu.Unlock()
	var out []string
	for n := range points {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// Hit ends the process by SIGKILL when the point is armed and its turn has come.
func (p *Point) Hit() {
	if h := hook.Load(); h != nil {
		(*h)(p.name)
	}
	if p.left.Load() == 0 || p.left.Add(-1) > 0 {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way
}

// Arm arms what the variable asks for, "" for nothing. cmd calls it once at the start.
func Arm(setting string) error {
	if setting == "" {
		return nil
	}
	name, times, counted := strings.Cut(setting, "=")
	n := 1
	if counted {
		var err error
		if n, err = strconv.Atoi(times); err != nil || n < 1 {
			return fmt.Errorf("%s: %q is no number of hits", Variable, times)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	p := points[name]
	if p == nil {
		return fmt.Errorf("%s: there is no failpoint %q", Variable, name)
	}
	p.left.Store(int64(n))
	return nil
}

// Trace appends the name of each point to the file when it is hit for the first
// time; "" for no file. cmd calls it once at the start.
func Trace(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("%s: %w", TraceVariable, err)
	}
	var seen sync.Map
	Observe(func(name string) {
		if _, before := seen.LoadOrStore(name, true); !before {
			_, _ = f.WriteString(name + "\n") // a test reads it, and misses what is not there
		}
	})
	return nil
}

// Observe calls f with the name of every point that is hit, until the returned
// function is called: simulations within one process use it. f may panic.
func Observe(f func(name string)) (stop func()) {
	hook.Store(&f)
	return func() { hook.Store(nil) }
}
