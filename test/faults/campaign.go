package faults

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// Campaign is many rounds.
type Campaign struct {
	Engine    *Engine
	Scenarios []*Scenario
	Seed      uint64
	Rounds    int      // of each scenario
	Kills     int      // faults of a round
	Focus     []string // the failpoints to kill at in turn; none for faults of all kinds
	Visit     bool     // kill at each failpoint that is reached at least once
	Out       io.Writer
	// Done is called behind each round with what the campaign has come to; nil for nobody.
	Done func(*Result)
}

// Result is what a campaign came to.
type Result struct {
	Outcome
	Rounds  int
	Begun   time.Time
	Took    time.Duration
	Points  []string                   // of the binary
	ByPlace map[string]map[string]bool // failpoints that each scenario reaches
	Wrong   []Failure
	Stalled Stalled // its zero value: nothing stood still
}

// Failure is a round that ended wrong.
type Failure struct {
	Scenario string
	Seed     uint64
	Dir      string // is kept
	Err      error
	Replay   string
}

// Run runs the campaign. Round r of a scenario has the seed Seed + r. What the
// engine does wrong is in the result; the error is about the campaign.
func (c *Campaign) Run() (*Result, error) {
	points, err := c.Engine.Points()
	if err != nil {
		return nil, err
	}
	res := &Result{
		Outcome: Outcome{ByPoint: map[string]int{}, Others: map[kind]int{}, Missed: map[string]int{}, Reached: map[string]bool{}},
		Begun:   time.Now(), Points: points, ByPlace: map[string]map[string]bool{},
	}
	for n := range c.Rounds {
		for _, s := range c.Scenarios {
			if res.ByPlace[s.Name] == nil {
				if err := c.survey(res, s); err != nil {
					return res, err
				}
			}
			if err := c.round(res, s, c.Seed+uint64(n), c.Kills, c.Focus); err != nil {
				return res, err
			}
		}
	}
	if !c.Visit {
		return res, nil
	}
	return res, c.visit(res)
}

// survey runs a scenario with a few random kills, and learns by its trace at which
// failpoints it can be killed.
func (c *Campaign) survey(res *Result, s *Scenario) error {
	res.ByPlace[s.Name] = map[string]bool{}
	return c.round(res, s, c.Seed+surveySeed, surveyKills, nil)
}

// maxWrong ends a campaign: what each wrong round leaves fills the disk.
const maxWrong = 25

// The faults of a survey, and those of a round that visits failpoints.
const (
	surveyKills = 2
	surveySeed  = 1 << 32
	visitKills  = 8
)

// visit kills once at each failpoint that some scenario reaches and no round was
// killed at. A life that does not come by its point may work until the input is
// done, so that others of its round are left over: they get further rounds.
func (c *Campaign) visit(res *Result) error {
	for _, together := range []int{visitKills, visitKills, 2, 1} {
		for _, s := range c.Scenarios {
			for some := range slices.Chunk(res.unvisited(s), together) {
				if err := c.round(res, s, c.Seed, len(some), some); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// unvisited returns the failpoints that a scenario reaches and no round was killed
// at, those first that were tried least.
func (r *Result) unvisited(s *Scenario) []string {
	var left []string
	for _, p := range sortedKeys(r.ByPlace[s.Name]) {
		if r.ByPoint[p] == 0 {
			left = append(left, p)
		}
	}
	slices.SortStableFunc(left, func(a, b string) int { return r.Missed[a] - r.Missed[b] })
	return left
}

// round runs one round and takes in what it came to.
func (c *Campaign) round(res *Result, s *Scenario, seed uint64, kills int, focus []string) error {
	dir, err := os.MkdirTemp("", "gorge-faults-"+s.Name+"-")
	if err != nil {
		return err
	}
	r := &Round{Engine: c.Engine, Scenario: s, Seed: seed, Dir: dir, Kills: kills, Focus: focus, Points: res.Points, Known: res.ByPlace[s.Name], Log: c.logf}
	c.logf("round %d: %s, seed %d, %d faults %s", res.Rounds, s.Name, seed, kills, strings.Join(focus, " "))
	begun := time.Now()
	out, err := r.Run()
	res.add(out)
	res.Rounds++
	for name := range out.Reached {
		res.ByPlace[s.Name][name] = true
	}
	res.Took = time.Since(res.Begun)
	if err == nil {
		c.logf("  right after %d kills, %d looks of a reader, %d ms", out.Kills, out.Readings, time.Since(begun).Milliseconds())
		err = os.RemoveAll(dir)
	} else {
		f := Failure{Scenario: s.Name, Seed: seed, Dir: dir, Err: err, Replay: fmt.Sprintf("make faults SEED=%d ROUNDS=1 SCENARIO=%s KILLS=%d", seed, s.Name, kills)}
		if len(focus) > 0 {
			f.Replay += " POINTS=" + strings.Join(focus, ",")
		}
		res.Wrong = append(res.Wrong, f)
		if len(res.Wrong) == maxWrong {
			return res.Err()
		}
		c.logf("  WRONG: %v\n  kept in %s\n  replay: %s", err, dir, f.Replay)
		err = nil
	}
	if c.Done != nil {
		c.Done(res)
	}
	return err
}

func (c *Campaign) logf(format string, args ...any) { fmt.Fprintf(c.Out, format+"\n", args...) }

// Err returns what the engine did wrong.
func (r *Result) Err() error {
	var all []error
	for _, f := range r.Wrong {
		all = append(all, fmt.Errorf("%s, seed %d, in %s: %w\nreplay: %s", f.Scenario, f.Seed, f.Dir, f.Err, f.Replay))
	}
	return errors.Join(all...)
}

// Unreached returns the failpoints that no scenario came by.
func (r *Result) Unreached() []string {
	return slices.DeleteFunc(slices.Clone(r.Points), func(p string) bool { return r.Reached[p] })
}

// Table writes the result for people, in Markdown.
func (r *Result) Table(w io.Writer) {
	fmt.Fprintf(w, "| rounds | starts | kills | at failpoints | of which different | slowest start to ready | looks of a reader | wrong |\n|---|---|---|---|---|---|---|---|\n")
	at := 0
	for _, n := range r.ByPoint {
		at += n
	}
	fmt.Fprintf(w, "| %d | %d | %d | %d | %d of %d | %d ms | %d | %d |\n\n", r.Rounds, r.Starts, r.Kills, at, len(r.ByPoint), len(r.Points),
		r.Slowest.Milliseconds(), r.Readings, len(r.Wrong))
	fmt.Fprintf(w, "| other faults | times |\n|---|---|\n")
	for _, k := range []kind{killAny, killStart, freeze, stop, worker} {
		fmt.Fprintf(w, "| %s | %d |\n", k, r.Others[k])
	}
	fmt.Fprintf(w, "\n| failpoint | kills |\n|---|---|\n")
	for _, p := range r.Points {
		fmt.Fprintf(w, "| `%s` | %d |\n", p, r.ByPoint[p])
	}
	if left := r.Unreached(); len(left) > 0 {
		fmt.Fprintf(w, "\nNo scenario came by: %v.\n", left)
	}
	if r.Stalled.For > 0 {
		fmt.Fprintf(w, "\nBack-pressure: %s.\n", r.Stalled)
	}
	for _, f := range r.Wrong {
		fmt.Fprintf(w, "\nWrong: %s, seed %d: %v\n", f.Scenario, f.Seed, f.Err)
	}
}
