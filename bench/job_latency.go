package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorge-stream/gorge/internal/workload"
)

// latency measures generate -> filter -> standard output at half of the highest
// rate, open loop: from when an event was due by the schedule to when its row
// was read here. A probe beside it measures how late this machine wakes sleepers.
var latency = job{"latency", "stateless latency at half load, by an open-loop schedule, beside the host's own hiccups", runLatency}

const (
	probeEvents  = 20_000_000 // of the run that finds the highest rate
	latencyFor   = 5 * time.Second
	latencyWarm  = time.Second // left out of the figures
	filterBelow  = 5           // the filter of latency.yaml: air_quality < 5
	latencyPlace = "bench/latency.yaml"
)

func runLatency(ctx context.Context, e *env) ([]section, error) {
	u, err := runProgram(ctx, []string{"BENCH_RATE=0", fmt.Sprint("BENCH_EVENTS=", probeEvents), "BENCH_OUT=/dev/null"}, e.gorge, "run", "--checkpoint", "off", latencyPlace, "--http", "off", "--quiet", "--data", e.data)
	if err != nil {
		return nil, err
	}
	highest := probeEvents / u.Wall.Seconds()
	s := section{
		Title: "Latency: generate, filter, standard output",
		Note: fmt.Sprintf("Highest rate %.1f M events/s. From the scheduled time of an event to the read of its row, %v after a second of warm-up; the reader and the probe run on the same %d processors.",
			highest/1e6, latencyFor-latencyWarm, processors()),
	}
	for _, load := range []float64{0.1, 0.5} {
		rate := int64(highest * load)
		row, host, err := latencyAt(ctx, e, rate)
		if err != nil {
			return []section{s}, err
		}
		at := fmt.Sprintf(" at %.0f %% load (%.1f M/s)", load*100, float64(rate)/1e6)
		bound := 1 + ms(host.p99)
		met := ms(row.p99) <= bound
		s.Metrics = append(s.Metrics,
			metric{Name: "p50" + at, Value: ms(row.p50), Unit: "ms"},
			metric{Name: "p99" + at, Value: ms(row.p99), Unit: "ms", Goal: fmt.Sprintf("at most 1 + the host's %s", figure(ms(host.p99))), Met: &met, Note: fmt.Sprintf("%d rows", row.n)},
			metric{Name: "p99.9" + at, Value: ms(row.p999), Unit: "ms"},
			metric{Name: "host: p99 of a 1 ms sleep" + at, Value: ms(host.p99), Unit: "ms over"},
		)
	}
	return []section{s}, nil
}

// distribution is what is kept of a set of durations.
type distribution struct {
	n              int
	p50, p99, p999 time.Duration
}

func summarise(d []time.Duration) distribution {
	if len(d) == 0 {
		return distribution{}
	}
	slices.Sort(d)
	at := func(q float64) time.Duration { return d[min(len(d)-1, int(q*float64(len(d))))] }
	return distribution{len(d), at(0.5), at(0.99), at(0.999)}
}

// latencyAt runs the pipeline by the clock and reads its rows as they come.
func latencyAt(ctx context.Context, e *env, rate int64) (rows, host distribution, err error) {
	events := int64(float64(rate) * latencyFor.Seconds())
	due, err := passing(rate, events)
	if err != nil {
		return rows, host, err
	}
	cmd := exec.CommandContext(ctx, e.gorge, "run", "--checkpoint", "off", latencyPlace, "--http", "off", "--quiet", "--log-level", "error", "--data", e.data)
	cmd.Env = append(os.Environ(), "BENCH_RATE="+strconv.FormatInt(rate, 10), "BENCH_EVENTS="+strconv.FormatInt(events, 10), "BENCH_OUT=/dev/stdout")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return rows, host, err
	}
	if err := cmd.Start(); err != nil {
		return rows, host, err
	}
	stop := make(chan struct{})
	var probe sync.WaitGroup
	probe.Go(func() { host = summarise(hiccups(stop)) })
	late, err := readRows(out, due)
	close(stop)
	probe.Wait()
	if err = errors.Join(err, cmd.Wait()); err != nil {
		return rows, host, err
	}
	return summarise(late), host, nil
}

// passing returns when the events are due that pass the filter, from the start:
// the generator is a function of the number of an event, and so is its filter.
func passing(rate, events int64) ([]time.Duration, error) {
	g, err := workload.New(workload.Config{Seed: 1, Devices: 100_000, Rate: rate, Start: workload.DefaultStart})
	if err != nil {
		return nil, err
	}
	var due []time.Duration
	batch := workload.NewEvents(4096)
	for i := int64(0); i < events; i += int64(batch.N) {
		g.Fill(batch, i, int(min(int64(batch.Cap()), events-i)))
		for k := range batch.N {
			if batch.AirQuality[k] < filterBelow {
				due = append(due, workload.Offset(i+int64(k), rate))
			}
		}
	}
	return due, nil
}

// readRows reads {"ts":MS} lines; row k is the k-th event that passes. The
// schedule begins at the millisecond that event 0 carries, which follows from
// the first row.
func readRows(r io.Reader, due []time.Duration) ([]time.Duration, error) {
	lines := bufio.NewReaderSize(r, 1<<20)
	var late []time.Duration
	var zero time.Time
	for k := 0; ; k++ {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			if k != len(due) {
				return nil, fmt.Errorf("%d rows, want %d", k, len(due))
			}
			return late, nil
		}
		if err != nil {
			return nil, err
		}
		now := time.Now()
		if k >= len(due) {
			return nil, fmt.Errorf("more than %d rows", len(due))
		}
		if k == 0 {
			ts, err := strconv.ParseInt(strings.Trim(string(line), "{}\"ts: \n"), 10, 64)
			if err != nil {
				return nil, fmt.Errorf("row %q: %w", line, err)
			}
			zero = time.UnixMilli(ts - due[0].Milliseconds())
		}
		if due[k] > latencyWarm {
			late = append(late, now.Sub(zero.Add(due[k])))
		}
	}
}

// hiccups sleeps for a millisecond again and again and returns by how much each
// sleep was too long.
func hiccups(stop <-chan struct{}) []time.Duration {
	var over []time.Duration
	for {
		select {
		case <-stop:
			return over
		default:
		}
		begin := time.Now()
		time.Sleep(time.Millisecond)
		over = append(over, time.Since(begin)-time.Millisecond)
	}
}
