package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/gorge-stream/gorge/internal/workload"
)

// gorge runs a command line.
func gorge(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(args, strings.NewReader(""), &out, &err)
	return code, out.String(), err.String()
}

// expect counts events per window of 10 s and device from their lines.
func expect(t *testing.T, text string) string {
	t.Helper()
	type sums struct{ count, centi int64 }
	all := map[string]sums{}
	for line := range strings.Lines(text) {
		var e struct {
			Device      string `json:"device_id"`
			TS          int64
			Temperature json.Number
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		var centi int64
		if _, err := fmt.Sscan(strings.Replace(e.Temperature.String(), ".", "", 1), &centi); err != nil {
			t.Fatal(err)
		}
		k := fmt.Sprintf("%d,%s", e.TS-e.TS%10_000, e.Device)
		all[k] = sums{all[k].count + 1, all[k].centi + centi}
	}
	lines := make([]string, 0, len(all))
	for k, s := range all {
		lines = append(lines, fmt.Sprintf("%s,%d,%d", k, s.count, s.centi))
	}
	return sorted(lines)
}

func sorted(lines []string) string {
	m := map[string]bool{}
	for _, l := range lines {
		m[l] = true
	}
	out, _ := json.Marshal(m) // in the order of the keys
	return string(out)
}

// oracleLines reads an oracle without the column late.
func oracleLines(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	if all[0]+"\n" != workload.OracleHeader {
		t.Fatalf("header %s", all[0])
	}
	for i, l := range all {
		all[i] = l[:strings.LastIndexByte(l, ',')]
	}
	return sorted(all[1:])
}

func TestGenerateWritesTheSameBytesEveryTimeAndTheOracleOfThem(t *testing.T) {
	oracle := filepath.Join(t.TempDir(), "oracle.csv")
	flags := []string{"generate", "--events", "20000", "--rate", "1000", "--devices", "50", "--late", "0.05", "--seed", "9", "--oracle", oracle}
	code, first, stderr := gorge(flags...)
	if code != 0 || !strings.Contains(stderr, "wrote 20,000 events") {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	if strings.Count(first, "\n") != 20000 {
		t.Errorf("%d lines", strings.Count(first, "\n"))
	}
	if got, want := oracleLines(t, oracle), expect(t, first); got != want {
		t.Errorf("oracle\n%.300s\nwant\n%.300s", got, want)
	}
	if _, again, _ := gorge(flags...); again != first {
		t.Error("the second run wrote other bytes")
	}
	file := filepath.Join(t.TempDir(), "events.ndjson.gz")
	if code, _, stderr := gorge(append(flags, "--out", file, "--quiet")...); code != 0 || stderr != "" {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(z); err != nil || string(text) != first {
		t.Errorf("the compressed file differs: %v", err)
	}
}

func TestGenerateWritesCSVAndLabels(t *testing.T) {
	code, out, _ := gorge("generate", "--events", "5000", "--format", "csv", "--labels", "--anomalies", "0.5", "--distribution", "zipf")
	header, _, _ := strings.Cut(out, "\n")
	if code != 0 || header+"\n" != workload.CSVHeader(true) || strings.Count(out, header) != 1 || strings.Count(out, "true") < 2000 || strings.Count(out, "\n") != 5001 {
		t.Errorf("exit %d, header %s", code, header)
	}
}

func TestGenerateRefusesBadFlags(t *testing.T) {
	for _, flags := range []string{
		"--events 0", "--events -1", "--rate 0", "--rate -5 --post http://x/", "--distribution normal", "--format avro", "--start soon",
		"--devices 0", "--late 2", "--post ftp://x/", "--post localhost", "--post http://x/ --batch 0", "--oracle /nowhere --window 0s", "more",
	} {
		if code, _, stderr := gorge(append([]string{"generate"}, strings.Fields(flags)...)...); code != exitUsage || !strings.Contains(stderr, "error[") {
			t.Errorf("%s: exit %d: %s", flags, code, stderr)
		}
	}
	for _, flags := range []string{"--out /no/such/folder/x", "--oracle /no/such/folder/x"} {
		if code, _, stderr := gorge(append([]string{"generate"}, strings.Fields(flags)...)...); code != exitFailed || !strings.Contains(stderr, "no such file") {
			t.Errorf("%s: exit %d: %s", flags, code, stderr)
		}
	}
}

// endpoint accepts lines as an http source does, and refuses some requests first.
type endpoint struct {
	mu    sync.Mutex
	busy  int // requests to be answered with 429
	lines []string
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.busy > 0 {
		e.busy--
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	n := 0
	for s := bufio.NewScanner(r.Body); s.Scan(); n++ {
		e.lines = append(e.lines, s.Text())
	}
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintf(w, "{\"accepted\":%d}\n", n)
}

func TestGeneratePostsEverythingAndTriesAgainWhenBusy(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	e := &endpoint{busy: 3}
	server := httptest.NewServer(e)
	oracle := filepath.Join(t.TempDir(), "oracle.csv")
	code, _, stderr := gorge("generate", "--post", server.URL, "--events", "5030", "--rate", "0", "--batch", "50", "--oracle", oracle)
	server.Close()
	if code != 0 || !strings.Contains(stderr, "accepted 5,030, 3 requests tried again") || strings.Contains(stderr, "behind the schedule") {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	if got, want := oracleLines(t, oracle), expect(t, strings.Join(e.lines, "\n")); got != want {
		t.Error("the oracle is not that of the events that arrived")
	}
	goleak.VerifyNone(t, leaks)
}

func TestGenerateStopsWhenItIsRefused(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	for answer, want := range map[int]string{400: "400 Bad Request", 200: "does not answer like"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(answer)
			fmt.Fprint(w, "line 1: no")
		}))
		code, _, stderr := gorge("generate", "--post", server.URL, "--events", "0", "--rate", "0")
		server.Close()
		if code != exitFailed || !strings.Contains(stderr, want) || !strings.Contains(stderr, "line 1: no") {
			t.Errorf("exit %d: %s", code, stderr)
		}
	}
	if code, _, stderr := gorge("generate", "--post", "http://127.0.0.1:1/", "--retry-for", "0s"); code != exitFailed || !strings.Contains(stderr, "cannot be reached") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	goleak.VerifyNone(t, leaks)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// With answers that take 50 ms and two senders, a request every 10 ms leaves
// late: the schedule goes on, and the lag says so.
func TestThePostingScheduleIsOpenLoop(t *testing.T) {
	for _, tc := range []struct {
		senders int
		late    bool
	}{{6, false}, {2, true}} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			var mu sync.Mutex
			left := map[int64]time.Duration{} // by event time of the last event
			transport := roundTrip(func(r *http.Request) (*http.Response, error) {
				body, _ := io.ReadAll(r.Body)
				all := strings.Split(strings.TrimSpace(string(body)), "\n")
				var e struct{ TS int64 }
				_ = json.Unmarshal([]byte(all[len(all)-1]), &e)
				mu.Lock()
				left[e.TS-begin.UnixMilli()] = time.Since(begin)
				mu.Unlock()
				<-time.After(50 * time.Millisecond)
				return &http.Response{StatusCode: http.StatusAccepted, Body: io.NopCloser(strings.NewReader(fmt.Sprintf(`{"accepted":%d}`, len(all))))}, nil
			})
			f := &generateFlags{
				config: workload.Config{Devices: 5, Rate: 1000}, events: 1000, dist: "uniform", format: "json",
				post: "http://x/", batch: 10, connections: tc.senders, retryFor: time.Second,
			}
			s, err := f.stream(true)
			if err != nil {
				t.Fatal(err)
			}
			p := newPoster(f, s)
			p.client.Transport = transport
			var report bytes.Buffer
			if err := p.run(t.Context(), &report); err != nil {
				t.Fatal(err)
			}
			if len(left) != 100 || p.accepted != 1000 {
				t.Errorf("%d requests, %d accepted", len(left), p.accepted)
			}
			for at, when := range left {
				if due := time.Duration(at) * time.Millisecond; when < due || !tc.late && when != due {
					t.Errorf("the event of %v left at %v", due, when)
				}
			}
			if tc.late != (p.lag.Max() > time.Second) || !strings.Contains(report.String(), "behind the schedule") {
				t.Errorf("%d senders: %s", tc.senders, report.String())
			}
		})
	}
}

