package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// refusedRows runs a pipeline that refuses four of its rows, and returns its file and data directory.
func refusedRows(t *testing.T, extra string) (file, data string) {
	t.Helper()
	in := tempFile(t, "in.ndjson", "{\"a\":1}\n{\"a\":\"x\"}\n{\"a\":2}\nnonsense\x1b[2J\n{\"a\":\"y\"}\n{\"a\":3}\n{}\n")
	data = t.TempDir()
	file = tempFile(t, "p.yaml", "name: p\nsources:\n  e: {file: \""+in+"\", format: json, schema: {a: int64}}\nsinks:\n  o: {from: e, \"null\": {}}\n"+extra)
	if code, _, stderr := inProcess(t, "", "run", "--http", "off", "--data", data, file); code != exitDone {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	return file, data
}

func TestDeadLettersAreListedAndShown(t *testing.T) {
	file, data := refusedRows(t, "")
	for _, c := range []struct {
		args []string
		says []string
		not  string
	}{
		{[]string{"list"}, []string{"letters", "column a: expected int64, got string", "in.ndjson line 2", "in.ndjson line 5"}, "\x1b"},
		{[]string{"list", "--json"}, []string{`"code":"type"`, `"letters":2`}, ""},
		{[]string{"show", "--code", "type"}, []string{"letter 1\n", `payload   {"a":"x"}`, `payload   {"a":"y"}`}, "nonsense"},
		{[]string{"show", "--limit", "1"}, []string{"position  ", "line 2", "more with --limit 0"}, "line 5"},
		{[]string{"show", "--code", "syntax"}, []string{`nonsense\x1b[2J`}, "\x1b"},
		{[]string{"show", "--json", "-n", "0"}, []string{`"payload":"`, `"step":"e"`}, ""},
		{[]string{"show", "--step", "o"}, []string{"there are no such dead letters"}, "payload"},
	} {
		args := append([]string{"deadletter", c.args[0], file, "--data", data}, c.args[1:]...)
		code, out, stderr := inProcess(t, "", args...)
		if code != exitDone || c.not != "" && strings.Contains(out, c.not) {
			t.Errorf("%v: exit code %d\n%s%s", c.args, code, out, stderr)
		}
		for _, s := range c.says {
			if !strings.Contains(out+stderr, s) {
				t.Errorf("%v does not say %q:\n%s%s", c.args, s, out, stderr)
			}
		}
	}
}

// TestDeadLettersAreWrittenToAFileOnce repeats a replay that was interrupted behind
// each of its steps.
func TestDeadLettersAreWrittenToAFileOnce(t *testing.T) {
	const want = "{\"a\":\"x\"}\nnonsense\x1b[2J\n{\"a\":\"y\"}\n{}\n"
	file, data := refusedRows(t, "")
	folder := filepath.Join(data, "dead-letters")
	out := filepath.Join(t.TempDir(), "again.ndjson")
	replay := func() (int, string) {
		t.Helper()
		code, said, stderr := inProcess(t, "", "deadletter", "replay", file, "--data", data, "--out", out)
		return code, said + stderr
	}
	parts, err := filepath.Glob(filepath.Join(folder, "part-*"))
	if err != nil || len(parts) != 1 {
		t.Fatalf("%v, %v", parts, err)
	}
	letters, err := os.ReadFile(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		got, err := os.ReadFile(out)
		if err != nil || string(got) != want {
			t.Fatalf("%s: %v\n%q", when, err, got)
		}
		if _, err := os.Stat(parts[0]); err == nil {
			t.Errorf("%s: the part was not moved", when)
		}
		if _, err := os.Stat(filepath.Join(folder, ".replayed-"+filepath.Base(parts[0]))); err == nil {
			t.Errorf("%s: the marks stay", when)
		}
	}
	if code, said := replay(); code != exitDone || !strings.Contains(said, "replayed 4 letters") {
		t.Fatalf("exit code %d\n%s", code, said)
	}
	check("undisturbed")
	for name, marks := range map[string]string{"the file is there": "", "some are noted": "\n1\n\n2\n\n3", "all are noted": "\n1\n\n2\n\n3\n\n4\n"} {
		if err := os.WriteFile(parts[0], letters, 0o600); err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(folder, ".replayed-"+filepath.Base(parts[0]))
		if err := os.WriteFile(at, []byte(marks), 0o600); err != nil {
			t.Fatal(err)
		}
		code, said := replay()
		switch name {
		case "the file is there":
			if code != exitDone {
				t.Errorf("%s: exit code %d\n%s", name, code, said)
			}
			check(name)
		case "some are noted": // the rest does not make the same file: nothing is written over
			if code != exitFailed || !strings.Contains(said, "deadletter/exists") {
				t.Errorf("%s: exit code %d\n%s", name, code, said)
			}
		case "all are noted":
			if code != exitDone || !strings.Contains(said, "there are no dead letters") {
				t.Errorf("%s: exit code %d\n%s", name, code, said)
			}
		}
	}
}

func TestReplaysThatCannotBeSayWhy(t *testing.T) {
	file, data := refusedRows(t, "")
	own, _ := refusedRows(t, "dead_letters: {\"null\": {}}\n")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"lsit"}, exitUsage, "did you mean: gorge deadletter list"},
		{[]string{"replay"}, exitUsage, "needs the pipeline file"},
		{[]string{"show", file, "-n", "-2"}, exitUsage, "--limit is a number"},
		{[]string{"list", own}, exitFailed, "go to a sink of its own"},
		{[]string{"replay", file}, exitFailed, "reads no requests, but file"},
		{[]string{"replay", file, "--out", "/does/not/exist/x"}, exitFailed, "deadletter/write"},
		{[]string{"replay", file, "--out", "x", "--http", "y"}, exitUsage, "hint:"},
	} {
		args := append([]string{"deadletter"}, c.args...)
		if len(c.args) > 1 {
			args = append(args, "--data", data)
		}
		code, _, stderr := inProcess(t, "", args...)
		if code != c.code || !strings.Contains(stderr, c.says) || !strings.Contains(stderr, "hint:") {
			t.Errorf("%v: exit code %d, want %d; said\n%s", c.args, code, c.code, stderr)
		}
	}
	// Letters that no source of the pipeline takes need a file, those of several steps several.
	folder := filepath.Join(data, "dead-letters")
	for i, step := range []string{"gone", "o"} {
		text := fmt.Sprintf("{\"step\":%q,\"code\":\"refused\",\"reason\":\"no\",\"payload\":\"e30=\"}\n", step)
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("part-%d.ndjson", i)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if code, _, stderr := inProcess(t, "", "deadletter", "replay", file, "--data", data, "--step", "gone"); code != exitFailed || !strings.Contains(stderr, "rows as they came to it") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	if code, _, stderr := inProcess(t, "", "deadletter", "replay", file, "--data", data, "--out", "x"); code != exitUsage || !strings.Contains(stderr, "choose one with --step") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	if err := os.WriteFile(filepath.Join(folder, "part-2.ndjson"), []byte("what\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := inProcess(t, "", "deadletter", "list", file, "--data", data); code != exitFailed || !strings.Contains(stderr, "part-2.ndjson, line 1 is no dead letter") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}
