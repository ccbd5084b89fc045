package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/gorge-stream/gorge/internal/delivery"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/plan"
)

// testFlags are the flags of gorge test.
type testFlags struct {
	crash, allowHTTP, keep bool
	seed                   uint64
	rounds                 int
	points                 []string
	set                    []string
}

func testCmd() *cobra.Command {
	f := &testFlags{}
	c := &cobra.Command{
		Use:   "test FILE --crash",
		Short: "Kill a pipeline again and again, and prove that its output is the same",
		Long: `Run a pipeline over its own input, kill it with SIGKILL at every step of a checkpoint
and at random moments, let it go on until the end, and compare what it wrote with
what it writes undisturbed: the same rows, no more and no less, and those of each key in
the same order where that is one file. The input has to end and to be readable again.

Nothing real is touched: data directory, checkpoints and files are in a temporary
directory, which stays when there is a difference. http sinks are refused, unless
--allow-http has them send to a receiver inside the test. Python functions run as they are.

  gorge test city.yaml --crash
  gorge test city.yaml --crash --rounds 100 --seed 7
  gorge test city.yaml --crash --rounds 0 --point job/manifest-claimed
  gorge test demo.yaml --crash --set sources.e.generate.events=200000 --set sources.e.generate.rate=0`,
		Args: exactly(1, "the pipeline file"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	c.Flags().BoolVar(&f.crash, "crash", false, "kill the pipeline (required: there is no other test yet)")
	c.Flags().Uint64Var(&f.seed, "seed", 1, "another seed kills at other moments")
	c.Flags().IntVar(&f.rounds, "rounds", 10, "runs that are killed at random moments")
	c.Flags().StringArrayVar(&f.points, "point", nil, "kill at this point only, as the table names it; may be repeated")
	c.Flags().BoolVar(&f.allowHTTP, "allow-http", false, "let http sinks send to a receiver inside the test")
	c.Flags().BoolVar(&f.keep, "keep", false, "keep the temporary directory in any case")
	setFlag(c, &f.set)
	return c
}

func (f *testFlags) run(cmd *cobra.Command, file string) error {
	if !f.crash {
		return usage(diag.New("crashtest/flag", "gorge test has one test so far: killing the pipeline").WithHint("gorge test %s --crash", file))
	}
	if f.rounds < 0 {
		return usage(diag.New("crashtest/flag", "--rounds is a number of runs, not %d", f.rounds).WithHint("leave it out for 10"))
	}
	if file == "-" {
		return usage(diag.New("crashtest/flag", "the pipeline is run many times, so that it cannot come from standard input").WithHint("write it to a file"))
	}
	p, warnings, err := readPipeline(cmd.InOrStdin(), file, f.set, lifeInterval)
	warn(cmd.ErrOrStderr(), warnings)
	if err != nil {
		return err
	}
	if err := f.check(p); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	t, err := f.newCrashTest(cmd, p, file)
	if err != nil {
		return err
	}
	defer t.close()
	err = t.run(ctx)
	var code *exitError
	if f.keep || errors.As(err, &code) && code.code == exitFailed && ctx.Err() == nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "all that was written is in %s\n", t.dir)
		return err
	}
	if gone := os.RemoveAll(t.dir); err == nil {
		err = gone
	}
	if ctx.Err() != nil {
		return failed(diag.New("crashtest/interrupted", "the test was interrupted: nothing is proven"))
	}
	return err
}

// check refuses pipelines of which two runs cannot be compared.
func (f *testFlags) check(p *plan.Plan) error {
	compared := false
	for _, n := range p.Nodes {
		switch op := n.Op.(type) {
		case *plan.Source:
			if err := checkSource(n, op); err != nil {
				return err
			}
		case *plan.Sink:
			if op.Connector == "http" && !f.allowHTTP {
				return diag.New("crashtest/http", "the sink %s would send its rows to somebody many times", n.Name).At(n.Place).
					WithHint("--allow-http has it send to a receiver inside the test instead")
			}
			compared = compared || op.Connector != "null" && !plan.IsDeadLetters(n)
		}
	}
	if !compared {
		return diag.New("crashtest/nothing", "the pipeline has no output that could be compared").WithHint("give it a sink file, table or stdout")
	}
	return nil
}

