package dir

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/checkpoint/checkpointtest"
	"github.com/gorge-stream/gorge/internal/diag"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, files vfs.FS, path string) *Store {
	t.Helper()
	s, err := Open(files, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestADirectoryIsAStore(t *testing.T) {
	t.Run("disk", func(t *testing.T) {
		checkpointtest.Run(t, func(t *testing.T) checkpoint.Store {
			return open(t, vfs.Default, filepath.Join(t.TempDir(), "a", "b"))
		})
	})
	t.Run("memory", func(t *testing.T) {
		checkpointtest.Run(t, func(t *testing.T) checkpoint.Store { return open(t, vfs.NewMem(), "a/b") })
	})
}

func wantCode(t *testing.T, err error, code diag.Code, parts ...string) {
	t.Helper()
	var e *diag.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("got %v, want the code %s", err, code)
	}
	text := diag.Format(e)
	for _, p := range append(parts, "hint: ") {
		if !strings.Contains(text, p) {
			t.Errorf("no %q in:\n%s", p, text)
		}
	}
}

func TestASecondEngineIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	first, err := Open(vfs.Default, path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(vfs.Default, path)
	wantCode(t, err, "checkpoint/locked", path)

	if err := first.Put(t.Context(), "chunks/a", []byte("a")); err != nil {
		t.Fatal(err)
	}
	reader, err := OpenReadOnly(vfs.Default, path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := reader.Get(t.Context(), "chunks/a"); err != nil || string(got) != "a" {
		t.Errorf("beside the engine: %q, %v", got, err)
	}
	for what, err := range map[string]error{
		"put": reader.Put(t.Context(), "chunks/b", nil), "claim": reader.Claim(t.Context(), "manifests/1", nil), "delete": reader.Delete(t.Context(), []string{"chunks/a"}),
	} {
		if err == nil || !strings.Contains(err.Error(), "read only") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := errors.Join(reader.Close(), first.Close()); err != nil {
		t.Fatal(err)
	}
	open(t, vfs.Default, path)
}

// lockedPath makes the test binary a second engine.
const lockedPath = "GORGE_TEST_LOCKED_STORE"

func TestAnEngineInAnotherProcessIsRefused(t *testing.T) {
	if path := os.Getenv(lockedPath); path != "" {
		_, err := Open(vfs.Default, path)
		wantCode(t, err, "checkpoint/locked", path)
		return
	}
	path := t.TempDir()
	open(t, vfs.Default, path)
	c := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	c.Env = append(os.Environ(), lockedPath+"="+path)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// unlocked is a store as an engine has it whose lock does not work, as on some network disks.
func unlocked(t *testing.T, files vfs.FS, path string) *Store {
	t.Helper()
	s := newStore(files, path)
	s.lock = noLock{}
	if err := s.prepare(); err != nil {
		t.Fatal(err)
	}
	return s
}

type noLock struct{}

func (noLock) Close() error { return nil }

func TestClaimsAreExclusiveWithoutTheLock(t *testing.T) {
	path := t.TempDir()
	stores := []*Store{unlocked(t, vfs.Default, path), unlocked(t, vfs.Default, path), unlocked(t, vfs.Default, path)}
	for round := range 20 {
		name := fmt.Sprintf("manifests/%d", round)
		results := make([]error, len(stores))
		var all sync.WaitGroup
		for i, s := range stores {
			all.Go(func() { results[i] = s.Claim(t.Context(), name, fmt.Appendf(nil, "store %d", i)) })
		}
		all.Wait()
		winner := slices.Index(results, nil)
		for i, err := range results {
			if i != winner && !errors.Is(err, checkpoint.ErrExists) {
				t.Fatalf("claimer %d: %v", i, err)
			}
		}
		if got, err := stores[0].Get(t.Context(), name); err != nil || string(got) != fmt.Sprintf("store %d", winner) {
			t.Fatalf("store %d won, but the object is %q, %v", winner, got, err)
		}
	}
}

func TestOpenRemovesLeftovers(t *testing.T) {
	path := t.TempDir()
	if err := open(t, vfs.Default, path).Claim(t.Context(), "manifests/1", nil); err != nil {
		t.Fatal(err)
	}
	pending := filepath.Join(path, pendingFolder)
	for _, leaf := range []string{"ABCD-1", "ABCD-2"} {
		if err := os.WriteFile(filepath.Join(pending, leaf), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	unlocked(t, vfs.Default, path)
	if left, err := os.ReadDir(pending); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	path := t.TempDir()
	s := open(t, vfs.Default, path)
	foreign := filepath.Join(path, "chunks", ".nfs0001")
	if err := os.WriteFile(foreign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := s.List(t.Context(), ""); err != nil || len(got) != 0 {
		t.Errorf("the list is %v, %v", got, err)
	}
	unlocked(t, vfs.Default, path)
	if _, err := os.Stat(foreign); err != nil {
		t.Error(err)
	}
}

func TestOtherBytesUnderANameAreRefused(t *testing.T) {
	s := open(t, vfs.NewMem(), "store")
	if err := s.Put(t.Context(), "chunks/a", []byte("one")); err != nil {
		t.Fatal(err)
	}
	wantCode(t, s.Put(t.Context(), "chunks/a", []byte("two")), "checkpoint/write", "other bytes")
	if got, err := s.Get(t.Context(), "chunks/a"); err != nil || !bytes.Equal(got, []byte("one")) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAPathThatCannotBeAStoreIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "below")} {
		_, err := Open(vfs.Default, path)
		wantCode(t, err, "checkpoint/open", path)
	}
	_, err := OpenReadOnly(vfs.Default, filepath.Join(t.TempDir(), "none"))
	wantCode(t, err, "checkpoint/none", "none")
}
