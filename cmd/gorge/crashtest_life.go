package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/failpoint"
)

const (
	// lifeInterval is the time between checkpoints in the test: the least there is, so
	// that there are many to be killed at.
	lifeInterval = "50ms"
	// maxKills bounds the kills of one trial; from then on it is left alone.
	maxKills = 5
	// pointKills is how often a trial is killed at its failpoint.
	pointKills = 2
)

// trialDir is the directory of one run from its start to its end, through all its lives.
type trialDir struct {
	name, path string
}

func (d trialDir) data() string    { return filepath.Join(d.path, "data") }
func (d trialDir) outputs() string { return filepath.Join(d.path, "out") }
func (d trialDir) stdout() string  { return filepath.Join(d.path, "stdout") }

func (t *crashTest) newTrial(name string) (trialDir, error) {
	d := trialDir{name, filepath.Join(t.dir, name)}
	return d, os.MkdirAll(d.outputs(), 0o700)
}

// undisturbed runs the pipeline twice to its end, and returns the failpoints that it came by.
func (t *crashTest) undisturbed(ctx context.Context) ([]string, error) {
	trace := filepath.Join(t.dir, "points")
	for i, name := range []string{"undisturbed", "undisturbed-again"} {
		d, err := t.newTrial(name)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		if _, err := t.live(ctx, d, life{parallelism: 1 + 2*i, trace: trace}); err != nil {
			return nil, err
		}
		t.took = time.Since(began)
		got, err := t.collect(d)
		if err != nil {
			return nil, err
		}
		if t.want == nil {
			t.want = got
		} else if diff := t.difference(got); diff != "" {
			return nil, failed(diag.New("crashtest/unsteady", "two undisturbed runs differ, so that nothing can be compared: %s", diff).
				WithHint("a function that is random or asks for the time, or input that changes, makes every run another one"))
		}
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		return nil, fmt.Errorf("read which points were passed: %w", err)
	}
	var points []string
	for _, p := range strings.Fields(string(text)) {
		if !slices.Contains(points, p) {
			points = append(points, p)
		}
	}
	return points, nil
}

// atPoint kills the first lives at a failpoint, the later of them at a later hit.
func (t *crashTest) atPoint(point string) func(int) (string, time.Duration) {
	return func(n int) (string, time.Duration) {
		if n >= pointKills {
			return "", 0
		}
		return fmt.Sprintf("%s=%d", point, 1+n*t.random.IntN(3)), 0
	}
}

// atRandom kills at random moments of what an undisturbed run takes.
func (t *crashTest) atRandom() func(int) (string, time.Duration) {
	return func(n int) (string, time.Duration) {
		if n >= maxKills {
			return "", 0
		}
		return "", time.Duration(1 + t.random.Int64N(int64(t.took)*2/3))
	}
}

// trial runs the pipeline through the lives that fate gives it, until it has come
// to its end, and compares the output.
func (t *crashTest) trial(ctx context.Context, name string, fate func(n int) (string, time.Duration)) (kills int, diff string, err error) {
	d, err := t.newTrial(name)
	if err != nil {
		return 0, "", err
	}
	for n := 0; ; n++ {
		point, after := fate(n)
		killed, err := t.live(ctx, d, life{parallelism: 1 + t.random.IntN(3), point: point, after: after})
		if err != nil {
			return kills, "", err
		}
		if !killed {
			break
		}
		kills++
	}
	got, err := t.collect(d)
	if err != nil {
		return kills, "", err
	}
	if diff = t.difference(got); diff == "" && !t.keep {
		err = os.RemoveAll(d.path)
	}
	return kills, diff, err
}

// life is what happens to one process.
type life struct {
	parallelism int
	point       string        // failpoint that kills it, "" for none
	after       time.Duration // killed then, 0 for never
	trace       string        // file for the names of the points that it passes
}

// live runs the pipeline until it ends or is killed.
func (t *crashTest) live(ctx context.Context, d trialDir, l life) (killed bool, err error) {
	stdout, err := os.OpenFile(d.stdout(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, stdout.Close(), wholeLines(d.stdout())) }()
	log, err := os.OpenFile(filepath.Join(d.path, "log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	args := []string{"run", t.file, "--http", "off", "--quiet", "--log-level", "warn", "--checkpoint", lifeInterval,
		"--data", d.data(), "--outputs", d.outputs(), "--receiver", t.base + "/" + d.name, "-p", strconv.Itoa(l.parallelism)}
	for _, s := range t.set {
		args = append(args, "--set", s)
	}
	begun, err := log.Seek(0, 2)
	if err != nil {
		return false, err
	}
	c := exec.CommandContext(ctx, t.binary, args...)
	c.Stdout, c.Stderr = stdout, log
	c.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, failpoint.Variable+"=") || strings.HasPrefix(v, failpoint.TraceVariable+"=")
	})
	if l.point != "" {
		c.Env = append(c.Env, failpoint.Variable+"="+l.point)
	}
	if l.trace != "" {
		c.Env = append(c.Env, failpoint.TraceVariable+"="+l.trace)
	}
	if err := c.Start(); err != nil {
		return false, fmt.Errorf("start %s: %w", t.binary, err)
	}
	if l.after > 0 {
		timer := time.AfterFunc(l.after, func() { _ = c.Process.Kill() }) // it may have ended
		defer timer.Stop()
	}
	err = c.Wait()
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if status, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL && (l.point != "" || l.after > 0) {
		return true, nil
	}
	if err != nil {
		return false, failed(t.ended(err, log, begun))
	}
	return false, nil
}

// ended tells why a life ended by itself before the end of the input.
func (t *crashTest) ended(err error, log *os.File, begun int64) error {
	const most = 4000
	said := make([]byte, most)
	n, _ := log.ReadAt(said, begun)
	return diag.New("crashtest/failed", "the pipeline failed by itself").WithCause(fmt.Errorf("%w\n%s", err, bytes.TrimSpace(said[:n]))).
		WithHint("gorge run %s shows the same without the test, if it has nothing to do with kills", t.file)
}

// wholeLines cuts off a last line that a kill cut short.
func wholeLines(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.Truncate(path, int64(bytes.LastIndexByte(text, '\n')+1))
}
