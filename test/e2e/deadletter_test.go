package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gorge-stream/gorge/test/engine"
)

const refusing = `
name: rows
sources:
  rows: {file: in.ndjson, format: json, schema: {id: int64, v: int64}}
sinks:
  out: {from: rows, file: first.ndjson, format: json}
`

const mended = `
name: rows
checkpoint: 100ms
sources:
  rows: {http: {}, format: json, schema: {id: int64, v: string}}
sinks:
  out: {from: rows, file: out/, format: json}
`

// TestAReplayThatWasKilledIsRepeatedWithoutDoubles kills a replay of dead letters
// at work and repeats it, and then repeats all of it once more as if nothing had been
// noted: each letter comes out once.
func TestAReplayThatWasKilledIsRepeatedWithoutDoubles(t *testing.T) {
	const letters = 3000
	dir := t.TempDir()
	var in bytes.Buffer
	var want []string
	for i := range letters {
		fmt.Fprintf(&in, "{\"id\":%d,\"v\":1}\n{\"id\":%d,\"v\":\"text\"}\n", i, i)
		want = append(want, fmt.Sprintf(`{"id":%d,"v":"text"}`, i))
	}
	slices.Sort(want)
	write(t, dir, "in.ndjson", in.String())
	write(t, dir, "refusing.yaml", refusing)
	write(t, dir, "mended.yaml", mended)
	run := func(code int, args ...string) engine.Result {
		t.Helper()
		r := engine.Run(t, engine.Command{Dir: dir, Args: args})
		if r.Code != code {
			t.Fatalf("gorge %s: exit code %d, want %d\n%s", strings.Join(args, " "), r.Code, code, r.Stderr)
		}
		return r
	}
	run(0, "run", "refusing.yaml", "--http", "off", "--data", "data")
	if r := run(1, "deadletter", "replay", "refusing.yaml", "--data", "data"); !strings.Contains(r.Stderr, "--out FILE") {
		t.Errorf("%s", r.Stderr)
	}
	folder := filepath.Join(dir, "data", "dead-letters")
	parts := func() []string {
		found, _ := filepath.Glob(filepath.Join(folder, "part-*"))
		return found
	}
	if len(parts()) == 0 {
		t.Fatal("there are no dead letters")
	}
	saved := map[string]string{}
	for _, p := range parts() {
		saved[p] = read(t, p)
	}

	address := engine.Address(t)
	p := engine.Start(t, engine.Command{Dir: dir, Args: []string{"run", "mended.yaml", "--http", address, "--data", "data2"}})
	p.Ready(address)
	again := []string{"deadletter", "replay", "mended.yaml", "--data", "data", "--http", address}
	replay := engine.Start(t, engine.Command{Dir: dir, Args: again})
	replay.Until("some letters are noted as replayed", func() bool {
		marks, _ := filepath.Glob(filepath.Join(folder, ".replayed-*"))
		for _, m := range marks {
			if info, err := os.Stat(m); err == nil && info.Size() > 200 {
				return true
			}
		}
		return false
	})
	replay.Signal(syscall.SIGKILL)
	if replay.Wait().Code == 0 {
		t.Log("the replay was through before it could be killed")
	}
	if len(parts()) == 0 {
		t.Log("every part had been moved")
	}
	run(0, again...)
	if left := parts(); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
	for path, text := range saved {
		if moved := read(t, filepath.Join(folder, "replayed", filepath.Base(path))); moved != text {
			t.Errorf("%s was changed when it was moved", path)
		}
		write(t, folder, filepath.Base(path), text)
	}
	run(0, again...)
	p.Signal(syscall.SIGTERM)
	p.Wait()
	var got []string
	outputs, _ := filepath.Glob(filepath.Join(dir, "out", "part-*"))
	for _, path := range outputs {
		got = append(got, engine.Lines(read(t, path))...)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%d letters came out, want %d", len(got), len(want))
	}
}
