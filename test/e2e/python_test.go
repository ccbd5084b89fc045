package e2e

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gorge-stream/gorge/test/engine"
)

const scorePipeline = `
name: scored
sources:
  in:
    file: "-"
    format: json
    schema: {key: string, ts: timestamp_ms, x: "float64?"}
    event_time: {column: ts, max_disorder: 0s}
functions:
  score: {file: score.py, workers: 2}
steps:
  profiled: {from: in, key_by: key, running: {mean: mean(x), std: stddev(x)}}
  scored: {from: profiled, call: {score: "score(x, mean, std)"}}
sinks:
  out: {from: scored, file: out.ndjson}
`

const scoreFunction = `
import gorge
import numpy as np


@gorge.udf
def score(x, mean, std):
    return (x - mean) / np.where(std > 0, std, 1.0)
`

// scoreInput is row i of the input of the score tests.
func scoreInput(i int) string {
	x := fmt.Sprint(float64(i*7919%1000) / 8)
	if i%10 == 3 {
		x = "null"
	}
	return fmt.Sprintf(`{"key":"k%d","ts":%d,"x":%s}`+"\n", i%17, 1_760_000_000_000+i, x)
}

// startScore starts the score pipeline in a folder of its own; rows go to the writer.
func startScore(t *testing.T) (*engine.Process, io.WriteCloser, string) {
	dir := t.TempDir()
	file := write(t, dir, "p.yaml", scorePipeline)
	write(t, dir, "score.py", scoreFunction)
	in, out := io.Pipe()
	p := engine.Start(t, engine.Command{
		Args: []string{"run", file, "--http", "off", "--batch-rows", "64"}, Dir: dir, Stdin: in, Env: []string{"GORGE_PYTHON=" + engine.Python(t)},
	})
	return p, out, filepath.Join(dir, "out.ndjson")
}

// feed writes the rows [from, to).
func feed(t *testing.T, w io.Writer, from, to int) {
	t.Helper()
	var b strings.Builder
	for i := from; i < to; i++ {
		b.WriteString(scoreInput(i))
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		t.Fatal(err)
	}
}

func TestKilledWorkersChangeNothing(t *testing.T) {
	const rows, part = 20_000, 500
	calm, in, calmOut := startScore(t)
	feed(t, in, 0, rows)
	in.Close()
	if r := calm.Wait(); r.Code != 0 {
		t.Fatalf("exit code %d\n%s", r.Code, r.Stderr)
	}

	p, in, out := startScore(t)
	killed := 0
	for i := 0; i < rows; i += part {
		feed(t, in, i, i+part)
		if i == 0 {
			p.Until("rows come out", func() bool {
				info, err := os.Stat(out + ".partial")
				return err == nil && info.Size() > 0
			})
		}
		if i%(8*part) == 0 {
			killed += killWorkers(t, p.PID())
		}
	}
	in.Close()
	if r := p.Wait(); r.Code != 0 {
		t.Fatalf("exit code %d\n%s", r.Code, r.Stderr)
	}
	if killed < 3 {
		t.Fatalf("only %d workers could be killed", killed)
	}
	want, got := sorted(t, calmOut), sorted(t, out)
	if len(want) != rows {
		t.Errorf("%d rows without disturbance, want %d", len(want), rows)
	}
	if !slices.Equal(want, got) {
		t.Errorf("%d killed workers changed the result: %d rows, want %d", killed, len(got), len(want))
	}
}

// killWorkers kills the Python processes below the engine, as the kernel does
// when memory runs out.
func killWorkers(t *testing.T, engine int) int {
	t.Helper()
	n := 0
	for _, pid := range descendants(t, engine) {
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.Contains(string(name), "python") && syscall.Kill(pid, syscall.SIGKILL) == nil {
			n++
		}
	}
	return n
}

// descendants returns the processes below a process.
func descendants(t *testing.T, root int) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	children := map[int][]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended
		}
		words := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if parent, err := strconv.Atoi(words[1]); err == nil {
			children[parent] = append(children[parent], pid)
		}
	}
	var out []int
	for queue := children[root]; len(queue) > 0; queue = queue[1:] {
		out = append(out, queue[0])
		queue = append(queue, children[queue[0]]...)
	}
	return out
}

func TestErrorsOfPythonNameTheUsersLine(t *testing.T) {
	python := engine.Python(t)
	for _, c := range []struct {
		name, function string
		code           int
		stderr         []string
	}{
		{"exception", "import gorge\n\n@gorge.udf\ndef score(x, mean, std):\n    return x / undefined_name\n", 1, []string{"undefined_name", "score.py", "line 5"}},
		{"syntax", "def score(x:\n", 1, []string{"score.py:1:10", "never closed", "^"}},
		{"missing module", "import no_such_module\n", 1, []string{"no_such_module"}},
		{"not registered", "import gorge\n", 1, []string{"score"}},
		{"wrong length", "import gorge\n\n@gorge.udf(rowwise=False)\ndef score(x, mean, std):\n    return x[:1]\n", 1, []string{"score"}},
		{"wrong type", "import gorge\n\n@gorge.udf(rowwise=False)\ndef score(x, mean, std):\n    return ['a'] * len(x)\n", 1, []string{"score"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := write(t, dir, "p.yaml", scorePipeline)
			write(t, dir, "score.py", c.function)
			r := engine.Run(t, engine.Command{
				Args: []string{"run", file, "--http", "off"}, Dir: dir, Env: []string{"GORGE_PYTHON=" + python},
				Stdin: strings.NewReader(scoreInput(0) + scoreInput(1) + scoreInput(2)),
			})
			if r.Code != c.code {
				t.Errorf("exit code %d, want %d\n%s", r.Code, c.code, r.Stderr)
			}
			for _, s := range c.stderr {
				if !strings.Contains(r.Stderr, s) {
					t.Errorf("%q is not in\n%s", s, r.Stderr)
				}
			}
		})
	}
}
