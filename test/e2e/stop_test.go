package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorge-stream/gorge/test/engine"
)

const ingest = `
name: ingest
sources:
  readings:
    http: {}
    format: json
    schema: {device_id: string, ts: timestamp_ms, temperature: float64}
    event_time: {column: ts, max_disorder: 2s}
steps:
  averages: {from: readings, key_by: device_id, window: {tumbling: 10s}, aggregate: {avg_temp: avg(temperature), n: count()}}
sinks:
`

// post sends rows and wants them accepted.
func post(t *testing.T, address, body string) {
	t.Helper()
	res, err := http.Post("http://"+address+"/ingest/readings", "application/x-ndjson", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		var b bytes.Buffer
		_, _ = b.ReadFrom(res.Body)
		t.Fatalf("%s: %s", res.Status, b.String())
	}
}

// reading is a row with an event time in milliseconds.
func reading(device string, ts int64, temperature float64) string {
	return fmt.Sprintf(`{"device_id": %q, "ts": %d, "temperature": %g}`+"\n", device, ts, temperature)
}

func TestTermWithoutCheckpointsDrainsWhatWasAcceptedAndExitsWithZero(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "averages.ndjson")
	file := write(t, dir, "p.yaml", ingest+"  out: {from: averages, file: "+out+"}\n")
	address := engine.Address(t)
	p := engine.Start(t, engine.Command{Args: []string{"run", file, "--http", address, "--data", dir, "--checkpoint", "off"}})
	p.Ready(address)
	for i := range int64(100) {
		post(t, address, reading("a", 1_760_000_000_000+i, 20)+reading("b", 1_760_000_000_000+i, 21))
	}
	p.Signal(syscall.SIGTERM)
	r := p.Wait()
	if r.Code != 0 {
		t.Fatalf("exit code %d\n%s", r.Code, r.Stderr)
	}
	// The window was open: stopping closes it.
	want := []string{
		`{"device_id":"a","window_start":"2025-10-09T08:53:20Z","window_end":"2025-10-09T08:53:30Z","avg_temp":20,"n":100}`,
		`{"device_id":"b","window_start":"2025-10-09T08:53:20Z","window_end":"2025-10-09T08:53:30Z","avg_temp":21,"n":100}`,
	}
	if got := sorted(t, out); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	wantSummary(t, r.Stderr, map[string]int64{"rows in": 200, "out": 2})
}

// get reads a page of the engine.
func get(t *testing.T, url string) string {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestTermWithCheckpointsKeepsWindowsOpen: the next run goes on with them, and with
// what was accepted and not yet processed.
func TestTermWithCheckpointsKeepsWindowsOpen(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "averages") + "/"
	file := write(t, dir, "p.yaml", ingest+"  out: {from: averages, file: "+out+", format: json}\n")
	for life := range int64(3) {
		address := engine.Address(t)
		p := engine.Start(t, engine.Command{Args: []string{"run", file, "--http", address, "--data", dir}})
		p.Ready(address)
		for i := range int64(10) {
			post(t, address, reading("a", 1_760_000_000_000+10*life+i, float64(20+life)))
		}
		if life == 2 {
			// Far ahead: it closes the window of the others.
			post(t, address, reading("b", 1_760_000_100_000, 0))
			p.Until("the window is closed", func() bool {
				return strings.Contains(get(t, "http://"+address+"/metrics"), `gorge_events_emitted_total{kind="window",node="averages"} 1`)
			})
		}
		p.Signal(syscall.SIGTERM)
		if r := p.Wait(); r.Code != 0 {
			t.Fatalf("exit code %d\n%s", r.Code, r.Stderr)
		}
	}
	parts, err := filepath.Glob(out + "part-*")
	if err != nil || len(parts) != 1 {
		t.Fatalf("parts %q: %v", parts, err)
	}
	want := `{"device_id":"a","window_start":"2025-10-09T08:53:20Z","window_end":"2025-10-09T08:53:30Z","avg_temp":21,"n":30}` + "\n"
	if got := read(t, parts[0]); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSecondSignalForces(t *testing.T) {
	asked := make(chan struct{}, 100)
	release := make(chan struct{})
	stuck := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-release
	}))
	defer stuck.Close()
	defer close(release)
	dir := t.TempDir()
	file := write(t, dir, "p.yaml", ingest+"  out: {from: readings, http: {url: \""+stuck.URL+"\", timeout: 10m, in_flight: 1}}\n")
	address := engine.Address(t)
	p := engine.Start(t, engine.Command{Args: []string{"run", file, "--http", address, "--data", dir, "--checkpoint", "off"}})
	p.Ready(address)
	post(t, address, reading("a", 1_760_000_000_000, 20)+reading("b", 1_760_000_000_000, 20))
	<-asked // the engine waits for an answer that will not come

	p.Signal(syscall.SIGTERM)
	p.Until("it says that it stops", func() bool { return strings.Contains(p.Stderr(), "stopping") })
	// A signal that follows at once counts as the same: they come until the engine ends.
	ended := make(chan struct{})
	var signals sync.WaitGroup
	signals.Go(func() {
		again := time.NewTicker(100 * time.Millisecond)
		defer again.Stop()
		for {
			select {
			case <-ended:
				return
			case <-again.C:
				_ = syscall.Kill(p.PID(), syscall.SIGTERM)
			}
		}
	})
	r := p.Wait()
	close(ended)
	signals.Wait()
	if r.Code != 1 {
		t.Errorf("exit code %d, want 1\n%s", r.Code, r.Stderr)
	}
}

// TestASignalWhileWorkersStartEndsAtOnce stops an engine whose Python module
// never finishes its import.
func TestASignalWhileWorkersStartEndsAtOnce(t *testing.T) {
	dir := t.TempDir()
	marker := filepath.Join(dir, "importing")
	write(t, dir, "slow.py", fmt.Sprintf("open(%q, 'w').close()\nimport time\ntime.sleep(25)\ndef f(x):\n    return x\n", marker))
	file := write(t, dir, "p.yaml", `name: p
sources: {e: {generate: {events: 5, rate: 0}}}
functions: {f: {file: slow.py}}
steps: {s: {from: e, call: {y: f(temperature)}}}
sinks: {o: {from: s, "null": {}}}
`)
	p := engine.Start(t, engine.Command{Args: []string{"run", file, "--http", "off", "--data", dir}, Env: []string{"GORGE_PYTHON=" + engine.Python(t)}})
	p.Until("the import has begun", func() bool {
		_, err := os.Stat(marker)
		return err == nil
	})
	p.Signal(syscall.SIGTERM)
	if r := p.Wait(); r.Code != 1 || !strings.Contains(r.Stderr, "before the job had started") {
		t.Errorf("exit code %d\n%s", r.Code, r.Stderr)
	}
}
