package main

import (
	"strings"
	"testing"
)

func TestCrashTestsThatProveNothingAreRefused(t *testing.T) {
	in := tempFile(t, "in.ndjson", "{}\n")
	pipeline := func(source, sink string) string {
		return tempFile(t, "p.yaml", "name: p\nsources:\n  e: {"+source+"}\nsinks:\n  o: {from: e, "+sink+"}\n")
	}
	file := `file: "` + in + `", format: json, schema: {a: "int64?"}`
	good := pipeline(file, "stdout: {}")
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no flag", []string{good}, exitUsage, "--crash"},
		{"no file", []string{"--crash"}, exitUsage, "needs the pipeline file"},
		{"standard input", []string{"-", "--crash"}, exitUsage, "write it to a file"},
		{"rounds", []string{good, "--crash", "--rounds", "-1"}, exitUsage, "--rounds is a number"},
		{"no end", []string{pipeline("generate: {}", "stdout: {}"), "--crash"}, exitFailed, "--set sources.e.generate.events="},
		{"by the clock", []string{pipeline("generate: {events: 10}", "stdout: {}"), "--crash"}, exitFailed, "--set sources.e.generate.rate=0"},
		{"requests", []string{pipeline(`http: {}, format: json, schema: {a: int64}`, "stdout: {}"), "--crash"}, exitFailed, "has no end"},
		{"a stream", []string{pipeline(`file: "-", format: json, schema: {a: int64}`, "stdout: {}"), "--crash"}, exitFailed, "cannot be read again"},
		{"to somebody", []string{pipeline(file, `http: "http://localhost:1/"`), "--crash"}, exitFailed, "--allow-http"},
		{"nothing to compare", []string{pipeline(file, `"null": {}`), "--crash"}, exitFailed, "no output that could be compared"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, stderr := inProcess(t, "", append([]string{"test"}, c.args...)...)
			if code != c.code || !strings.Contains(stderr, c.says) || !strings.Contains(stderr, "hint:") {
				t.Errorf("exit code %d, want %d; said\n%s", code, c.code, stderr)
			}
		})
	}
}

func TestOutputsAreCompared(t *testing.T) {
	rows := func(text string) []string { return strings.Fields(text) }
	for _, c := range []struct {
		name      string
		want, got written
		says      string
	}{
		{"equal", written{rows: rows("a b b")}, written{rows: rows("b a b")}, ""},
		{"twice", written{rows: rows("a b")}, written{rows: rows("a b a")}, "a row twice: a"},
		{"missing", written{rows: rows("a b b")}, written{rows: rows("a b")}, "a row is missing: b"},
		{"foreign", written{rows: rows("a")}, written{rows: rows("a c")}, "a row that should not be there: c"},
		{"nothing", written{rows: rows("a")}, written{}, "a row is missing: a"},
		{"again is fine at least once", written{rows: rows("a b"), again: true}, written{rows: rows("a b a"), again: true}, ""},
		{"missing at least once", written{rows: rows("a b"), again: true}, written{rows: rows("a a"), again: true}, "a row is missing: b"},
		{"order of keys is free", written{rows: rows(`{"k":1,"n":1} {"k":2,"n":1}`), keys: []string{"k"}},
			written{rows: rows(`{"k":2,"n":1} {"k":1,"n":1}`), keys: []string{"k"}}, ""},
		{"order within a key is not", written{rows: rows(`{"k":1,"n":1} {"k":1,"n":2}`), keys: []string{"k"}},
			written{rows: rows(`{"k":1,"n":2} {"k":1,"n":1}`), keys: []string{"k"}}, `in another order: {"k":1,"n":1}`},
	} {
		if got := differ(c.want, c.got); got != c.says {
			t.Errorf("%s: %q, want %q", c.name, got, c.says)
		}
	}
}
