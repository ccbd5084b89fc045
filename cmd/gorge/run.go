package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/job"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/plan"
	"github.com/gorge-stream/gorge/internal/server"
)

// runFlags are the flags of gorge run.
type runFlags struct {
	parallelism int
	batchRows   int
	data        string
	http        string
	allowRemote bool
	logLevel    string
	set         []string
	quiet       bool
	profile     string
	checkpointFlags
	redirection
}

// noHTTP as the address switches the HTTP server off.
const noHTTP = "off"

func runCmd() *cobra.Command {
	f := &runFlags{}
	c := &cobra.Command{
		Use:   "run FILE",
		Short: "Run a pipeline to the end of its input, or until it is stopped",
		Long: `Run a pipeline file ("-" reads it from standard input).

With checkpoints, which are on unless the file says checkpoint: off, a run that
was stopped or killed is gone on with by the next one. The first SIGINT or SIGTERM
takes a last checkpoint; windows stay open in it. Without checkpoints it stops the
input: what was accepted is processed and open windows close. The exit code is 0
both times. A second signal, later than half a second, ends at once, as a crash would.

Python functions run in the interpreter that GORGE_PYTHON names; without it in
that of the active virtual environment, of .venv in the working directory, or
python3 of PATH, whichever has NumPy first. NO_COLOR switches colours off.`,
		Args: exactly(1, "the pipeline file"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	c.Flags().IntVarP(&f.parallelism, "parallelism", "p", runtime.GOMAXPROCS(0), "tasks of each parallel stage")
	c.Flags().IntVar(&f.batchRows, "batch-rows", job.DefaultBatchRows, "rows of a batch")
	c.Flags().StringVar(&f.data, "data", "", "directory for checkpoints, tables and dead letters (default gorge-data/NAME)")
	c.Flags().StringVar(&f.http, "http", "", "address of the HTTP server, or off (default "+server.DefaultAddr+")")
	c.Flags().BoolVar(&f.allowRemote, "http-allow-remote", false, "permit an address that other machines can reach; there is no authentication")
	c.Flags().StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	c.Flags().StringArrayVar(&f.set, "set", nil, "override a setting of the file: path.to.setting=value")
	c.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "no progress and no summary")
	c.Flags().StringVar(&f.interval, "checkpoint", "", "time between checkpoints, or off (default as in the file)")
	c.Flags().BoolVar(&f.fresh, "fresh", false, "begin anew, whatever the last run has left in its checkpoints")
	c.Flags().StringVar(&f.from, "from", "", "go on from a savepoint: its folder or bucket, or the epoch of a kept checkpoint")
	c.Flags().StringArrayVar(&f.rename, "rename", nil, "old=new: a step, source or sink has another name than in the checkpoint")
	c.Flags().BoolVar(&f.dropState, "drop-state", false, "go on although the pipeline has no use for some of the state")
	f.redirection.add(c)
	c.Flags().StringVar(&f.profile, "cpuprofile", "", "write a CPU profile of the run to this file")
	return c
}

// readPipeline compiles the pipeline file, or standard input for "-". The interval
// of checkpoints is what takes the place of that in the file, "" for nothing.
func readPipeline(stdin io.Reader, file string, set []string, interval string) (*plan.Plan, []*diag.Error, error) {
	var src []byte
	var err error
	name := file
	if file == "-" {
		name = "standard input"
		src, err = io.ReadAll(io.LimitReader(stdin, maxPipeline+1))
	} else {
		src, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, nil, usage(diag.New("cli/file", "cannot read the pipeline file").WithCause(err).WithHint("gorge new writes one to start from"))
	}
	p, warnings, err := plan.Compile(name, src, catalog(), plan.Options{Env: os.LookupEnv, Set: set, Checkpoint: interval})
	if err != nil {
		return nil, warnings, refused(err)
	}
	return p, warnings, nil
}

// maxPipeline is more than the planner accepts, so that it can say so.
const maxPipeline = 2 << 20

func (f *runFlags) run(cmd *cobra.Command, file string) error {
	if file == "-" && f.http == "" {
		f.http = noHTTP
	}
	terminal := isTerminal(cmd.ErrOrStderr())
	out := &screen{w: cmd.ErrOrStderr()}
	log, err := newLog(out, terminal, f.logLevel)
	if err == nil {
		err = f.check()
	}
	if err != nil {
		return usage(err)
	}
	p, warnings, err := readPipeline(cmd.InOrStdin(), file, f.set, f.interval)
	for _, w := range warnings {
		log.Warn(w.Error())
	}
	if err != nil {
		return err
	}
	f.redirection.apply(p)
	if err := f.checkpointFlags.check(p); err != nil {
		return usage(err)
	}
	ctx, stop := context.WithCancelCause(cmd.Context())
	defer stop(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	e := &engine{flags: f, plan: p, file: file, dir: filepath.Dir(file), log: log, stdout: cmd.OutOrStdout(), screen: out, terminal: terminal}
	if file == "-" {
		e.dir = "."
	}
	return e.run(ctx, signals, stop)
}

// maxBatchRows is what a batch may hold at most.
const maxBatchRows = 1 << 16

// check refuses numbers that no run can have.
func (f *runFlags) check() error {
	if f.parallelism < 1 || f.parallelism > keygroup.Count {
		return diag.New("cli/parallelism", "--parallelism is %d, but must be from 1 to %d", f.parallelism, keygroup.Count).
			WithHint("leave it out for as many tasks as there are cores")
	}
	if f.batchRows < 1 || f.batchRows > maxBatchRows {
		return diag.New("cli/batch-rows", "--batch-rows is %d, but must be from 1 to %d", f.batchRows, maxBatchRows).
			WithHint("leave it out for %d", job.DefaultBatchRows)
	}
	return nil
}

// engine is one run of gorge run.
type engine struct {
	flags  *runFlags
	plan   *plan.Plan
	file   string // the pipeline file as it was named
	dir    string // of the pipeline file
	log    *slog.Logger
	stdout io.Writer
	screen *screen // standard error
	// terminal: the screen is one.
	terminal bool
	job      atomic.Pointer[job.Job] // nil until it is built
}

func (e *engine) dataDir() string { return dataDir(e.plan, e.flags.data) }

// Why a run ended before its job did.
var (
	errStarting = diag.New("run/interrupted", "ended by a signal before the job had started")
	errForced   = diag.New("run/forced", "ended by a second signal").WithHint("one signal alone lets the run end well")
)

func (e *engine) run(ctx context.Context, signals <-chan os.Signal, stop context.CancelCauseFunc) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	srv, err := e.newServer(registry)
	if err != nil {
		return err
	}
	opts := job.Options{
		Parallelism: e.flags.parallelism, BatchRows: e.flags.batchRows, BlockBytes: job.DefaultBlockBytes,
		DataDir: e.dataDir(), Log: e.log, Now: time.Now, Terminal: isTerminal(e.stdout), FS: vfs.Default,
	}
	go e.watchSignals(ctx, signals, srv, stop)
	var store io.Closer
	if opts.Checkpoints, store, err = e.openCheckpoints(ctx); err != nil {
		return failed(why(ctx, err))
	}
	defer store.Close()
	if srv != nil {
		opts.HTTP = srv
		opts.Stalled = readiness(srv)
	}
	j, err := job.Build(ctx, e.plan, e.parts(registry), opts)
	var finished *job.FinishedError
	if errors.As(err, &finished) {
		fmt.Fprintf(e.screen, "nothing to do: %s\nto run the pipeline again: gorge run --fresh %s\n", finished, e.file)
		return nil
	}
	if err != nil {
		return &exitError{exitFailed, why(ctx, err)}
	}
	e.job.Store(j)
	registry.MustRegister(j)
	if err := e.serve(srv); err != nil {
		j.Abandon()
		return &exitError{exitFailed, err}
	}
	progress := e.startProgress(j)
	err = profiled(e.flags.profile, func() error { return j.Run(ctx) })
	progress.end(err)
	if srv != nil {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = srv.Shutdown(grace)
	}
	if err != nil {
		return &exitError{exitFailed, err}
	}
	return nil
}

// why returns why the run ends: what has cancelled it, if anything has, and not what came of that.
func why(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// watchSignals stops the job on the first signal and aborts it on the second,
// until the context of the run ends. A signal while the job is still being built (the
// checkpoint store does not answer, Python workers start, files are opened) ends the run at once: there is nothing to drain.
func (e *engine) watchSignals(ctx context.Context, signals <-chan os.Signal, srv *server.Server, stop context.CancelCauseFunc) {
	var s os.Signal
	select {
	case <-ctx.Done():
		return
	case s = <-signals:
	}
	j := e.job.Load()
	if j == nil {
		stop(errStarting)
		return
	}
	how := "the input ends here, open windows close"
	if j.Resumable() {
		how = "the last checkpoint is taken"
	}
	e.log.Info("stopping: "+how+"; signal again to end at once", "signal", s.String())
	if srv != nil {
		srv.Drain()
	}
	first := time.Now()
	j.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
			if time.Since(first) > sameSignal {
				stop(errForced)
				return
			}
		}
	}
}

