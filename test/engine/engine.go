// Package engine builds and runs the real binary for the tests of whole
// programs: commands that end, and engines that serve until they are stopped.
//
// It knows the command line and HTTP, and no package of the engine.
package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience is how long a test waits for anything before it gives up. It is a
// bound for broken programs, not a measure of speed.
const Patience = 2 * time.Minute

// Root returns the root of the repository.
func Root() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	panic("engine: no go.mod above the working directory")
}

var build = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("GORGE_BINARY"); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "gorge-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "gorge")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "./cmd/gorge")
	cmd.Dir = Root()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// Main runs the tests of a package and removes the binary that they built.
func Main(m *testing.M) int {
	code := m.Run()
	if os.Getenv("GORGE_BINARY") == "" {
		if path, err := build(); err == nil {
			os.RemoveAll(filepath.Dir(path))
		}
	}
	return code
}

// Binary returns the path of the engine, built from this tree, or the one that
// GORGE_BINARY names.
func Binary(tb testing.TB) string {
	tb.Helper()
	path, err := build()
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

// Python returns an interpreter with NumPy: GORGE_PYTHON or the .venv of the
// repository. Without one the test is skipped on a person's machine, and fails in CI.
func Python(tb testing.TB) string {
	tb.Helper()
	candidates := []string{os.Getenv("GORGE_PYTHON"), filepath.Join(Root(), ".venv", "bin", "python")}
	for _, path := range candidates {
		if path != "" && exec.Command(path, "-c", "import numpy").Run() == nil {
			return path
		}
	}
	const advice = "no Python with NumPy: run make venv, or set GORGE_PYTHON"
	if os.Getenv("CI") != "" {
		tb.Fatal(advice)
	}
	tb.Skip("SKIPPED: " + advice)
	return ""
}

// Command is a call of the engine.
type Command struct {
	Args  []string
	Dir   string   // working directory; empty: the root of the repository
	Env   []string // added to the environment
	Stdin io.Reader
}

// Result is what an ended engine left.
type Result struct {
	Code           int // exit code; -1 when a signal ended it
	Stdout, Stderr string
}

// Run runs the engine to its end.
func Run(tb testing.TB, c Command) Result {
	tb.Helper()
	return Start(tb, c).Wait()
}

// Process is a running engine.
type Process struct {
	tb             testing.TB
	cmd            *exec.Cmd
	stdout, stderr buffer
	done           chan struct{} // closed when the engine has ended
	once           sync.Once
	result         Result
}

// buffer can be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

// Write appends to the buffer.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String returns what was written so far.
func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Start starts the engine. It is killed at the end of the test if it still runs.
func Start(tb testing.TB, c Command) *Process {
	tb.Helper()
	p := &Process{tb: tb, cmd: exec.Command(Binary(tb), c.Args...), done: make(chan struct{})}
	p.cmd.Dir = c.Dir
	if c.Dir == "" {
		p.cmd.Dir = Root()
	}
	p.cmd.Env = append(os.Environ(), c.Env...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = c.Stdin, &p.stdout, &p.stderr
	p.cmd.WaitDelay = 10 * time.Second // for a child that outlives the engine and holds its output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		defer close(p.done)
		if err := p.cmd.Wait(); err != nil && p.cmd.ProcessState == nil {
			tb.Errorf("wait: %v", err)
		}
	}()
	tb.Cleanup(func() {
		p.kill()
		p.Wait()
	})
	return p
}

// kill ends the engine and its workers; afterwards it is a no-op.
func (p *Process) kill() {
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		p.tb.Logf("kill: %v", err)
	}
}

// PID returns the process id of the engine.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal to the engine alone.
func (p *Process) Signal(s os.Signal) {
	p.tb.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.tb.Fatalf("signal: %v", err)
	}
}

// Stderr returns what the engine has printed there so far.
func (p *Process) Stderr() string { return p.stderr.String() }

// Stdout returns what the engine has printed there so far.
func (p *Process) Stdout() string { return p.stdout.String() }

// Wait waits for the end and returns what the engine left. After Patience it
// kills the engine and fails the test.
func (p *Process) Wait() Result {
	p.tb.Helper()
	p.once.Do(func() {
		select {
		case <-p.done:
		case <-time.After(Patience):
			p.kill()
			<-p.done
			p.tb.Errorf("the engine did not end within %v:\n%s", Patience, p.stderr.String())
		}
		p.result = Result{Code: p.cmd.ProcessState.ExitCode(), Stdout: p.stdout.String(), Stderr: p.stderr.String()}
	})
	return p.result
}

// Address returns a free address of this machine.
func Address(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Until polls until the condition holds or Patience is over. It returns early
// when the engine has ended, for nothing will change then.
func (p *Process) Until(what string, holds func() bool) {
	p.tb.Helper()
	deadline := time.Now().Add(Patience)
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	for !holds() {
		if time.Now().After(deadline) {
			p.tb.Fatalf("waited in vain until %s\n%s", what, p.stderr.String())
		}
		select {
		case <-p.done:
			if !holds() {
				p.tb.Fatalf("the engine ended (%v) before %s\n%s", p.cmd.ProcessState, what, p.stderr.String())
			}
			return
		case <-pause.C:
		}
	}
}

// Ready waits until the engine at the address says that it is ready.
func (p *Process) Ready(address string) {
	p.tb.Helper()
	p.Until("/readyz answers 200", func() bool {
		res, err := http.Get("http://" + address + "/readyz")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// Get returns the body of an answer with status 200.
func Get(tb testing.TB, url string) string {
	tb.Helper()
	res, err := http.Get(url)
	if err != nil {
		tb.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		tb.Fatalf("GET %s: %s\n%s", url, res.Status, body)
	}
	return string(body)
}

// Lines splits text into its lines, without the empty one behind the last newline.
func Lines(text string) []string {
	text = strings.TrimSuffix(text, "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}
