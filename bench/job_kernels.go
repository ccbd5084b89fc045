package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
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
var goals = []goal{}

func runKernels(ctx context.Context, e *env) ([]section, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", ".", "-benchtime", "300ms", "./internal/...")
	cmd.Env = append(os.Environ(), "GORGE_PYTHON="+os.Getenv("GORGE_PYTHON"))
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go test -bench: %w\n%s", err, tail(out))
	}
	rows := parseBenchmarks(out)
	if len(rows) == 0 {
		return nil, fmt.Errorf("go test -bench printed no figure:\n%s", tail(out))
	}
	e.log("   %d figures", len(rows))
	return []section{{
		Title:   "Parts",
		Note:    "`go test -bench . -benchtime 300ms ./internal/...`, one run each, both processors at the Go scheduler's disposal.",
		Metrics: rows,
	}}, nil
}

var benchLine = regexp.MustCompile(`^(Benchmark\S+?)(-\d+)?\s+\d+\s+(.+)$`)

// parseBenchmarks reads the output of go test -bench: a metric for each figure,
// without the ones that say nothing (no allocation).
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
		words := strings.Fields(m[3])
		for i := 0; i+1 < len(words); i += 2 {
			value, err := strconv.ParseFloat(words[i], 64)
			if err != nil || value == 0 && strings.HasSuffix(words[i+1], "/op") {
				continue
			}
			rows = append(rows, judge(metric{Name: pkg + " " + strings.TrimPrefix(m[1], "Benchmark"), Value: value, Unit: words[i+1]}))
		}
	}
	return rows
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
