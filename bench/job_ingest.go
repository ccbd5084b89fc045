package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/gorge-stream/gorge/bench/dataset"
	"github.com/gorge-stream/gorge/bench/verify"
	"github.com/gorge-stream/gorge/internal/workload"
)

// ingest posts J1's events in batches of 100, with the journal that makes them
// durable before the answer and, without checkpoints, without it.
var ingest = job{"ingest", "HTTP in batches of 100, on the disk before the answer, beside the same without; every event found back", runIngest}

const (
	perRequest    = 100
	ingestClients = 64
	ingestTimes   = 4 // how often the input is posted
	ingestEvents  = 2_500_000
)

// ingestWay is a contender: the flags and what its rounds gave.
type ingestWay struct {
	name    string
	flags   []string
	goal    float64   // for rate; 0: none
	rate    []float64 // M events/s
	cpu     []float64 // of the engine, us per request
	answers []distribution
	retries int64
}

func runIngest(ctx context.Context, e *env) ([]section, error) {
	f, err := dataset.Make(e.data, dataset.Set{Style: dataset.Plain, Events: ingestEvents, Devices: devices})
	if err != nil {
		return nil, err
	}
	in, err := open(f)
	if err != nil {
		return nil, err
	}
	in.events *= ingestTimes
	in.oracle = in.oracle.Times(ingestTimes)
	bodies, err := cutLines(f.Input, perRequest)
	if err != nil {
		return nil, err
	}
	d, err := probeDisk(e.data)
	if err != nil {
		return nil, err
	}
	// The journal keeps what three checkpoints need: with one every 5 s and a limit of
	// 1 GiB, which are the defaults, it fills up.
	ways := []*ingestWay{
		{name: "journal", goal: 2, flags: []string{"--checkpoint", "1s"}},
		{name: "journal, defaults"},
		{name: "memory", flags: []string{"--checkpoint", "off"}},
	}
	for round := range e.rounds {
		for i := range ways {
			w := ways[(i+round)%len(ways)]
			if err := w.round(ctx, e, in, bodies); err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	s := section{
		Title: fmt.Sprintf("Ingest over HTTP: %d events in batches of %d, counted and averaged by device", in.events, perRequest),
		Note: fmt.Sprintf("%d connections of the benchmark, which shares the %d processors; medians of %d rounds in turn. With the journal, which comes with checkpoints (here every second), a request is synced before 202. "+
			"Every event is found back: all counts and sums are compared with the oracle. %v.", ingestClients, processors(), e.rounds, d),
	}
	for _, w := range ways {
		s.Metrics = append(s.Metrics, w.metrics()...)
	}
	var ratio []float64
	for k := range ways[0].rate {
		ratio = append(ratio, ways[0].rate[k]/ways[len(ways)-1].rate[k])
	}
	s.Metrics = append(s.Metrics, metric{Name: "journal over memory", Value: median(ratio), Unit: "x", Note: "events/s, median of the rounds"})
	return []section{s}, nil
}

func (w *ingestWay) metrics() []metric {
	var p50, p99 []float64
	for _, a := range w.answers {
		p50, p99 = append(p50, ms(a.p50)), append(p99, ms(a.p99))
	}
	lo, hi := minmax(w.rate)
	rate := metric{Name: w.name + ": accepted", Value: median(w.rate), Unit: "M events/s"}
	if w.goal > 0 {
		met := rate.Value >= w.goal
		rate.Goal, rate.Met = "at least "+figure(w.goal), &met
	}
	rate.Note = fmt.Sprintf("%s to %s; %d requests were sent again after 429", figure(lo), figure(hi), w.retries)
	return []metric{
		rate,
		{Name: w.name + ": answer, p50", Value: median(p50), Unit: "ms"},
		{Name: w.name + ": answer, p99", Value: median(p99), Unit: "ms"},
		{Name: w.name + ": CPU time of the engine", Value: median(w.cpu), Unit: "us a request", Note: "decoding and windows among it"},
	}
}

// round starts an engine, posts everything, stops it and compares what came out.
func (w *ingestWay) round(ctx context.Context, e *env, in input, bodies [][]byte) (err error) {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(e.data, "ingest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, e.gorge, append([]string{"run", "bench/ingest.yaml", "--http", address, "--data", filepath.Join(dir, "data"), "--quiet", "--log-level", "error"}, w.flags...)...)
	cmd.Env = append(os.Environ(), "BENCH_OUT="+out+"/")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	defer cmd.Process.Kill() //nolint:errcheck // it has ended already when all went well
	if err := waitReady(ctx, "http://"+address+"/readyz"); err != nil {
		return err
	}
	begin := time.Now()
	took, retries, err := postAll(ctx, address, bodies, ingestTimes)
	wall := time.Since(begin)
	if err != nil {
		return err
	}
	cpu, err := cpuTime(cmd.Process.Pid)
	if err != nil {
		return err
	}
	if err := closeWindow(ctx, address, in); err != nil {
		return err
	}
	if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()); err != nil {
		return err
	}
	if err := verifyParts(out, in.oracle); err != nil {
		return err
	}
	w.rate = append(w.rate, float64(in.events)/wall.Seconds()/1e6)
	w.cpu = append(w.cpu, float64(cpu.Microseconds())/float64(len(took)))
	w.answers = append(w.answers, summarise(took))
	w.retries += retries
	e.log("   %-18s %.2f M events/s, every event verified", w.name, w.rate[len(w.rate)-1])
	return nil
}

// cutLines cuts a file into bodies of n lines.
func cutLines(name string, n int) ([][]byte, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for len(text) > 0 {
		end := 0
		for range n {
			i := bytes.IndexByte(text[end:], '\n')
			if i < 0 {
				end = len(text)
				break
			}
			end += i + 1
		}
		out = append(out, text[:end])
		text = text[end:]
	}
	return out, nil
}

// postAll posts all bodies a number of times over many connections, and returns
// how long each request took and how many were sent again.
func postAll(ctx context.Context, address string, bodies [][]byte, times int) (took []time.Duration, retries int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all := make([]poster, ingestClients)
	errs := make([]error, ingestClients)
	var wg sync.WaitGroup
	for c := range all {
		wg.Go(func() {
			if errs[c] = all[c].run(ctx, address, bodies, c, times); errs[c] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	for _, p := range all {
		took = append(took, p.took...)
		retries += p.retries
	}
	return took, retries, errors.Join(errs...)
}

// closeWindow waits until all events are in the window, closes it by a late
// enough event, and waits until its rows have been passed on.
func closeWindow(ctx context.Context, address string, in input) error {
	url := "http://" + address + "/metrics"
	marker := fmt.Sprintf(`{"device_id":"dev-9999999","ts":%d,"temperature":0}`+"\n", workload.DefaultStart+60_000)
	rows := in.oracle.Cells()
	sent := false
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		m, err := readMetrics(ctx, url)
		if err != nil {
			return err
		}
		switch {
		case !sent && m[`gorge_events_emitted_total{kind="source",node="events"}`] >= float64(in.events):
			if err := new(poster).run(ctx, address, [][]byte{[]byte(marker)}, 0, 1); err != nil {
				return err
			}
			sent = true
		case sent && m[`gorge_events_emitted_total{kind="where",node="known"}`] >= float64(rows):
			return nil
		}
	}
	return errors.New("the window did not close within a minute")
}

// verifyParts compares the parts of a folder, each with a header, with the oracle.
func verifyParts(dir string, o *dataset.Oracle) error {
	names, err := filepath.Glob(filepath.Join(dir, "*.csv"))
	if err != nil {
		return err
	}
	var text bytes.Buffer
	for i, name := range names {
		part, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if i > 0 {
			_, part, _ = bytes.Cut(part, []byte("\n"))
		}
		text.Write(part)
	}
	r, err := verify.Reader(&text, o)
	if err != nil {
		return fmt.Errorf("%d parts: %w", len(names), err)
	}
	return r.Err()
}

// head is the head of a request with a body of n bytes.
func head(n int) []byte {
	return []byte("POST /ingest/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: " + strconv.Itoa(n) + "\r\n\r\n")
}
