package engine

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// TestMain takes a shell script for the engine: the package is about processes.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "engine-test-")
	if err != nil {
		panic(err)
	}
	script := filepath.Join(dir, "gorge")
	if err := os.WriteFile(script, []byte("#!/bin/sh\neval \"$*\"\n"), 0o755); err != nil {
		panic(err)
	}
	os.Setenv("GORGE_BINARY", script)
	code := m.Run()
	os.RemoveAll(dir)
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); err != nil && code == 0 {
		panic(err)
	}
	os.Exit(code)
}

func TestRun(t *testing.T) {
	r := Run(t, Command{Args: []string{"cat; echo $X; pwd; echo bad >&2; exit 3"}, Dir: t.TempDir(), Env: []string{"X=7"}, Stdin: strings.NewReader("in\n")})
	if lines := Lines(r.Stdout); r.Code != 3 || len(lines) != 3 || lines[0] != "in" || lines[1] != "7" || r.Stderr != "bad\n" {
		t.Errorf("%+v", r)
	}
}

func TestSignalAndUntil(t *testing.T) {
	p := Start(t, Command{Args: []string{"trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done"}})
	p.Until("it is up", func() bool { return strings.Contains(p.Stdout(), "up") })
	p.Signal(syscall.SIGTERM)
	if r := p.Wait(); r.Code != 0 || !strings.Contains(r.Stdout, "bye") {
		t.Errorf("%+v", r)
	}
}

func TestCleanupKillsTheGroup(t *testing.T) {
	var p *Process
	t.Run("inner", func(t *testing.T) {
		p = Start(t, Command{Args: []string{"tail -f /dev/null & echo up; wait"}})
		p.Until("it is up", func() bool { return strings.Contains(p.Stdout(), "up") })
	})
	if r := p.Wait(); r.Code != -1 {
		t.Errorf("%+v, want the end by a signal", r)
	}
}
