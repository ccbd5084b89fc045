package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Round is one scenario under one series of faults.
type Round struct {
	Engine   *Engine
	Scenario *Scenario
	Seed     uint64
	Dir      string          // empty; of this round alone
	Kills    int             // lives that end by a fault
	Points   []string        // all failpoints of the engine, sorted: a seed draws the same ones in every campaign
	Known    map[string]bool // those that the scenario is known to reach; at others there is no use in waiting
	Focus    []string        // the failpoints to kill at in turn; none for faults of all kinds
	Log      func(format string, args ...any)

	rng     *rand.Rand
	address string
	lives   int
	waiting Outcome
}

// Outcome is what a round came to.
type Outcome struct {
	Kills    int            // lives that ended by SIGKILL
	ByPoint  map[string]int // kills at failpoints
	Others   map[kind]int   // faults of other kinds that came about
	Missed   map[string]int // failpoints that a life was to be killed at and that it did not reach
	Reached  map[string]bool
	Starts   int
	Slowest  time.Duration // from a start behind a fault to ready
	Readings int           // looks at the output while the engine worked
}

// path is a file in the folder of the round.
func (r *Round) path(elem ...string) string {
	return filepath.Join(append([]string{r.Dir}, elem...)...)
}

func writeFile(path, text string) error { return os.WriteFile(path, []byte(text), 0o644) }

// size returns how much input a round needs, of which a life deals with so much.
func (r *Round) size(life int) int { return life * (1 + max(2, r.Kills)) }

// Run runs the round. The error says what is wrong with the engine.
func (r *Round) Run() (Outcome, error) {
	r.rng = rand.New(rand.NewPCG(r.Seed, 0x60126e))
	r.waiting = Outcome{ByPoint: map[string]int{}, Others: map[kind]int{}, Missed: map[string]int{}, Reached: map[string]bool{}}
	err := r.run()
	r.readTrace()
	return r.waiting, err
}

func (r *Round) run() (err error) {
	if r.address, err = freeAddress(); err != nil {
		return err
	}
	c, err := r.Scenario.Make(r)
	if err != nil {
		return err
	}
	if c.Close != nil {
		defer c.Close()
	}
	if err := writeFile(r.path("pipeline.yaml"), c.Pipeline); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w := watch(c.Watch)
	fed := make(chan error, 1)
	if c.Feed != nil {
		go func() { fed <- c.Feed(ctx) }()
	}
	err = r.live(c, fed)
	cancel()
	n, watched := w.end()
	r.waiting.Readings = n
	if err = errors.Join(err, watched); err != nil {
		return err
	}
	return c.Check()
}

// live starts the engine and lets faults happen until the input is done.
func (r *Round) live(c *Case, fed <-chan error) error {
	for n := 0; ; n++ {
		var f fault
		if n < r.Kills {
			f = choose(r.rng, r.Points, r.Scenario.Python)
			if f.kind == killPoint && len(r.Known) == 0 {
				f.kind = killAny // nothing is known of a scenario yet
			} else if f.kind == killPoint {
				f.point = r.nextKnown(f.point)
			}
			if len(r.Focus) > 0 {
				f = fault{kind: killPoint, point: r.Focus[n%len(r.Focus)], hit: 1 + n/len(r.Focus)}
			}
		}
		args := append([]string{"run", r.path("pipeline.yaml"), "--checkpoint", "50ms", "--data", r.path("data"), "--http", r.address}, c.Args()...)
		l, err := r.begin(f, args, c.Env)
		if err != nil {
			return err
		}
		over, err := r.lead(l, f, c, fed)
		if err != nil {
			if !l.over() {
				l.killGroup()
				<-l.done
			}
			return fmt.Errorf("life %d (%s): %w", n, f, err)
		}
		if err := l.orphans(); err != nil {
			return fmt.Errorf("life %d (%s): %w", n, f, err)
		}
		if over {
			return nil
		}
	}
}

// nextKnown returns the first point from the given one on that the scenario is known to reach.
func (r *Round) nextKnown(point string) string {
	at := slices.Index(r.Points, point)
	for i := range r.Points {
		if p := r.Points[(at+i)%len(r.Points)]; r.Known[p] {
			return p
		}
	}
	return point
}

