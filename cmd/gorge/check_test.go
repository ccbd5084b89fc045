package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const okPipeline = `name: ok
sources:
  readings: {generate: {rate: 0, events: 100}, event_time: ts}
steps:
  hot: {from: readings, where: temperature > 20}
  unread: {from: hot, where: site == "x"}
sinks:
  out: {from: hot, "null": {}}
`

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCheckSaysWhichFilesAreFine(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "ok.yaml", okPipeline)
	write(t, "bad.yaml", strings.Replace(okPipeline, "temperature", "temprature", 1))
	code, stdout, stderr := gorge("check", "ok.yaml", "bad.yaml")
	if code != exitRefused {
		t.Errorf("exit code %d", code)
	}
	if want := "ok.yaml: pipeline ok is fine (sources 1, steps 1, sinks 1)\n"; stdout != want {
		t.Errorf("printed %q", stdout)
	}
	for _, part := range []string{"warning[plan/unread]", "error[expr/unknown-column]", "bad.yaml:5:32", "did you mean temperature?"} {
		if !strings.Contains(stderr, part) {
			t.Errorf("%q is not in:\n%s", part, stderr)
		}
	}
	if code, _, stderr := gorge("check", "ok.yaml", "--set", "sources.readings.generate.rate=fast"); code != exitRefused || !strings.Contains(stderr, "--set:1:") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	for _, args := range [][]string{{"check"}, {"check", "missing.yaml"}, {"plan"}, {"plan", "ok.yaml", "--format", "svg"}, {"new", "a", "b"}, {"new", "Bad Name"}} {
		if code, _, _ := gorge(args...); code != exitUsage {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
}

func TestCheckLooksForTheFilesOfFunctions(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "dir/p.yaml", `name: p
sources: {readings: {generate: {}}}
functions: {score: {file: udfs/score.py}}
steps: {scored: {from: readings, call: {s: score(temperature)}}}
sinks: {out: {from: scored, "null": {}}}
`)
	code, _, stderr := gorge("check", "dir/p.yaml")
	if code != exitRefused || !strings.Contains(stderr, "cli/function-file") || !strings.Contains(stderr, "dir/p.yaml:3:13") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	write(t, "dir/udfs/score.py", "")
	if code, _, stderr := gorge("check", "dir/p.yaml"); code != exitDone {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestCheckLooksAtTheSettingsOfFormats(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, c := range map[string]struct{ source, sink, says string }{
		"a source": {`format: {csv: ";;"}`, "stdout: {}", "csv/bad-delimiter"},
		"a sink":   {"format: csv", `file: out.csv, format: {csv: {null: "a,b"}}`, "csv/bad-null"},
		"columns":  {"format: csv", "file: out, format: raw", "raw/one-column"},
		"nothing":  {"format: csv", "file: out, format: json", ""},
	} {
		write(t, "p.yaml", "name: p\nsources:\n  in: {file: in.csv, "+c.source+", schema: {a: int64, b: string}}\nsinks:\n  out: {from: in, "+c.sink+"}\n")
		code, _, stderr := gorge("check", "p.yaml")
		if want := map[bool]int{true: exitDone, false: exitRefused}[c.says == ""]; code != want || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit code %d: %s", name, code, stderr)
		}
		if c.says != "" && !strings.Contains(stderr, "--> p.yaml:") {
			t.Errorf("%s: no place: %s", name, stderr)
		}
	}
}

func TestAListOfFilesIsAShortForm(t *testing.T) {
	t.Chdir(t.TempDir())
	for files, want := range map[string]int{"[a.csv, b.csv]": exitDone, "a.csv": exitDone, "[a.csv, [b.csv]]": exitRefused} {
		write(t, "p.yaml", "name: p\nsources:\n  in: {file: "+files+", format: csv, schema: {a: int64}}\nsinks:\n  out: {from: in, stdout: {}}\n")
		if code, _, stderr := gorge("check", "p.yaml"); code != want {
			t.Errorf("%s: exit code %d: %s", files, code, stderr)
		}
	}
}

func TestPlanExplainsInThreeForms(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "ok.yaml", okPipeline)
	code, text, _ := gorge("plan", "ok.yaml")
	if code != exitDone || !strings.Contains(text, "reads 7 of 7 columns") || !strings.Contains(text, "exactly_once (engine)") {
		t.Errorf("exit code %d: %s", code, text)
	}
	_, js, _ := gorge("plan", "ok.yaml", "--format", "json")
	var p struct {
		Name  string
		Nodes []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(js), &p); err != nil || p.Name != "ok" || len(p.Nodes) != 3 {
		t.Errorf("%v: %s", err, js)
	}
	if _, dot, _ := gorge("plan", "ok.yaml", "--format", "dot"); !strings.HasPrefix(dot, "digraph") {
		t.Error(dot)
	}
}

func TestNewWritesAPipelineThatRuns(t *testing.T) {
	t.Chdir(t.TempDir())
	if code, stdout, stderr := gorge("new", "first"); code != exitDone || !strings.Contains(stdout, "gorge run first.yaml") {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	if code, _, stderr := gorge("check", "first.yaml"); code != exitDone || stderr != "" {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	code, _, stderr := gorge("run", "first.yaml", "--http", "off", "--quiet", "--set", "sources.readings.generate.rate=0", "--set", "sources.readings.generate.event_rate=200",
		"--set", "steps.restless.where=spread > 1000") // standard output is not the command's: keep it quiet
	if code != exitDone {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	averages, err := os.ReadFile("averages.ndjson")
	if err != nil || strings.Count(string(averages), "\n") < 80 { // 20 devices, at least 4 windows
		t.Errorf("%v: %d lines", err, strings.Count(string(averages), "\n"))
	}
	if !regexp.MustCompile(`"spread":[3-9]`).Match(averages) {
		t.Error("no window stands out")
	}
	before, _ := os.ReadFile("first.yaml")
	if code, _, _ := gorge("new", "first"); code != exitUsage {
		t.Errorf("exit code %d", code)
	}
	if after, _ := os.ReadFile("first.yaml"); string(after) != string(before) {
		t.Error("the file was overwritten")
	}
}
