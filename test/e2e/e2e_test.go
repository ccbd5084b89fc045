package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/bench/dataset"
	"github.com/gorge-stream/gorge/bench/verify"
	"github.com/gorge-stream/gorge/test/engine"
)

func TestMain(m *testing.M) { os.Exit(engine.Main(m)) }

// events is the size of the main input; make test-services sets a larger one.
func events(t *testing.T) int64 {
	if n, err := strconv.ParseInt(os.Getenv("GORGE_E2E_EVENTS"), 10, 64); err == nil {
		return n
	}
	return 200_000
}

// write puts a file into the folder and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// read returns the text of a file.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sorted returns the lines of a file without regard to their order, which is that
// of the blocks of input: from a pipe or by HTTP they are cut as they arrive.
func sorted(t *testing.T, path string) []string {
	t.Helper()
	lines := engine.Lines(read(t, path))
	slices.Sort(lines)
	return lines
}

// success runs the engine and wants exit code 0.
func success(t *testing.T, c engine.Command) engine.Result {
	t.Helper()
	r := engine.Run(t, c)
	if r.Code != 0 {
		t.Fatalf("gorge %s ended with %d\n%s", strings.Join(c.Args, " "), r.Code, r.Stderr)
	}
	return r
}

// TestResultsAreExactAtEveryParallelismAndBatchSize runs the main job of the
// benchmarks: every device's count and sum is the oracle's, and every run gives the same bytes.
func TestResultsAreExactAtEveryParallelismAndBatchSize(t *testing.T) {
	dir := t.TempDir()
	n := events(t)
	in, err := dataset.Make(dir, dataset.Set{Style: dataset.Plain, Events: n, Devices: 20_000})
	if err != nil {
		t.Fatal(err)
	}
	oracle, err := dataset.Load(in.Oracle)
	if err != nil {
		t.Fatal(err)
	}
	first := ""
	for _, parallelism := range []string{"1", "2", "7"} {
		for _, rows := range []string{"1", "4096"} {
			t.Run("parallelism "+parallelism+" batch "+rows, func(t *testing.T) {
				out := filepath.Join(dir, "out.csv")
				r := success(t, engine.Command{
					Args: []string{"run", "bench/j1.yaml", "--parallelism", parallelism, "--batch-rows", rows, "--http", "off", "--data", dir, "--fresh"},
					Env:  []string{"BENCH_IN=" + in.Input, "BENCH_OUT=" + out},
				})
				found, err := verify.File(out, oracle)
				if err != nil {
					t.Fatal(err)
				}
				if err := found.Err(); err != nil {
					t.Error(err)
				}
				wantSummary(t, r.Stderr, map[string]int64{"rows in": n, "out": found.Rows, "late": 0, "dead letters": 0})
				text := read(t, out)
				if first == "" {
					first = text
				} else if first != text {
					t.Error("the file differs from that of the first run, in a row, a digit or the order")
				}
			})
		}
	}
}

// TestOtherShapesOfInputAreExact runs the job over inputs that leave the straight path of the decoder.
func TestOtherShapesOfInputAreExact(t *testing.T) {
	for _, style := range []dataset.Style{dataset.AnyOrder, dataset.LongKeys, dataset.LongNums, dataset.Escapes, dataset.NullsBool} {
		t.Run(string(style), func(t *testing.T) {
			dir := t.TempDir()
			in, err := dataset.Make(dir, dataset.Set{Style: style, Events: events(t) / 2, Devices: 5000})
			if err != nil {
				t.Fatal(err)
			}
			oracle, err := dataset.Load(in.Oracle)
			if err != nil {
				t.Fatal(err)
			}
			out := filepath.Join(dir, "out.csv")
			env := []string{"BENCH_IN=" + in.Input, "BENCH_OUT=" + out}
			if style == dataset.NullsBool {
				env = append(env, "BENCH_TEMPERATURE=float64?")
			}
			success(t, engine.Command{Args: []string{"run", "bench/j1.yaml", "--http", "off", "--data", dir}, Env: env})
			found, err := verify.File(out, oracle)
			if err != nil {
				t.Fatal(err)
			}
			if err := found.Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

// wantSummary checks numbers of the last line of the summary: "1,000 rows in, 20 out, ...".
func wantSummary(t *testing.T, stderr string, want map[string]int64) {
	t.Helper()
	line := ""
	for _, l := range engine.Lines(stderr) {
		if strings.HasPrefix(l, "done: ") {
			line = l
		}
	}
	if line == "" {
		t.Errorf("no summary in\n%s", stderr)
		return
	}
	for what, n := range want {
		if !strings.Contains(strings.ReplaceAll(line, ", ", " , ")+" ", " "+thousands(n)+" "+what+" ") {
			t.Errorf("the summary does not say %s %s: %s", thousands(n), what, line)
		}
	}
}

// thousands writes a number as the summary does: 1,234,567.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
