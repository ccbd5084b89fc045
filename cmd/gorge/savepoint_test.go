package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// stoppedPipeline runs a pipeline with state to the end of its input, and returns
// its file and data directory; the second last checkpoint can be gone on from.
func stoppedPipeline(t *testing.T) (file, data string) {
	t.Helper()
	data = t.TempDir()
	file = tempFile(t, "p.yaml", `name: p
checkpoint: {interval: 50ms, retain: 100}
sources:
  e: {generate: {events: 3000, rate: 10000, devices: 20, seed: 3}, event_time: {column: ts}}
steps:
  a: {from: e, key_by: device_id, window: {tumbling: 1h}, aggregate: {avg: avg(temperature), n: count()}}
  r: {from: e, key_by: [device_id, site], running: {seen: count()}}
sinks:
  o: {from: a, "null": {}}
  s: {from: r, "null": {}}
`)
	if code, _, stderr := inProcess(t, "", "run", "--http", "off", "--data", data, file); code != exitDone {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	return file, data
}

func TestSavepointsThatCannotBeMadeSayWhy(t *testing.T) {
	file, data := stoppedPipeline(t)
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no place", []string{file}, exitUsage, "needs the pipeline file and the place"},
		{"no file", []string{"/does/not/exist", "x"}, exitUsage, "cannot read the pipeline file"},
		{"the input had ended", []string{file, filepath.Join(t.TempDir(), "x"), "--data", data}, exitFailed, "savepoint/finished"},
		{"no engine and no checkpoints", []string{file, "x", "--data", t.TempDir(), "--http", "127.0.0.1:1"}, exitFailed, "cli/unreachable"},
		{"no address", []string{file, "x", "--http", "::"}, exitUsage, "cli/address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, stderr := inProcess(t, "", append([]string{"savepoint"}, c.args...)...)
			if code != c.code || !strings.Contains(stderr, c.says) || !strings.Contains(stderr, "hint:") {
				t.Errorf("exit code %d, want %d; said\n%s", code, c.code, stderr)
			}
		})
	}
}