// begin starts a life.
func (r *Round) begin(f fault, args, env []string) (*life, error) {
	env = append([]string{"GORGE_FAILPOINT_TRACE=" + r.path("trace")}, env...)
	if f.kind == killPoint {
		env = append(env, fmt.Sprintf("GORGE_FAILPOINT=%s=%d", f.point, f.hit))
	}
	r.waiting.Starts++
	r.lives++
	return r.Engine.start(r.path(fmt.Sprintf("life-%03d", r.lives-1)), r.address, args, env)
}

// lead takes a life to its end and reports whether the input is done.
func (r *Round) lead(l *life, f fault, c *Case, fed <-chan error) (over bool, err error) {
	struck, started, err := f.strike(l)
	if r.lives > 1 {
		r.waiting.Slowest = max(r.waiting.Slowest, started)
	}
	if err != nil {
		return false, err
	}
	if f.kind == none {
		if err := r.finish(l, c, fed); err != nil {
			return false, err
		}
	}
	r.count(l, f, struck)
	r.Log("    life %d, %d ms: %s%s", r.lives-1, time.Since(l.begun).Milliseconds(), f, map[bool]string{false: " (did not come about)"}[struck || f.kind == none])
	if !l.killed() && l.cmd.ProcessState.ExitCode() != 0 {
		return false, errors.Join(fmt.Errorf("the engine ended with %v", l.cmd.ProcessState), l.tail())
	}
	// An engine that was told to stop ends well, too. When it had come to the end of the
	// input all the same, the next one finds nothing to do.
	return !l.killed() && f.kind != stop && (c.Settled == nil || f.kind == none), nil
}

// count counts what ended a life.
func (r *Round) count(l *life, f fault, struck bool) {
	if l.killed() {
		r.waiting.Kills++
	}
	switch {
	case f.kind == killPoint && struck:
		r.waiting.ByPoint[f.point]++
	case f.kind == killPoint:
		r.waiting.Missed[f.point]++
		if l.killed() {
			r.waiting.Others[killAny]++
		}
	case struck:
		r.waiting.Others[f.kind]++
	}
}

// finish waits until the last life has done its work. Where the input has no end
// it waits for all output, and stops the engine.
func (r *Round) finish(l *life, c *Case, fed <-chan error) error {
	if c.Settled == nil {
		if !l.wait(l.patience) {
			return l.stuck("did not end")
		}
		return nil
	}
	var feeding error
	give := time.NewTimer(l.patience)
	defer give.Stop()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for waiting := true; waiting; {
		select {
		case feeding = <-fed:
			if feeding != nil {
				return feeding
			}
			fed = nil
		case <-l.done:
			return errors.Join(errors.New("the engine ended by itself"), l.tail())
		case <-give.C:
			if fed != nil {
				return l.stuck("did not take all input")
			}
			return errors.Join(l.stuck("did not put out everything"), c.Check())
		case <-look.C:
			if fed == nil {
				done, err := c.Settled()
				if err != nil {
					return err
				}
				waiting = !done
			}
		}
	}
	l.signal(syscall.SIGTERM)
	if !l.wait(l.patience) {
		return l.stuck("did not stop")
	}
	return nil
}

// readTrace takes in which failpoints the lives came by.
func (r *Round) readTrace() {
	b, err := os.ReadFile(r.path("trace"))
	if err != nil {
		return // no life was long enough
	}
	for _, name := range strings.Fields(string(b)) {
		r.waiting.Reached[name] = true
	}
}

// freeAddress returns an address of this machine that nobody listens at.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// add takes in what another round came to.
func (o *Outcome) add(other Outcome) {
	o.Kills += other.Kills
	o.Starts += other.Starts
	o.Readings += other.Readings
	o.Slowest = max(o.Slowest, other.Slowest)
	for name, n := range other.ByPoint {
		o.ByPoint[name] += n
	}
	for name, n := range other.Missed {
		o.Missed[name] += n
	}
	for k, n := range other.Others {
		o.Others[k] += n
	}
	for name := range other.Reached {
		o.Reached[name] = true
	}
}
