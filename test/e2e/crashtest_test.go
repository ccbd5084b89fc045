package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/test/engine"
)

// all has every kind of sink that gorge test compares.
const all = `
name: all
sources:
  readings: {file: in.ndjson, format: json, schema: {k: string, ts: timestamp_ms, v: float64}, event_time: ts}
steps:
  sums: {from: readings, key_by: k, window: {tumbling: 1s}, aggregate: {n: count(), v: sum(v)}}
  seen: {from: readings, key_by: k, running: {n: count()}}
sinks:
  parts: {from: sums, file: parts/, format: json}
  one: {from: seen, file: {path: one.csv.gz, compression: gzip}, format: csv}
  rows: {from: sums, table: {key: [k, window_start]}}
  said: {from: sums, stdout: {}}
  sent: {from: sums, http: {url: "http://127.0.0.1:1/nobody", batch: 50}}
`

func TestUsersCanProveThatCrashesChangeNothing(t *testing.T) {
	dir, scratch := t.TempDir(), t.TempDir()
	var in strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&in, "{\"k\":\"key-%d\",\"ts\":%d,\"v\":%d}\n", i%37, i, i%11)
		if i%1000 == 0 {
			in.WriteString("nonsense\n") // a dead letter
		}
	}
	write(t, dir, "in.ndjson", in.String())
	write(t, dir, "all.yaml", all)
	r := engine.Run(t, engine.Command{Dir: dir, Env: []string{"TMPDIR=" + scratch}, Args: []string{"test", "all.yaml", "--crash", "--allow-http", "--rounds", "2",
		"--point", "job/manifest-claimed", "--point", "job/output-persisted", "--point", "job/sinks-recovered"}})
	if r.Code != 0 || strings.Count(r.Stdout, "  equal\n") != 5 || !strings.Contains(r.Stdout, "proven equal: ") {
		t.Errorf("exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	for _, name := range []string{"parts", "one.csv.gz", "gorge-data"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("the test has written %s", name)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(scratch, "gorge-crash-*")); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
	// A point that the pipeline does not come by is said to be none.
	if r := engine.Run(t, engine.Command{Dir: dir, Args: []string{"test", "all.yaml", "--crash", "--allow-http", "--rounds", "0", "--point", "no/such"}}); r.Code != 2 || !strings.Contains(r.Stderr, "does not come by a point") {
		t.Errorf("exit code %d\n%s", r.Code, r.Stderr)
	}
}