func TestReceivePrintsEachRowOnceOnALine(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	ctx, stop := context.WithCancel(t.Context())
	pr, pw := io.Pipe()
	var out bytes.Buffer
	done := make(chan error)
	go func() {
		done <- receive(ctx, "127.0.0.1:0", &out, pw)
		_ = pw.Close()
	}()
	hello := bufio.NewReader(pr)
	line, err := hello.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url := strings.TrimSpace(strings.TrimPrefix(line, "receiving on "))
	client := &http.Client{Transport: &http.Transport{}}
	post := func(method, key, body string, want int) {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, method, url+"any/path", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Idempotency-Key", key)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s %s: %s", method, body, res.Status)
		}
	}
	post("POST", "a", `{"x": 1}`, 204)
	post("POST", "a", `{"x": 1}`, 204)
	post("PUT", "", "[{\"x\": 2},\n {\"x\":3}]", 204)
	post("POST", "b", "{\"x\":4}\n{\"x\":\"\u009b31m\x7f\xff\"}\n", 204)
	post("POST", "c", `{"x":`, 400)
	post("GET", "", "", 405)
	post("POST", "", strings.Repeat(" ", maxReceived+1), 413)
	client.CloseIdleConnections()
	stop()
	summary, _ := hello.ReadString('\n')
	if err := <-done; err != nil {
		t.Error(err)
	}
	if want := "{\"x\":1}\n{\"x\":2}\n{\"x\":3}\n{\"x\":4}\n{\"x\":\"\\u009b31m\\u007f\uFFFD\"}\n"; out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
	if summary != "received 5 rows in 4 requests, 1 repetitions dropped\n" {
		t.Errorf("summary %q", summary)
	}
	goleak.VerifyNone(t, leaks)
	if code, _, stderr := gorge("receive", "--listen", "256.0.0.1:1"); code != exitFailed || !strings.Contains(stderr, "cannot listen") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

func TestTheReceiverForgetsOldKeys(t *testing.T) {
	r := &receiver{out: io.Discard, seen: map[string]struct{}{}}
	for i := range keptKeys + 10 {
		r.print(fmt.Sprint(i), nil, 1)
	}
	if len(r.seen) != keptKeys || len(r.order) != keptKeys {
		t.Errorf("%d keys are kept", len(r.seen))
	}
	r.print("5", nil, 1)
	r.print(fmt.Sprint(keptKeys), nil, 1)
	if r.repeated != 1 || r.rows != keptKeys+11 {
		t.Errorf("%d repetitions, %d rows", r.repeated, r.rows)
	}
}