// sameSignal is for how long another signal is taken for the first one: timeout(1), make
// and others send it to the process and to the group that it is in.
const sameSignal = 500 * time.Millisecond

// newServer makes the HTTP server, nil when it is switched off.
func (e *engine) newServer(registry *prometheus.Registry) (*server.Server, error) {
	if e.flags.http == noHTTP {
		return nil, nil
	}
	return server.New(server.Options{Addr: e.flags.http, AllowRemote: e.flags.allowRemote, Registry: registry, Log: e.log, Savepoint: e.savepoint})
}

// serve starts the HTTP server. When the address was not asked for and no part
// of the pipeline needs it, an address in use is no reason not to run.
func (e *engine) serve(srv *server.Server) error {
	if srv == nil {
		return nil
	}
	addr, err := srv.Start()
	if err != nil {
		if e.flags.http == "" && !e.needsHTTP() {
			e.log.Warn("running without HTTP: metrics and health are not served", "reason", err)
			return nil
		}
		return err
	}
	srv.SetReady(true, "")
	e.log.Info("serving", "address", "http://"+addr)
	return nil
}

// readiness returns what makes the server say that it is not ready while a sink stalls.
func readiness(srv *server.Server) func(sink, reason string) {
	var mu sync.Mutex
	stalled := map[string]string{}
	return func(sink, reason string) {
		mu.Lock()
		defer mu.Unlock()
		delete(stalled, sink)
		if reason != "" {
			stalled[sink] = reason
		}
		for name, why := range stalled {
			srv.SetReady(false, "sink "+name+": "+why)
			return
		}
		srv.SetReady(true, "")
	}
}

// needsHTTP reports whether the pipeline serves something over HTTP.
func (e *engine) needsHTTP() bool {
	for _, n := range e.plan.Nodes {
		switch op := n.Op.(type) {
		case *plan.Source:
			if op.Connector == "http" {
				return true
			}
		case *plan.Sink:
			if op.Connector == "table" {
				return true
			}
		}
	}
	return false
}

// profiled runs f, under the CPU profiler when a file is named.
func profiled(file string, f func() error) error {
	if file == "" {
		return f()
	}
	w, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("create the CPU profile: %w", err)
	}
	if err := pprof.StartCPUProfile(w); err != nil {
		return errors.Join(fmt.Errorf("start the CPU profile: %w", err), w.Close())
	}
	err = f()
	pprof.StopCPUProfile()
	return errors.Join(err, w.Close())
}
