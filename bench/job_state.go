package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/gorge-stream/gorge/bench/dataset"
)

// stateSize is what an open window costs: J1's input arrives on standard input,
// which stays open, and the engine is asked by its metrics.
var stateSize = job{"state", "memory per key of an open window with count and average, by the engine's own metric and by its resident size", runState}

func runState(ctx context.Context, e *env) ([]section, error) {
	const events = 4_000_000
	f, err := dataset.Make(e.data, dataset.Set{Style: dataset.Plain, Events: events, Devices: devices})
	if err != nil {
		return nil, err
	}
	oracle, err := dataset.Load(f.Oracle)
	if err != nil {
		return nil, err
	}
	keys := oracle.Cells()
	bytes, rss, err := openWindow(ctx, e, f)
	if err != nil {
		return nil, err
	}
	return []section{{
		Title: "State of an open window",
		Note:  fmt.Sprintf("%d events of %d keys of 11 bytes in one window, count and average, before it closes.", events, keys),
		Metrics: []metric{
			atMost("state per key and window", bytes/float64(keys), "bytes", 72),
			{Name: "resident size of the engine with it", Value: rss, Unit: "MiB"},
		},
	}}, nil
}

// openWindow feeds the input, waits until all of it is in the window, and
// returns the size of the state and the resident size in MiB.
func openWindow(ctx context.Context, e *env, f dataset.Files) (bytes, rss float64, err error) {
	address, err := freeAddress()
	if err != nil {
		return 0, 0, err
	}
	in, err := os.Open(f.Input)
	if err != nil {
		return 0, 0, err
	}
	defer in.Close()
	cmd := exec.CommandContext(ctx, e.gorge, "run", "bench/j1.yaml", "--http", address, "--data", e.data, "--fresh", "--log-level", "error", "--quiet")
	cmd.Env = append(os.Environ(), "BENCH_IN=-", "BENCH_OUT="+filepath.Join(e.data, "out-state.csv"))
	cmd.Stderr = os.Stderr
	feed, err := cmd.StdinPipe()
	if err != nil {
		return 0, 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		err = errors.Join(err, feed.Close(), cmd.Wait())
	}()
	if _, err := io.Copy(feed, in); err != nil {
		return 0, 0, err
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		m, err := scrape(ctx, "http://"+address+"/metrics")
		if err != nil {
			return 0, 0, err
		}
		if max(m[`gorge_events_processed_total{kind="window"`], m[`gorge_events_processed_total{kind="combine"`]) < float64(f.Set.Events) {
			continue
		}
		return m["gorge_state_bytes{"], m["process_resident_memory_bytes"] / (1 << 20), nil
	}
	return 0, 0, errors.New("the engine did not take the input within a minute")
}
