package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/testkit"
)

// scan returns the rows that gorge state prints as JSON.
func scan(t *testing.T, args ...string) []map[string]any {
	t.Helper()
	code, out, stderr := inProcess(t, "", append([]string{"state"}, append(args, "--json")...)...)
	if code != exitDone || !strings.Contains(stderr, "at the checkpoint of epoch") || !strings.Contains(stderr, " ago\n") {
		t.Fatalf("%v: exit code %d\n%s", args, code, stderr)
	}
	var rows []map[string]any
	for line := range strings.Lines(out) {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		rows = append(rows, row)
	}
	return rows
}

// TestStateIsShownAsOfACheckpoint scans the state of two steps over the same rows:
// their counts agree at every checkpoint, and each key by itself has the same rows.
func TestStateIsShownAsOfACheckpoint(t *testing.T) {
	testkit.CheckLive(t)
	file, data := stoppedPipeline(t)
	list := epochs(t, file, data)
	for _, epoch := range list[1 : len(list)-1] {
		at := []string{"--data", data, "--epoch", epoch}
		windows := scan(t, append([]string{"scan", file, "a", "--limit", "0"}, at...)...)
		running := scan(t, append([]string{"scan", file, "r", "--limit", "0"}, at...)...)
		var n, seen float64
		for _, w := range windows {
			n += w["n"].(float64)
		}
		for _, r := range running {
			seen += r["seen"].(float64)
			one := scan(t, append([]string{"get", file, "r", r["device_id"].(string), r["site"].(string)}, at...)...)
			if len(one) != 1 || fmt.Sprint(one[0]) != fmt.Sprint(r) {
				t.Fatalf("epoch %s: alone %v, among all %v", epoch, one, r)
			}
		}
		if n == 0 || n != seen {
			t.Errorf("epoch %s: the windows count %v rows, the running statistics %v", epoch, n, seen)
		}
	}
	epoch := list[len(list)-2]
	code, out, stderr := inProcess(t, "", "state", "scan", file, "a", "--data", data, "--epoch", epoch, "-n", "3")
	if code != exitDone || strings.Count(out, "\n") != 5 || !strings.Contains(out, "device_id    window_start") || !strings.Contains(stderr, "more with --limit 0") {
		t.Errorf("exit code %d\n%s%s", code, out, stderr)
	}
}

func TestStateCommandsSayWhatIsWrong(t *testing.T) {
	testkit.CheckLive(t)
	file, data := stoppedPipeline(t)
	epoch := epochs(t, file, data)[1]
	none := tempFile(t, "none.yaml", "name: p\nsources:\n  e: {generate: {}}\nsinks:\n  o: {from: e, \"null\": {}}\n")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"scan", file}, exitUsage, "needs the pipeline file and a step"},
		{[]string{"get", file}, exitUsage, "needs the pipeline file, a step and a key"},
		{[]string{"scan", file, "x"}, exitFailed, "these do: a, r"},
		{[]string{"scan", file, "o"}, exitFailed, "o keeps no state"},
		{[]string{"scan", none, "o"}, exitFailed, "no step of the pipeline keeps state"},
		{[]string{"scan", file, "a", "-n", "-1"}, exitUsage, "--limit is a number of rows"},
		{[]string{"scan", file, "a", "--epoch", "x"}, exitUsage, "not the number of an epoch"},
		{[]string{"get", file, "r", "dev"}, exitUsage, "device_id string, site string"},
		{[]string{"get", file, "a", "nobody"}, exitFailed, "remembers nothing of that key"},
	} {
		args := append([]string{"state"}, c.args...)
		if !strings.Contains(strings.Join(args, " "), "--epoch") {
			args = append(args, "--epoch", epoch)
		}
		code, _, stderr := inProcess(t, "", append(args, "--data", data)...)
		if code != c.code || !strings.Contains(stderr, c.says) || !strings.Contains(stderr, "hint:") {
			t.Errorf("%v: exit code %d, want %d; said\n%s", c.args, code, c.code, stderr)
		}
	}
}
