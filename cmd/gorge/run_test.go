package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// inProcess runs a command line in process and returns its exit code and outputs.
func inProcess(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

func tempFile(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestExitCodes(t *testing.T) {
	good := tempFile(t, "p.yaml", "name: p\nsources:\n  e: {generate: {events: 3, rate: 0}}\nsinks:\n  o: {from: e, \"null\": {}}\n")
	bad := tempFile(t, "p.yaml", "name: p\nsorces: {}\n")
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"help", nil, exitDone, ""},
		{"version", []string{"version"}, exitDone, ""},
		{"no such command", []string{"rnu"}, exitUsage, "did you mean: gorge run"},
		{"no such flag", []string{"run", "--tasks", "2", good}, exitUsage, "unknown flag"},
		{"no file", []string{"run"}, exitUsage, "needs the pipeline file"},
		{"file missing", []string{"run", "/does/not/exist.yaml"}, exitUsage, "cannot read the pipeline file"},
		{"wrong level", []string{"run", "--log-level", "loud", good}, exitUsage, "there is no log level"},
		{"refused", []string{"run", bad}, exitRefused, "sources"},
		{"wrong parallelism", []string{"run", "--http", "off", "-p", "0", good}, exitUsage, "--parallelism is 0"},
		{"wrong rows of a batch", []string{"run", "--http", "off", "--batch-rows", "65537", good}, exitUsage, "--batch-rows is 65537"},
		{"remote address", []string{"run", "--http", "0.0.0.0:0", good}, exitFailed, "hint:"},
		{"runs", []string{"run", "--http", "off", "--data", t.TempDir(), good}, exitDone, "done: 3 rows in, 3 out"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, stderr := inProcess(t, "", c.args...)
			if code != c.code || !strings.Contains(stderr, c.says) {
				t.Errorf("exit code %d, want %d; said\n%s", code, c.code, stderr)
			}
		})
	}
}

func TestAPipelineComesFromStandardInput(t *testing.T) {
	code, _, stderr := inProcess(t, "name: p\nsources:\n  e: {generate: {events: 5, rate: 0}}\nsinks:\n  o: {from: e, \"null\": {}}\n", "run", "--data", t.TempDir(), "-")
	if code != exitDone || !strings.Contains(stderr, "5 rows in") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}

func TestDeadLettersHaveAPlaceWhenTheFileNamesNone(t *testing.T) {
	in := tempFile(t, "in.ndjson", "{\"a\":1}\n{\"a\":\"x\"}\n{\"a\":3}\n")
	data := t.TempDir()
	code, _, stderr := inProcess(t, "", "run", "--http", "off", "--data", data,
		tempFile(t, "p.yaml", "name: p\nsources:\n  e: {file: \""+in+"\", format: json, schema: {a: int64}}\nsinks:\n  o: {from: e, \"null\": {}}\n"))
	if code != exitDone || !strings.Contains(stderr, "1 bad, 1 dead letters") || !strings.Contains(stderr, data) {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	files, err := filepath.Glob(filepath.Join(data, "dead-letters", "[^.]*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("dead letters are in %q, %v", files, err)
	}
	letters, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"step":"e"`, `"code":"type"`, `"column":"a"`, `line 2`} {
		if !strings.Contains(string(letters), want) {
			t.Errorf("%s lacks %s", letters, want)
		}
	}
}

func TestNumbersForPeople(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", 12345678: "12,345,678"} {
		if got := group(n); got != want {
			t.Errorf("group(%d) = %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int64]string{7: "7", 9999: "9999", 12345: "12.3 k", 3_400_000: "3.4 M", 12_000_000_000: "12.0 G"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %s, want %s", n, got, want)
		}
	}
}
