package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gorge-stream/gorge/bench/dataset"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseBenchmarks(t *testing.T) {
	rows := parseBenchmarks([]byte(`goos: linux
pkg: github.com/gorge-stream/gorge/internal/codec/json
BenchmarkDecode/clean-2   	     100	  9000 ns/op	  26.50 ns/row	       0 B/op	       0 allocs/op
PASS
pkg: github.com/gorge-stream/gorge/internal/job
BenchmarkCores-2   	     100	  4000 ns/op	  1.9 x-2cores
BenchmarkWindowClose   	     100	  4000 ns/op	  12 B/op
`))
	want := []metric{
		{Name: "codec/json Decode/clean", Value: 26.5, Unit: "ns/row"},
		{Name: "job Cores", Value: 1.9, Unit: "x-2cores"},
		{Name: "job WindowClose", Value: 4000, Unit: "ns/op"},
	}
	if len(rows) != len(want) {
		t.Fatalf("%+v, want %+v", rows, want)
	}
	for i := range want {
		if rows[i].Name != want[i].Name || rows[i].Value != want[i].Value || rows[i].Unit != want[i].Unit {
			t.Errorf("%+v, want %+v", rows[i], want[i])
		}
	}
	if rows[1].Met == nil || !*rows[1].Met || rows[0].Met != nil {
		t.Errorf("goals: %+v", rows)
	}
}

func TestParseStat(t *testing.T) {
	got, err := parseStat("42 (a b) c) S 1 1 1 0 -1 4194304 1 0 0 0 150 50 0 0 20 0 4 0 1 2 3")
	if err != nil || got != 2*time.Second {
		t.Errorf("%v, %v, want 2s", got, err)
	}
	if _, err := parseStat("42 (x) S 1"); err == nil {
		t.Error("no error for a short line")
	}
}

// TestContest runs the baseline beside a contender that is wrong and one that fails.
func TestContest(t *testing.T) {
	dir := t.TempDir()
	naive := dir + "/naive"
	if out, err := exec.Command("go", "build", "-o", naive, "./naive").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := dataset.Make(dir, dataset.Set{Style: dataset.Plain, Events: 5000, Devices: 20})
	if err != nil {
		t.Fatal(err)
	}
	runs, err := compare(t.Context(), &env{data: dir, rounds: 2, log: t.Logf}, []contender{
		{name: "naive", argv: []string{naive}},
		{name: "Gorge", argv: []string{"sh", "-c", `printf 'device_id,window_start,avg,count\ndev-0000000,1760000000000,1,1\n' >"$BENCH_OUT"`}},
		{name: "broken", argv: []string{"sh", "-c", "echo no such thing; exit 3"}},
	}, f, "naive")
	if err != nil {
		t.Fatal(err)
	}
	good, wrong, broken := runs[0], runs[1], runs[2]
	if good.Err != "" || good.Verified != 2 || good.WallMS <= 0 || good.PeakMiB <= 0 || good.Ratio != 1 {
		t.Errorf("%+v", good)
	}
	if !strings.Contains(wrong.Err, "differs from the oracle") || failures(runs) == nil {
		t.Errorf("%+v", wrong)
	}
	if !strings.Contains(broken.Err, "no such thing") {
		t.Errorf("%+v", broken)
	}
}

func TestReport(t *testing.T) {
	met := true
	r := newReport([]string{"-jobs", "j1"})
	r.Sections = []section{{Title: "T", Runs: []outcome{{Input: "i", Contender: duckdb, Version: "2.0", WallMS: 12, Ratio: 1, Rounds: 3, Verified: 3}, {Input: "i", Contender: "x", Err: "bad | thing\nmore"}}, Metrics: []metric{{Name: "m", Value: 26.54, Unit: "ns", Goal: "at most 30", Met: &met}}}}
	dir := t.TempDir()
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(dir + "/latest.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Command: `bench -jobs j1`", "| i | DuckDB 2.0 | 12 (0-0) |", "| 3 of 3 |", "failed: bad / thing |", "| m | 26.5 ns | at most 30: met |"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestRunProgramCountsChildren(t *testing.T) {
	u, err := runProgram(t.Context(), nil, "sh", "-c", "sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'; true")
	if err != nil {
		t.Fatal(err)
	}
	if u.CPU <= 0 || u.Wall <= 0 || u.PeakRSS <= 0 {
		t.Errorf("%+v", u)
	}
}

func TestRunProgramEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := runProgram(ctx, nil, "sleep", "60"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the deadline", err)
	}
}

func TestReadRows(t *testing.T) {
	due, err := passing(1000, 3000)
	if err != nil || len(due) < 10 {
		t.Fatalf("%d events, %v", len(due), err)
	}
	zero := time.Now().Add(-time.Minute).UnixMilli() // the rows come a minute late
	var text strings.Builder
	for _, d := range due {
		fmt.Fprintf(&text, "{\"ts\":%d}\n", zero+d.Milliseconds())
	}
	late, err := readRows(strings.NewReader(text.String()), due)
	if err != nil {
		t.Fatal(err)
	}
	if d := summarise(late); d.n == 0 || d.n >= len(due) || d.p50 < 50*time.Second || d.p50 > 2*time.Minute {
		t.Errorf("%+v of %d rows", d, len(due))
	}
	if _, err := readRows(strings.NewReader(text.String()), due[:len(due)-1]); err == nil {
		t.Error("no error for a row too many")
	}
	if _, err := readRows(strings.NewReader(""), due); err == nil {
		t.Error("no error for missing rows")
	}
}

func TestScrape(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "# HELP a b\na{kind=\"window\",node=\"x\"} 2\na{kind=\"window\",node=\"y\"} 3\nb{node=\"x\"} 1e6\nc 7\n")
	}))
	defer srv.Close()
	m, err := scrape(t.Context(), srv.URL)
	if err != nil || m[`a{kind="window"`] != 5 || m["b{"] != 1e6 || m["c"] != 7 {
		t.Errorf("%v, %v", m, err)
	}
}

