package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestARunThatCannotGoOnDoesNotBeginAnewInstead: it would make all output again.
func TestARunThatCannotGoOnDoesNotBeginAnewInstead(t *testing.T) {
	data := t.TempDir()
	file := tempFile(t, "p.yaml", "name: p\nsources:\n  e: {generate: {events: 3, rate: 0}}\nsinks:\n  o: {from: e, \"null\": {}}\n")
	start := func(args ...string) (int, string) {
		code, _, stderr := inProcess(t, "", append([]string{"run", "--http", "off", "--data", data, file}, args...)...)
		return code, stderr
	}
	if code, stderr := start(); code != exitDone {
		t.Fatal(stderr)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--from", "0"}, exitFailed, "there is no checkpoint of epoch 0"},
		{[]string{"--from", "2"}, exitFailed, "nothing to go on from in the checkpoint of epoch 2"},
		{[]string{"--from", filepath.Join(data, checkpointsDir)}, exitFailed, "nothing to go on from"},
		{[]string{"--fresh", "--rename", "a=b"}, exitUsage, "leave out --fresh"},
		{[]string{"--fresh", "--drop-state"}, exitUsage, "leave out --fresh"},
	} {
		if code, stderr := start(c.args...); code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("%q: exit code %d, want %d with %q:\n%s", c.args, code, c.code, c.says, stderr)
		}
	}
}
