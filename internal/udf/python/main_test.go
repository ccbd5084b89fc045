package python

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/udf"
)

// interpreter is the Python of the tests; empty when none with NumPy was found.
var interpreter string

func TestMain(m *testing.M) {
	env := os.Environ()
	if os.Getenv("GORGE_PYTHON") == "" {
		if own, err := filepath.Abs("../../../.venv/bin/python"); err == nil {
			if _, err := os.Stat(own); err == nil {
				env = append(env, "GORGE_PYTHON="+own)
			}
		}
	}
	if found, err := FindInterpreter(context.Background(), env); err == nil {
		interpreter = found.Path
	}
	if file := os.Getenv(engineForTest); file != "" {
		beEngine(file)
	}
	before, live := descriptors(), batch.Live()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if code == 0 && descriptors() > before {
			println("file descriptors leaked:", before, "before,", descriptors(), "after")
			code = 1
		}
		if code == 0 && batch.Live() != live {
			println("batches leaked:", batch.Live()-live)
			code = 1
		}
		os.Exit(code)
	}))
}

// descriptors counts those that the package makes: sockets, pipes and memfds.
func descriptors() int {
	n := 0
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && (strings.HasPrefix(target, "socket:") || strings.HasPrefix(target, "pipe:") || strings.Contains(target, "memfd:")) {
			n++
		}
	}
	return n
}

func needPython(t testing.TB) {
	t.Helper()
	if interpreter != "" {
		return
	}
	const advice = "no Python >= 3.11 with NumPy: run make venv, or set GORGE_PYTHON"
	if os.Getenv("CI") != "" {
		t.Fatal(advice)
	}
	t.Skip("SKIPPED: " + advice)
}

// script writes a Python file for a test.
func script(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "functions.py")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// logged collects log lines.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// quick are limits that let tests see the end of a pool's patience soon.
var quick = limits{
	starts: 2, deaths: 2, streak: 64, free: 64,
	backoff: time.Millisecond, maxDelay: time.Millisecond, grace: 500 * time.Millisecond,
}

func openTest(t testing.TB, spec Spec, options Options) (*Pool, error) {
	t.Helper()
	needPython(t)
	if spec.Interpreter == "" {
		spec.Interpreter = interpreter
	}
	if spec.Workers == 0 {
		spec.Workers = 1
	}
	if options.Log == nil {
		options.Log = slog.New(slog.NewTextHandler(&logged{}, nil))
	}
	return open(context.Background(), spec, options, quick)
}

func mustOpen(t testing.TB, spec Spec, options Options) *Pool {
	t.Helper()
	p, err := openTest(t, spec, options)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// floats makes a batch of float64 columns; column c of row i is value(c, i).
func floats(columns, rows int, value func(c, i int) float64) *batch.Batch {
	s := &batch.Schema{Time: -1}
	for range columns {
		s.Fields = append(s.Fields, batch.Field{Name: "x", Kind: batch.Float64, Nullable: true})
	}
	b := batch.NewPool(s, max(rows, 1)).Get()
	for c := range columns {
		v := b.Col(c).Float64s()
		for i := range rows {
			v[i] = value(c, i)
		}
	}
	b.SetLen(rows)
	return b
}

// run calls a function on a batch and gives the batch back.
func run(t testing.TB, p *Pool, args *batch.Batch) udf.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := p.Start(ctx, args)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	r, err := c.Wait(ctx)
	if err != nil {
		t.Fatalf("wait: %v", err)
	}
	return r
}
