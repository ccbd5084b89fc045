package main

import (
	"testing"

	"github.com/gorge-stream/gorge/internal/testkit"
)

// TestARunLeaksNoBatches runs a pipeline with windows, a table and a file to its
// end and looks for batches that nobody released.
func TestARunLeaksNoBatches(t *testing.T) {
	testkit.CheckLive(t)
	dir := t.TempDir()
	file := tempFile(t, "p.yaml", `name: p
sources:
  e: {generate: {events: 20000, rate: 0, devices: 50}, event_time: {column: ts}}
steps:
  a: {from: e, key_by: device_id, window: {tumbling: 1s}, aggregate: {avg: avg(temperature), n: count()}, late: side}
  hot: {from: a, where: "avg > 20"}
sinks:
  t: {from: a, table: {key: [device_id, window_start], retain: 30d}}
  f: {from: hot, file: "`+dir+`/hot.ndjson", format: json}
  l: {from: a.late, "null": {}}
`)
	if code, _, stderr := inProcess(t, "", "run", "--http", "off", "--data", dir, file); code != exitDone {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
}
