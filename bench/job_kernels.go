package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// kernels runs the Go benchmarks that stand beside the code and collects their rows.
var kernels = job{"kernels", "the Go benchmarks of single parts: decoding, state, windows, transport, tables", runKernels}

// goal is what one figure of one benchmark has to reach.
type goal struct {
	benchmark string // pattern of "package BenchmarkName"
	unit      string
	most      float64 // or, when least is set, at least that
	least     float64
	what      string
}

// goals are those of the engine's first release; a figure without a goal is shown all the same.
var goals = []goal{
	{benchmark: "^job Cores$", unit: "x-2cores", least: 1.8, what: "pre-decoded input, key, window, null sink: two cores over one"},
	{benchmark: "^job WindowClose$", unit: "ms-worst", most: 100, what: "500,000 windows close at once and reach a null sink"},
	{benchmark: "^connector/table UpsertWindow/sink$", unit: "Mrows/s", least: 1, what: "table upserts of a closed window"},
	{benchmark: "^connector/http Ingest/journal$", unit: "Mevents/s", least: 2, what: "batches of 100 events over HTTP, on the disk before the answer, all read back"},
	{benchmark: "^job Checkpoint/.*=100%$", unit: "p50-ms-decided", most: 100, what: "500,000 windows, from the first cut to the decision, all of it synced; to the goal comes the time of fsync"},
	{benchmark: "^job Checkpoint/", unit: "p50-pause-us", most: 1000, what: "for how long a task with state copies: 500,000 keys in the job"},
	{benchmark: "^snapshot Delta$", unit: "x-changed-bytes", most: 1.5, what: "bytes written over those of changed records, 10,000,000 keys, 5 % changed"},
	{benchmark: "^udf/python Call/workers=1/rows=1024$", unit: "ns/row", most: 8, what: "a NumPy call of 1,024 rows, transport and function"},
	{benchmark: "^udf/python Latency$", unit: "p50-us", most: 30, what: "latency that a Python call adds to a batch"},
}

// durabilityBenchmarks are those that need the disk or much memory; they have a table of their own.
const durabilityBenchmarks = "^Benchmark(Checkpoint|Delta|Epoch|Ingest)$"

// durability runs the Go benchmarks of what is durable.
var durability = job{"durable", "the Go benchmarks of checkpoints, incremental state, tables in epochs and the journal, with the disk's own fsync", func(ctx context.Context, e *env) ([]section, error) {
	s, err := benchmarks(ctx, e, "-bench", durabilityBenchmarks, "./internal/job", "./internal/snapshot", "./internal/connector/table", "./internal/connector/http")
	s.Title = "Durable parts"
	s.Note = "`go test -bench 'Checkpoint, Delta, Epoch, Ingest' -benchtime 300ms`; what was written is read back and compared. Those with a goal come first; p50-fsync and p99-fsync are of 4 KiB on this disk, in the same minute."
	return []section{s}, err
}}

func runKernels(ctx context.Context, e *env) ([]section, error) {
	s, err := benchmarks(ctx, e, "-bench", ".", "-skip", durabilityBenchmarks, "./internal/...")
	s.Title = "Parts"
	s.Note = "`go test -bench . -benchtime 300ms ./internal/...` but for the durable parts, one run each, both processors at the Go scheduler's disposal. Those with a goal come first."
	return []section{s}, err
}

// benchmarks runs go test and collects the figures, those with a goal first.
func benchmarks(ctx context.Context, e *env, args ...string) (section, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-run", "^$", "-benchtime", "300ms"}, args...)...)
	cmd.Env = append(os.Environ(), "GORGE_PYTHON="+os.Getenv("GORGE_PYTHON"))
	out, err := cmd.Output()
	if err != nil {
		return section{}, fmt.Errorf("go test -bench: %w\n%s", err, tail(out))
	}
	rows := parseBenchmarks(out)
	if len(rows) == 0 {
		return section{}, fmt.Errorf("go test -bench printed no figure:\n%s", tail(out))
	}
	e.log("   %d figures", len(rows))
	slices.SortStableFunc(rows, func(a, b metric) int { return boolOrder(a.Met != nil, b.Met != nil) })
	return section{Metrics: rows}, nil
}

// boolOrder sorts true before false.
func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

var benchLine = regexp.MustCompile(`^(Benchmark\S+?)(-\d+)?\s+\d+\s+(.+)$`)

// parseBenchmarks reads the output of go test -bench: a metric for each figure.
// Where a benchmark reports a figure of its own, the time of an operation and the
// memory say nothing more.
func parseBenchmarks(out []byte) []metric {
	var rows []metric
	pkg := ""
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		line := lines.Text()
		if rest, ok := strings.CutPrefix(line, "pkg: "); ok {
			pkg = rest[strings.LastIndex(rest, "/internal/")+len("/internal/"):]
			continue
		}
		m := benchLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		rows = append(rows, figures(pkg+" "+strings.TrimPrefix(m[1], "Benchmark"), strings.Fields(m[3]))...)
	}
	return rows
}

// figures reads "value unit value unit ..." of one benchmark.
func figures(name string, words []string) []metric {
	var own, usual []metric
	for i := 0; i+1 < len(words); i += 2 {
		value, err := strconv.ParseFloat(words[i], 64)
		if err != nil {
			continue
		}
		m := judge(metric{Name: name, Value: value, Unit: words[i+1]})
		switch m.Unit {
		case "ns/op":
			usual = append(usual, m)
		case "B/op", "allocs/op":
		default:
			own = append(own, m)
		}
	}
	if len(own) > 0 {
		return own
	}
	return usual
}

// judge adds the goal to a figure that has one.
func judge(m metric) metric {
	for _, g := range goals {
		if g.unit != m.Unit || !regexp.MustCompile(g.benchmark).MatchString(m.Name) {
			continue
		}
		met := m.Value <= g.most
		m.Goal = fmt.Sprintf("at most %s %s", figure(g.most), g.unit)
		if g.least > 0 {
			met = m.Value >= g.least
			m.Goal = fmt.Sprintf("at least %s %s", figure(g.least), g.unit)
		}
		m.Met, m.Note = &met, g.what
		return m
	}
	return m
}
