package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorge-stream/gorge/bench/dataset"
	"github.com/gorge-stream/gorge/bench/verify"
)

// contender is a program that does the job on a file: count and average per
// device and 10-second window, to a CSV file.
type contender struct {
	name    string
	version string
	argv    []string // input and output come as BENCH_IN and BENCH_OUT
	env     []string // more of the environment
	metrics string   // URL of the metrics that it serves; empty: none are read
}

// The names that others refer to.
const (
	engineName = "Gorge"
	duckdb     = "DuckDB"
)

// contenders lists those that take part, the engine first.
func contenders(ctx context.Context, e *env) []contender {
	run := []string{e.gorge, "run", "--log-level", "warn", "--data", e.data, "--fresh", "bench/j1.yaml"}
	list := []contender{
		{name: engineName, argv: run},
		{name: "Gorge on one core", argv: append(slices.Clone(run), "--parallelism", "1"), env: []string{"GOMAXPROCS=1"}},
		{name: "naive Go", argv: []string{e.naive}},
	}
	if e.python == "" {
		e.log("no -python: without DuckDB and Polars")
		return list
	}
	for _, peer := range []struct{ name, module string }{{duckdb, "duckdb"}, {"Polars", "polars"}} {
		version, err := exec.CommandContext(ctx, e.python, "-c", "import importlib.metadata as m; print(m.version('"+peer.module+"'))").Output()
		if err != nil {
			e.log("%s is not installed for %s: %v", peer.name, e.python, err)
			continue
		}
		list = append(list, contender{name: peer.name, version: strings.TrimSpace(string(version)), argv: []string{e.python, "bench/peers/" + peer.module + "_j1.py"}})
	}
	return list
}

// input is what the contenders are given, and what must come out.
type input struct {
	dataset.Files
	name   string
	path   string // a file or a pattern
	events int64
	oracle *dataset.Oracle
}

// open reads the oracle of a dataset.
func open(f dataset.Files) (input, error) {
	oracle, err := dataset.Load(f.Oracle)
	return input{Files: f, name: f.Set.Name(), path: f.Input, events: f.Set.Events, oracle: oracle}, err
}

// series collects the rounds of one contender.
type series struct {
	contender
	wall, cpu, rss, others []float64
	samples                []sample // the last ones of each round, of a contender that serves metrics
	verified               int
	err                    error
}

// compare is contest for a report that needs no more than the outcomes.
func compare(ctx context.Context, e *env, list []contender, f dataset.Files, reference string) ([]outcome, error) {
	in, err := open(f)
	if err != nil {
		return nil, err
	}
	all, err := contest(ctx, e, list, in)
	return results(all, in, reference), err
}

// contest runs all contenders on an input in alternating rounds and verifies
// every output. A contender that fails drops out; the others go on.
func contest(ctx context.Context, e *env, list []contender, in input) ([]*series, error) {
	all := make([]*series, len(list))
	for i, c := range list {
		all[i] = &series{contender: c}
	}
	for round := range e.rounds {
		for i := range all {
			s := all[(i+round)%len(all)] // another one begins in each round
			if s.err != nil {
				continue
			}
			if err := warm(in.Input); err != nil {
				return nil, err
			}
			if s.err = s.round(ctx, e, in); s.err != nil {
				e.log("   %s: %v", s.name, s.err)
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return all, nil
}

func (s *series) round(ctx context.Context, e *env, in input) error {
	out := filepath.Join(e.data, "out-"+strings.ToLower(strings.ReplaceAll(s.name, " ", "-"))+".csv")
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	stop := s.watch(ctx)
	u, err := runProgram(ctx, append(settings(in, out), s.env...), s.argv...)
	last := stop()
	if err != nil {
		return err
	}
	r, err := verify.File(out, in.oracle)
	if err != nil {
		return err
	}
	if err := r.Err(); err != nil {
		return err
	}
	s.verified++
	s.wall = append(s.wall, ms(u.Wall))
	s.cpu = append(s.cpu, ms(u.CPU))
	s.rss = append(s.rss, float64(u.PeakRSS)/(1<<20))
	s.others = append(s.others, u.Others)
	s.samples = append(s.samples, last)
	e.log("   %-10s %8.0f ms wall %8.0f ms CPU, %d rows and %d events verified", s.name, ms(u.Wall), ms(u.CPU), r.Rows, r.Events)
	return os.Remove(out)
}

// settings are the environment of a contender.
func settings(in input, out string) []string {
	set := []string{"BENCH_IN=" + in.path, "BENCH_OUT=" + out, "BENCH_THREADS=" + strconv.Itoa(processors())}
	if in.Set.Style == dataset.NullsBool {
		set = append(set, "BENCH_TEMPERATURE=float64?")
	}
	return set
}

// results are the outcomes; reference is the contender that the ratios are to.
func results(all []*series, in input, reference string) []outcome {
	var runs []outcome
	base := 0.0
	for _, s := range all {
		r := outcome{Input: in.name, Contender: s.name, Version: s.version, Events: in.events, Rounds: len(s.wall), Verified: s.verified}
		if s.err != nil {
			r.Err = s.err.Error()
		} else {
			r.WallMS, r.CPUMS, r.PeakMiB, r.Others = median(s.wall), median(s.cpu), median(s.rss), median(s.others)
			r.MinMS, r.MaxMS = minmax(s.wall)
			r.PerSecond = float64(in.events) / r.WallMS * 1000
			if s.name == reference {
				base = r.PerSecond
			}
		}
		runs = append(runs, r)
	}
	for i := range runs {
		if base > 0 && runs[i].Err == "" {
			runs[i].Ratio = runs[i].PerSecond / base
		}
	}
	return runs
}

// failures makes an error of the runs of the engine that went wrong: the report
// shows them, and the command must fail too.
func failures(runs []outcome) error {
	for _, r := range runs {
		if r.Err != "" && strings.HasPrefix(r.Contender, engineName) {
			return fmt.Errorf("%s on %s: %s", r.Contender, r.Input, r.Err)
		}
	}
	return nil
}

// warm brings the input into the page cache, so that no contender pays for the disk.
func warm(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, f)
	return err
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func minmax(v []float64) (lo, hi float64) {
	lo, hi = v[0], v[0]
	for _, x := range v {
		lo, hi = min(lo, x), max(hi, x)
	}
	return lo, hi
}
