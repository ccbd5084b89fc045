// Command bench measures whole pipelines: Gorge beside other engines on the same
// file in the same run, every output verified against an oracle, and the
// benchmarks of single parts. It writes a table as Markdown and JSON.
//
// One file is one job; a new one is a file with a job and a line in the list
// below. The command knows no internals of the engine: it runs the binary.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
)

// jobs is the list of what can be measured.
var jobs = []job{j1, j1Long, variants, footprint, stateSize, latency, checkpoints, recovery, ingest, durability, kernels}

// job is one group of measurements.
type job struct {
	name, doc string
	run       func(ctx context.Context, e *env) ([]section, error)
}

// env is what the flags say.
type env struct {
	gorge  string // path of the binary
	python string // interpreter with DuckDB and Polars; empty: without them
	naive  string // path of the baseline's binary
	data   string // folder for inputs and outputs
	events int64
	rounds int
	log    func(format string, args ...any)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	e := &env{log: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&e.gorge, "gorge", "bin/gorge", "the engine")
	flags.StringVar(&e.naive, "naive", "bin/bench-naive", "the row-at-a-time baseline")
	flags.StringVar(&e.python, "python", "", "interpreter with duckdb and polars; empty: without them")
	flags.StringVar(&e.data, "data", ".bench-data", "folder for inputs and outputs")
	flags.Int64Var(&e.events, "events", 10_000_000, "events of the main job")
	flags.IntVar(&e.rounds, "rounds", 3, "rounds; contenders alternate, medians are reported")
	names := flags.String("jobs", "j1,variants,footprint,state,latency,checkpoint,restart,ingest,durable,kernels", "jobs to run")
	out := flags.String("out", "bench/results", "folder for the report")
	list := flags.Bool("list", false, "list the jobs")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *list {
		for _, j := range jobs {
			fmt.Printf("%-10s %s\n", j.name, j.doc)
		}
		return nil
	}
	if e.rounds < 1 || e.events < 1 {
		return errors.New("-rounds and -events must be at least 1")
	}
	for _, path := range []*string{&e.gorge, &e.naive, &e.data} {
		abs, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = abs
	}
	return measure(ctx, e, strings.Split(*names, ","), *out, args)
}

// measure runs the named jobs and writes the report, also of what went well
// before a job failed.
func measure(ctx context.Context, e *env, names []string, out string, args []string) error {
	report := newReport(args)
	var failed []error
	for _, name := range names {
		i := slices.IndexFunc(jobs, func(j job) bool { return j.name == name })
		if i < 0 {
			return fmt.Errorf("unknown job %q; -list lists them", name)
		}
		e.log("== %s: %s", name, jobs[i].doc)
		sections, err := jobs[i].run(ctx, e)
		report.Sections = append(report.Sections, sections...)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	if err := report.write(out); err != nil {
		failed = append(failed, err)
	}
	if err := report.markdown(os.Stdout); err != nil {
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}
