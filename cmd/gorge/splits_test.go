package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFilesThatNoCheckpointCanName are refused with checkpoints, and read without.
func TestFilesThatNoCheckpointCanName(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a\xfe.ndjson", "a\xff.ndjson"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{\"a\":1}\n"), 0o600); err != nil {
			t.Skip("the file system has no such names:", err)
		}
	}
	file := tempFile(t, "p.yaml", "name: p\nsources:\n  e: {file: \""+dir+"/*.ndjson\", format: json, schema: {a: int64}}\nsinks:\n  o: {from: e, \"null\": {}}\n")
	for args, want := range map[string]string{"--checkpoint=1s": "is not UTF-8", "--checkpoint=off": "2 rows in"} {
		code, _, stderr := inProcess(t, "", "run", "--http", "off", "--data", t.TempDir(), args, file)
		if !strings.Contains(stderr, want) || code != exitDone != (args == "--checkpoint=1s") {
			t.Errorf("%s: exit code %d\n%s", args, code, stderr)
		}
	}
}