// checkSource refuses sources that have no end, or give something else each time.
func checkSource(n *plan.Node, op *plan.Source) error {
	reg := connectors[op.Connector]
	set := "--set sources." + n.Name + ".generate."
	switch {
	case op.Connector == "generate" && op.Set.Int("events") == 0:
		return diag.New("crashtest/unbounded", "the source %s has no end", n.Name).At(n.Place).WithHint("give it one for the test: %sevents=100000", set)
	case op.Connector == "generate" && op.Set.Int("rate") > 0:
		return diag.New("crashtest/clock", "the source %s makes rows by the clock, so that no two runs are the same", n.Name).At(n.Place).
			WithHint("let it make them as fast as they are taken: %srate=0", set)
	case reg.Unbounded != nil && reg.Unbounded(op.Set):
		return diag.New("crashtest/unbounded", "the source %s has no end", n.Name).At(n.Place).WithHint("test with a copy of the pipeline that reads a file")
	case reg.SourcePromise != nil && reg.SourcePromise(op.Set).Guarantee <= delivery.AtMostOnce:
		return diag.New("crashtest/unrepeatable", "the source %s cannot be read again", n.Name).At(n.Place).WithHint("test with a copy of the pipeline that reads a file")
	}
	return nil
}

// crashTest is one test.
type crashTest struct {
	*testFlags
	cmd    *cobra.Command
	plan   *plan.Plan
	file   string
	binary string
	dir    string
	random *rand.Rand // of the trial under way
	// http receives what http sinks send; base is its URL.
	http *receivers
	srv  *http.Server
	base string
	took time.Duration // an undisturbed run
	want map[string]written
}

func (f *testFlags) newCrashTest(cmd *cobra.Command, p *plan.Plan, file string) (*crashTest, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the own binary: %w", err)
	}
	dir, err := os.MkdirTemp("", "gorge-crash-")
	if err != nil {
		return nil, diag.New("crashtest/directory", "there is no room for the test").WithCause(err).WithHint("point TMPDIR to a directory with room")
	}
	t := &crashTest{testFlags: f, cmd: cmd, plan: p, file: file, binary: binary, dir: dir}
	if f.allowHTTP {
		return t, t.listen(cmd.Context())
	}
	return t, nil
}

// listen starts the receiver of http sinks.
func (t *crashTest) listen(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for http sinks: %w", err)
	}
	t.http = &receivers{bySink: map[string]*received{}}
	t.srv = &http.Server{Handler: t.http, ReadHeaderTimeout: 5 * time.Second}
	t.base = "http://" + l.Addr().String()
	go t.srv.Serve(l) //nolint:errcheck // it ends with ErrServerClosed
	return nil
}

func (t *crashTest) close() {
	if t.srv != nil {
		_ = t.srv.Close() // nobody reads its answers any more
	}
}

// run does the whole test.
func (t *crashTest) run(ctx context.Context) error {
	out := t.cmd.OutOrStdout()
	points, err := t.undisturbed(ctx)
	if err != nil {
		return err
	}
	if points, err = t.choose(points); err != nil {
		return err
	}
	width := len("random moments")
	for _, p := range points {
		width = max(width, len(p))
	}
	fmt.Fprintf(out, "%-*s  %5s  %s\n", width, "POINT", "KILLS", "RESULT")
	kills, different := 0, 0
	trial := func(name, shown string, fate func(n int) (point string, after time.Duration)) error {
		hash := fnv.New64a()
		_, _ = hash.Write([]byte(name + shown)) // it takes everything
		t.random = rand.New(rand.NewPCG(t.seed, hash.Sum64()))
		k, diff, err := t.trial(ctx, name, fate)
		if err != nil {
			return err
		}
		kills += k
		result := "equal"
		if diff != "" {
			different++
			result = diff + " (" + filepath.Join(t.dir, name) + ")"
		}
		fmt.Fprintf(out, "%-*s  %5d  %s\n", width, shown, k, result)
		return nil
	}
	for _, p := range points {
		if err := trial(strings.ReplaceAll(p, "/", "-"), p, t.atPoint(p)); err != nil {
			return err
		}
	}
	for i := range t.rounds {
		if err := trial(fmt.Sprintf("random-%03d", i+1), "random moments", t.atRandom()); err != nil {
			return err
		}
	}
	if different > 0 {
		return failed(diag.New("crashtest/different", "the output differs in %d of %d runs that were killed", different, len(points)+t.rounds).
			WithHint("the same kills again: --seed %d; look at the files named above and at %s", t.seed, filepath.Join(t.dir, "undisturbed")))
	}
	fmt.Fprintf(out, "\nproven equal: %d kills, at %d points and in %d random rounds: the pipeline %s writes what it writes undisturbed (seed %d)\n",
		kills, len(points), t.rounds, t.plan.Name, t.seed)
	return nil
}

// choose returns the points that --point names, all without it.
func (t *crashTest) choose(passed []string) ([]string, error) {
	if len(t.points) == 0 {
		return passed, nil
	}
	for _, p := range t.points {
		if !slices.Contains(passed, p) {
			return nil, usage(diag.New("crashtest/point", "the pipeline does not come by a point %q", p).
				WithHint("the table of a test without --point names those that it comes by"))
		}
	}
	return t.points, nil
}
