package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gorge-stream/gorge/bench/verify"
	"github.com/gorge-stream/gorge/internal/workload"
)

// recovery kills the engine with 500,000 keys in its state, starts it again, and
// takes the time until rows are out that go on from them. Each run then goes on to
// its end, and all rows of both are compared with the oracle.
var recovery = job{"restart", "SIGKILL with 500,000 keys, start, time until the first rows that go on from them", runRecovery}

const (
	recoveryPlace  = "bench/restart.yaml"
	recoveryEvents = 40_000_000
	recoveryKilled = 16_000_000 // events at least; one key in 10^8 has none by then
)

func runRecovery(ctx context.Context, e *env) ([]section, error) {
	d, err := probeDisk(e.data)
	if err != nil {
		return nil, err
	}
	want, err := runningOracle(recoveryEvents)
	if err != nil {
		return nil, err
	}
	s := section{
		Title: "Restart after SIGKILL",
		Note: fmt.Sprintf("Running count and sum of %d keys, generated; killed behind %d of %d events. From exec; every row of both runs is compared with the oracle. %v.",
			devices, recoveryKilled, recoveryEvents, d),
	}
	// The default interval is no contender: with it the first output waits for the interval.
	for _, every := range []string{"250ms", "1s"} {
		var ready, first []float64
		for range e.rounds {
			r, err := restartOnce(ctx, e, every, want)
			if err != nil {
				return []section{s}, err
			}
			e.log("   every %s: ready %.0f ms, first row %.0f ms, %d rows verified", every, ms(r.ready), ms(r.first), r.rows)
			ready, first = append(ready, ms(r.ready)), append(first, ms(r.first))
		}
		lo, hi := minmax(first)
		out := metric{Name: "restart to first output, checkpoints every " + every, Value: median(first), Unit: "ms"}
		if every == "250ms" {
			out = atMost(out.Name, out.Value, out.Unit, 1000)
		}
		out.Note = fmt.Sprintf("%d of %d verified; %.0f to %.0f", len(first), e.rounds, lo, hi)
		s.Metrics = append(s.Metrics, out, metric{Name: "restart to ready, state loaded, checkpoints every " + every, Value: median(ready), Unit: "ms"})
	}
	return []section{s}, nil
}

// runningOracle is every row that must come out, with the numbers of each device ascending.
func runningOracle(events int64) (*verify.Running, error) {
	g, err := workload.New(workload.Config{Seed: 1, Devices: devices, Rate: 1_000_000, Start: workload.DefaultStart})
	if err != nil {
		return nil, err
	}
	out := verify.NewRunning(devices)
	batch := workload.NewEvents(4096)
	for i := int64(0); i < events; i += int64(batch.N) {
		g.Fill(batch, i, int(min(int64(batch.Cap()), events-i)))
		for k := range batch.N {
			out.Add(batch.Device[k], int64(batch.AirQuality[k]), batch.AirQuality[k] < filterBelow)
		}
	}
	return out, nil
}

// restart is one of them.
type restart struct {
	ready, first time.Duration
	rows         int64
}

func restartOnce(ctx context.Context, e *env, every string, want *verify.Running) (r restart, err error) {
	address, err := freeAddress()
	if err != nil {
		return r, err
	}
	dir, err := os.MkdirTemp(e.data, "restart-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		return r, err
	}
	run := func() *exec.Cmd {
		cmd := exec.CommandContext(ctx, e.gorge, "run", recoveryPlace, "--http", address, "--data", filepath.Join(dir, "data"), "--checkpoint", every, "--quiet", "--log-level", "error")
		cmd.Env = append(os.Environ(), fmt.Sprint("BENCH_EVENTS=", recoveryEvents), "BENCH_OUT="+out+"/")
		cmd.Stderr = os.Stderr
		return cmd
	}
	if err := killBehind(ctx, run(), "http://"+address+"/metrics"); err != nil {
		return r, err
	}
	decided, err := lastNumber(filepath.Join(dir, "data", "checkpoints", "manifests"), "", 16)
	if err != nil {
		return r, err
	}
	cmd := run()
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return r, err
	}
	defer cmd.Process.Kill() //nolint:errcheck // it has ended already when all went well
	ready := make(chan error, 1)
	go func() {
		err := waitReady(ctx, "http://"+address+"/readyz")
		r.ready = time.Since(begin)
		ready <- err
	}()
	// Parts up to the decided epoch are the work of the run that was killed.
	err = waitPart(ctx, out, decided)
	r.first = time.Since(begin)
	if err = errors.Join(err, <-ready); err != nil {
		return r, err
	}
	if err := cmd.Wait(); err != nil {
		return r, err
	}
	r.rows, err = want.Folder(out)
	return r, err
}

// killBehind runs the engine until it has taken enough events and decided a checkpoint behind them.
func killBehind(ctx context.Context, cmd *exec.Cmd, url string) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	enough := -1.0 // the epoch then
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		m, err := scrape(ctx, url)
		if err != nil {
			continue // it is not there yet
		}
		epoch := m["gorge_checkpoint_epoch"]
		switch {
		case enough < 0 && m[`gorge_events_processed_total{kind="running"`] >= recoveryKilled:
			enough = epoch
		case enough >= 0 && epoch > enough+1: // the one under way then may have begun before
			return nil
		}
	}
	return errors.New("the engine did not get that far within a minute")
}

// waitPart waits for a part of an epoch behind the given one.
func waitPart(ctx context.Context, dir string, behind uint64) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(time.Millisecond) {
		n, err := lastNumber(dir, "part-", 10)
		if err != nil || n > behind {
			return err
		}
	}
	return errors.New("no output within a minute")
}

// lastNumber returns the largest number that stands behind prefix in the names of a folder.
func lastNumber(dir, prefix string, base int) (uint64, error) {
	all, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	last := uint64(0)
	for _, f := range all {
		rest, ok := strings.CutPrefix(f.Name(), prefix)
		if !ok {
			continue
		}
		digits, _, _ := strings.Cut(rest, "-")
		if n, err := strconv.ParseUint(digits, base, 64); err == nil {
			last = max(last, n)
		}
	}
	return last, nil
}
