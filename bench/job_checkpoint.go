package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gorge-stream/gorge/bench/dataset"
)

// checkpoints is what checkpoints cost J1, which runs long enough to see several.
var checkpoints = job{"checkpoint", "J1 with checkpoints at intervals beside the same run without, and what each checkpoint takes", runCheckpoints}

// copies is how often the input is read: links to one file share the page cache.
const copies = 4

// intervals are the ones measured, with the most throughput that may be lost, in percent; 0: no goal.
var intervals = []struct {
	every time.Duration
	most  float64
}{{5 * time.Second, 5}, {time.Second, 10}, {250 * time.Millisecond, 0}}

const withoutCheckpoints = engineName + ", no checkpoints"

func runCheckpoints(ctx context.Context, e *env) ([]section, error) {
	f, err := dataset.Make(e.data, dataset.Set{Style: dataset.Plain, Events: 3 * e.events, Devices: devices})
	if err != nil {
		return nil, err
	}
	in, err := linked(e.data, f, copies)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(filepath.Dir(in.path))
	list, err := intervalContenders(e)
	if err != nil {
		return nil, err
	}
	d, err := probeDisk(e.data)
	if err != nil {
		return nil, err
	}
	all, err := contest(ctx, e, list, in)
	if err != nil {
		return nil, err
	}
	runs := results(all, in, withoutCheckpoints)
	return []section{{
		Title: fmt.Sprintf("J1 with checkpoints: %d events, %d devices, file to file", in.events, devices),
		Note: fmt.Sprintf("%d links to a file of %.0f MB, in the page cache, read side by side; every count and sum is compared with the oracle. Losses are medians over the rounds of the ratio to the run without in the same round. %v.",
			copies, float64(f.Bytes)/1e6, d),
		Reference: withoutCheckpoints, Runs: runs, Metrics: costs(all),
	}}, failures(runs)
}

// linked makes n links to the file of a dataset. Rows that come n times are as
// good a test of the result: all counts and sums are n-fold.
func linked(dir string, f dataset.Files, n int) (input, error) {
	in, err := open(f)
	if err != nil {
		return in, err
	}
	folder, err := os.MkdirTemp(dir, "links-")
	if err != nil {
		return in, err
	}
	for i := range n {
		if err := os.Link(f.Input, filepath.Join(folder, fmt.Sprintf("%d.ndjson", i))); err != nil {
			return in, err
		}
	}
	in.name = fmt.Sprintf("%s, %d times", in.name, n)
	in.path = filepath.Join(folder, "*.ndjson")
	in.events *= int64(n)
	in.oracle = in.oracle.Times(n)
	return in, nil
}

func intervalContenders(e *env) ([]contender, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	run := func(name string, more ...string) contender {
		argv := append([]string{e.gorge, "run", "bench/j1.yaml", "--log-level", "warn", "--data", filepath.Join(e.data, "checkpoints"), "--http", address}, more...)
		return contender{name: name, argv: argv, metrics: "http://" + address + "/metrics"}
	}
	list := []contender{run(withoutCheckpoints, "--checkpoint", "off")}
	for _, i := range intervals {
		list = append(list, run(engineName+", every "+i.every.String(), "--fresh", "--checkpoint", i.every.String()))
	}
	return list, nil
}

// costs are what the runs with checkpoints, those behind the first of all, lost
// against it, and what the engine says of its checkpoints.
func costs(all []*series) []metric {
	var out []metric
	off := all[0]
	for i, s := range all[1:] {
		if off.err != nil || s.err != nil {
			continue
		}
		var lost, cpu, each []float64
		for k := range s.wall {
			lost = append(lost, 100*(1-off.wall[k]/s.wall[k]))
			cpu = append(cpu, 100*(s.cpu[k]/off.cpu[k]-1))
			if n := taken(s.samples[k]); n > 0 {
				each = append(each, (s.cpu[k]-off.cpu[k])/n)
			}
		}
		at := ", every " + intervals[i].every.String()
		loss := metric{Name: "throughput lost" + at, Value: median(lost), Unit: "%"}
		if most := intervals[i].most; most > 0 {
			loss = atMost(loss.Name, loss.Value, loss.Unit, most)
		}
		lo, hi := minmax(lost)
		loss.Note = fmt.Sprintf("%s to %s", figure(lo), figure(hi))
		out = append(out, loss, metric{Name: "more CPU time" + at, Value: median(cpu), Unit: "%"})
		if len(each) == 0 {
			continue
		}
		out = append(out, metric{Name: "CPU time of a checkpoint" + at, Value: median(each), Unit: "ms", Note: "what the run took more than the one without, by its checkpoints; " +
			figure(100*median(each)/(ms(intervals[i].every)*float64(processors()))) + " % of the processors at this interval"})
		out = append(out, phases(s.samples, at)...)
	}
	return out
}

// taken is how many checkpoints a run has made.
func taken(s sample) float64 { return s["gorge_checkpoint_duration_seconds_count"] }

// phases are the figures that the engine has of its checkpoints.
func phases(samples []sample, at string) []metric {
	n := 0.0
	for _, s := range samples {
		n += taken(s)
	}
	note := fmt.Sprintf("%.0f checkpoints, both processors busy with the job", n)
	decided := 0.0
	for _, phase := range []string{"passing", "persisting", "deciding"} {
		decided += 1000 * histogramOf(samples, "gorge_checkpoint_phase_seconds", `phase="`+phase+`"`).mean()
	}
	pause := histogramOf(samples, "gorge_checkpoint_pause_seconds", "")
	size := samples[len(samples)-1]["gorge_checkpoint_bytes"] / 1e6
	return []metric{
		{Name: "barrier to decided" + at, Value: decided, Unit: "ms, mean", Note: note},
		{Name: "of which until all tasks have passed" + at, Value: 1000 * histogramOf(samples, "gorge_checkpoint_phase_seconds", `phase="passing"`).mean(), Unit: "ms, mean"},
		{Name: "pause of a task, p50" + at, Value: 1000 * pause.quantile(0.5), Unit: "ms", Note: "sources and sinks among them"},
		{Name: "pause of a task, p99" + at, Value: 1000 * pause.quantile(0.99), Unit: "ms"},
		{Name: "state written" + at, Value: size, Unit: "MB", Note: "by the last checkpoint"},
	}
}