func TestHistogram(t *testing.T) {
	one := sample{
		`d_bucket{phase="a",le="1"}`: 1, `d_bucket{phase="a",le="2"}`: 3, `d_bucket{phase="a",le="+Inf"}`: 4,
		`d_sum{phase="a"}`: 10, `d_count{phase="a"}`: 4, `d_sum{phase="b"}`: 100, `d_count{phase="b"}`: 1,
	}
	h := histogramOf([]sample{one, one}, "d", `phase="a"`)
	if h.mean() != 2.5 || h.quantile(0.25) != 1 || h.quantile(0.5) != 1.5 || h.quantile(1) != 2 {
		t.Errorf("%+v: %v %v %v %v", h, h.mean(), h.quantile(0.25), h.quantile(0.5), h.quantile(1))
	}
}

func TestLinkedInputIsThereSeveralTimes(t *testing.T) {
	dir := t.TempDir()
	f, err := dataset.Make(dir, dataset.Set{Style: dataset.Plain, Events: 1000, Devices: 20})
	if err != nil {
		t.Fatal(err)
	}
	in, err := linked(dir, f, 3)
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(in.path)
	if err != nil || len(found) != 3 || in.events != 3000 || in.oracle.Cells() != 20 {
		t.Errorf("%v, %d events, %v", found, in.events, err)
	}
}

// TestPosterSendsAgainWhatIsRefused posts to a server that refuses every third request.
func TestPosterSendsAgainWhatIsRefused(t *testing.T) {
	var mu sync.Mutex
	requests, lines := 0, map[string]int{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		requests++
		if err != nil || requests%3 == 0 {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		for l := range strings.Lines(string(body)) {
			lines[l]++
		}
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, "{}")
	}))
	defer srv.Close()
	name := filepath.Join(t.TempDir(), "in")
	var text strings.Builder
	for i := range 250 {
		fmt.Fprintln(&text, i)
	}
	if err := os.WriteFile(name, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	bodies, err := cutLines(name, 100)
	if err != nil || len(bodies) != 3 {
		t.Fatalf("%d bodies, %v", len(bodies), err)
	}
	took, retries, err := postAll(t.Context(), srv.Listener.Addr().String(), bodies, 2)
	if err != nil || len(took) != 6 || retries == 0 || len(lines) != 250 {
		t.Fatalf("%d answers, %d retries, %d lines, %v", len(took), retries, len(lines), err)
	}
	for l, n := range lines {
		if n != 2 {
			t.Errorf("%q came %d times", l, n)
		}
	}
}

func TestLastNumber(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"part-0000000009-1.csv", "part-0000000012-0.csv", ".pending", "part-run-0001.csv"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := lastNumber(dir, "part-", 10); err != nil || n != 12 {
		t.Errorf("%d, %v, want 12", n, err)
	}
}

func TestProbeDisk(t *testing.T) {
	d, err := syncTimes(t.TempDir(), 4096, 10)
	if err != nil || d.n != 10 || d.p50 <= 0 {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestMedian(t *testing.T) {
	if m := median([]float64{3, 1, 2}); m != 2 {
		t.Errorf("%v, want 2", m)
	}
	if m := median([]float64{4, 1, 2, 3}); m != 2.5 {
		t.Errorf("%v, want 2.5", m)
	}
}
