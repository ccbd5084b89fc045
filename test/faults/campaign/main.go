// Command campaign kills the engine for as long as it is asked to, and says what
// came of it: make faults.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gorge-stream/gorge/test/faults"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // it is main
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("campaign", flag.ContinueOnError)
	seed := flags.Uint64("seed", 1, "seed of the first round")
	rounds := flags.Int("rounds", 2, "rounds of each scenario")
	kills := flags.Int("kills", 8, "faults of a round")
	names := flags.String("scenario", "", "scenarios, separated by commas; all by default")
	points := flags.String("points", "", "the only failpoints to kill at, in turn, separated by commas")
	visit := flags.Bool("visit", true, "kill at least once at each failpoint that a scenario reaches")
	stall := flags.Duration("stall", 0, "let a receiver stand still for so long, too")
	selftest := flags.Bool("selftest", false, "build the engine with seeded bugs, and look whether they are caught")
	every := flags.Bool("every", false, "with -selftest: try every scenario on every bug")
	bug := flags.String("bug", "", "with -selftest: only the bugs whose names begin so")
	report := flags.String("report", "", "write the table to this file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "gorge-faults-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	if *selftest {
		return selfTest(scratch, *bug, &faults.Selftest{Seed: *seed, Rounds: *rounds, Kills: *kills, All: *every, Out: out})
	}
	engine, err := build(scratch, "")
	if err != nil {
		return err
	}
	c := &faults.Campaign{Engine: engine, Seed: *seed, Rounds: *rounds, Kills: *kills, Focus: split(*points), Visit: *visit, Out: out}
	if c.Scenarios, err = choose(*names); err != nil {
		return err
	}
	if engine.Python == "" {
		fmt.Fprintln(out, "SKIPPED: scenarios with Python: no interpreter with NumPy; run make venv, or set GORGE_PYTHON")
		c.Scenarios = faults.WithoutPython(c.Scenarios)
	}
	command := "campaign " + strings.Join(args, " ")
	if *report != "" {
		// A long campaign leaves its figures also when it is ended early.
		c.Done = func(res *faults.Result) {
			if err := write(*report, res, command); err != nil {
				fmt.Fprintln(out, err)
			}
		}
	}
	res, err := c.Run()
	if err != nil {
		return err
	}
	if *stall > 0 {
		if res.Stalled, err = faults.Stall(engine, filepath.Join(scratch, "stall"), *stall); err != nil {
			return fmt.Errorf("a receiver that stands still: %w", err)
		}
	}
	res.Table(out)
	if *report != "" {
		if err := write(*report, res, command); err != nil {
			return err
		}
	}
	return res.Err()
}

// selfTest looks whether the seeded bugs of the tree are caught.
func selfTest(scratch, prefix string, s *faults.Selftest) (err error) {
	if s.Engine, err = build(scratch, "seeded"); err != nil {
		return err
	}
	all, err := faults.Bugs(".")
	if err != nil {
		return err
	}
	for _, b := range all {
		if strings.HasPrefix(b.Name, prefix) {
			s.Bugs = append(s.Bugs, b)
		}
	}
	missed, err := s.Run()
	if err == nil && len(missed) > 0 {
		err = fmt.Errorf("not caught: %v", missed)
	}
	return err
}

// build builds the engine and finds an interpreter.
func build(scratch, tags string) (*faults.Engine, error) {
	root, err := filepath.Abs(".")
	if err != nil {
		return nil, err
	}
	path := os.Getenv("GORGE_BINARY") // as in test/engine
	if path == "" || tags != "" {
		if path, err = faults.Build(root, scratch, tags); err != nil {
			return nil, err
		}
	}
	e := &faults.Engine{Path: path}
	for _, python := range []string{os.Getenv("GORGE_PYTHON"), filepath.Join(root, ".venv", "bin", "python")} {
		if python != "" && e.Python == "" && exec.Command(python, "-c", "import numpy").Run() == nil {
			e.Python = python
		}
	}
	return e, nil
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(c rune) bool { return c == ',' || c == ' ' })
}

// choose finds scenarios by name.
func choose(names string) ([]*faults.Scenario, error) {
	if names == "" {
		return faults.Scenarios(), nil
	}
	var out []*faults.Scenario
	for _, name := range split(names) {
		s, err := faults.Named(name)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// write writes the result of a campaign for the record.
func write(path string, res *faults.Result, command string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(f, "# Faults of %s\n\nMachine: %s, %d processors, Linux %s, %s. Commit %s.\n\n`go run ./test/faults/%s`: %v\n\n", res.Begun.Format("2006-01-02"),
		processor(), runtime.NumCPU(), firstLine("uname", "-r"), runtime.Version(), firstLine("git", "describe", "--always", "--dirty"), command, res.Took.Round(time.Second))
	res.Table(f)
	return f.Close()
}

// processor returns the name of the processor.
func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	_, rest, _ := strings.Cut(string(b), "model name")
	name, _, _ := strings.Cut(strings.TrimLeft(rest, "\t :"), "\n")
	return name
}

// firstLine returns the first line that a command prints.
func firstLine(name string, args ...string) string {
	b, err := exec.Command(name, args...).Output()
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}
