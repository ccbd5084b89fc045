package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gorge-stream/gorge/test/engine"
)

// city has windows and running statistics: both have state that a savepoint carries on.
const city = `
name: city
checkpoint: 100ms
sources:
  readings: {generate: {events: 9000, rate: 3000, devices: 40, disorder: 0s, start: "2026-01-01T00:00:00Z"}, event_time: {column: ts, max_disorder: 0s}}
steps:
  averages: {from: readings, key_by: device_id, window: {tumbling: 500ms}, aggregate: {avg: avg(temperature), n: count()}}
  stats: {from: readings, key_by: device_id, running: {mean: avg(temperature), seen: count()}}
  some: {from: stats, where: "seen % 10 == 0"}
  picked: {from: some, select: {device_id: device_id, mean: mean, seen: seen}}
sinks:
  windows: {from: averages, file: windows/, format: json}
  tenths: {from: picked, file: tenths/, format: json}
`

// parts returns the lines of a folder of parts that belong to the epochs up to last.
func parts(t *testing.T, folder string, last uint64) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(folder, "part-*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	var out []string
	for _, name := range names {
		var epoch uint64
		if _, err := fmt.Sscanf(filepath.Base(name), "part-%d-", &epoch); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if epoch > last {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, engine.Lines(string(text))...)
	}
	return out
}

// A run from a savepoint goes on behind it as if nothing had happened: what the
// first run had shown up to the savepoint and what the second shows are, row by row,
// what one undisturbed run shows.
func TestASavepointOfALiveRunGoesOnElsewhere(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "city.yaml", city)
	must := func(args ...string) engine.Result {
		r := engine.Run(t, engine.Command{Dir: dir, Args: args})
		if r.Code != 0 {
			t.Fatalf("gorge %s: exit code %d\n%s", strings.Join(args, " "), r.Code, r.Stderr)
		}
		return r
	}
	into := func(name string) []string {
		return []string{"--data", name, "--set", "sinks.windows.file=" + name + "-windows/", "--set", "sinks.tenths.file=" + name + "-tenths/"}
	}
	must(append([]string{"run", file, "--http", "off"}, into("whole")...)...)

	address := engine.Address(t)
	p := engine.Start(t, engine.Command{Dir: dir, Args: append([]string{"run", file, "--http", address}, into("first")...)})
	p.Ready(address)
	p.Until("some output is there", func() bool {
		names, _ := filepath.Glob(filepath.Join(dir, "first-windows", "part-*"))
		return len(names) > 1
	})
	said := must("savepoint", file, "copy", "--http", address).Stdout
	var epoch uint64
	if _, err := fmt.Sscanf(said, "savepoint of epoch %d,", &epoch); err != nil {
		t.Fatalf("%q: %v", said, err)
	}
	p.Signal(syscall.SIGKILL)
	p.Wait()

	// The same folder is not written over.
	if r := engine.Run(t, engine.Command{Dir: dir, Args: []string{"savepoint", file, "copy", "--data", "first"}}); r.Code != 1 || !strings.Contains(r.Stderr, "checkpoint/occupied") {
		t.Errorf("exit code %d\n%s", r.Code, r.Stderr)
	}
	must(append([]string{"run", file, "--http", "off", "-p", "3", "--from", "copy"}, into("second")...)...)
	for _, sink := range []string{"windows", "tenths"} {
		want := parts(t, filepath.Join(dir, "whole-"+sink), ^uint64(0))
		got := append(parts(t, filepath.Join(dir, "first-"+sink), epoch), parts(t, filepath.Join(dir, "second-"+sink), ^uint64(0))...)
		if sink == "tenths" { // rows of different keys may overtake each other
			slices.Sort(want)
			slices.Sort(got)
		}
		if len(want) == 0 || !slices.Equal(got, want) {
			t.Errorf("%s: %d rows, an undisturbed run has %d", sink, len(got), len(want))
		}
	}
}
