package python

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/udf"
)

func TestTasksShareWorkersAndOverlapCalls(t *testing.T) {
	p := mustOpen(t, Spec{Name: "f", Args: one, Workers: 2, File: script(t, "def f(x):\n    if (x % 1000 == 999).any(): raise ValueError('no')\n    return x * 2\n")}, Options{MaxRows: 256})
	var wg sync.WaitGroup
	for task := range 4 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			type flight struct {
				call udf.Call
				args *batch.Batch
			}
			var flying []flight
			land := func() bool {
				f := flying[0]
				flying = flying[1:]
				defer f.args.Release()
				r, err := f.call.Wait(ctx)
				if err != nil {
					t.Errorf("task %d: %v", task, err)
					return false
				}
				defer r.Batch.Release()
				bad := 0
				for i, x := range f.args.Col(0).Float64s()[:f.args.Len()] {
					if int(x)%1000 == 999 {
						if bad >= len(r.Failures) || r.Failures[bad].Row != i || !r.Batch.Col(0).IsNull(i) {
							t.Errorf("task %d: row %d did not fail", task, i)
						}
						bad++
					} else if r.Batch.Col(0).Float64s()[i] != 2*x || r.Batch.Col(0).IsNull(i) {
						t.Errorf("task %d: row %d is wrong", task, i)
					}
				}
				return bad == len(r.Failures)
			}
			for k := range 60 {
				args := floats(1, 1+k*37%700, func(_, i int) float64 { return float64(task*100000 + k*700 + i) })
				c, err := p.Start(ctx, args)
				if err != nil {
					t.Errorf("task %d: %v", task, err)
					args.Release()
					return
				}
				// More calls than slots: Start takes in what it must to go on.
				if flying = append(flying, flight{c, args}); len(flying) > 12 && !land() {
					t.Errorf("task %d: wrong failures", task)
				}
			}
			for len(flying) > 0 {
				land()
			}
		})
	}
	wg.Wait()
}

func TestPoolsOfDifferentFunctionsRunSideBySide(t *testing.T) {
	a := mustOpen(t, Spec{Name: "f", Args: one, File: script(t, "def f(x): return x + 1\n")}, Options{})
	b := mustOpen(t, Spec{Name: "f", Args: one, File: script(t, "import os\ndef f(x):\n    if x[0] == 3: os._exit(1)\n    return x + 2\n")}, Options{})
	args := counting(4)
	defer args.Release()
	for range 3 {
		ca, err := a.Start(context.Background(), args)
		if err != nil {
			t.Fatal(err)
		}
		rb := run(t, b, args)
		ra, err := ca.Wait(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if x, y := ra.Batch.Col(0).Float64s()[0], rb.Batch.Col(0).Float64s()[0]; x != 1 || y != 2 {
			t.Errorf("got %v and %v", x, y)
		}
		ra.Batch.Release()
		rb.Batch.Release()
	}
}

func TestCloseEndsCallsUnderWay(t *testing.T) {
	p := mustOpen(t, Spec{Name: "f", Args: one, Workers: 2, File: script(t, "import time\ndef f(x):\n    time.sleep(600)\n    return x\n"), Timeout: time.Hour}, Options{})
	var wg sync.WaitGroup
	waiting := make(chan struct{}, 3)
	for range 3 {
		wg.Go(func() {
			args := counting(10)
			defer args.Release()
			c, err := p.Start(context.Background(), args)
			waiting <- struct{}{}
			if err == nil {
				_, err = c.Wait(context.Background())
			}
			if !errors.Is(err, errClosed) {
				t.Errorf("got %v", err)
			}
		})
	}
	for range 3 {
		<-waiting
	}
	_ = p.Close()
	wg.Wait()
	args := counting(10)
	defer args.Release()
	if _, err := p.Start(context.Background(), args); !errors.Is(err, errClosed) {
		t.Errorf("a closed pool takes calls: %v", err)
	}
	_ = p.Close()
}

func TestACancelledContextEndsWaitAndStart(t *testing.T) {
	p := mustOpen(t, Spec{Name: "f", Args: one, Timeout: time.Hour, File: script(t, "import time\ndef f(x):\n    if x[0] == 0: time.sleep(1)\n    return x * 2\n")}, Options{})
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	args := counting(10)
	var calls []udf.Call
	for {
		c, err := p.Start(ctx, args)
		if err != nil {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("start: %v", err)
			}
			break
		}
		calls = append(calls, c)
	}
	for _, c := range calls {
		if _, err := c.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("wait: %v", err)
		}
	}
	args.Release()
	later := floats(1, 5, func(_, i int) float64 { return float64(i + 1) })
	defer later.Release()
	r := run(t, p, later)
	defer r.Batch.Release()
	if got := r.Batch.Col(0).Float64s()[4]; got != 10 {
		t.Errorf("after the cancelled calls: %v", got)
	}
}

func TestArgumentsMustHaveTheKindsOfTheFunction(t *testing.T) {
	p := mustOpen(t, Spec{Name: "f", Args: []batch.Kind{f64, f64}, File: script(t, "def f(x, y): return x\n")}, Options{})
	for _, kinds := range [][]batch.Kind{{f64}, {f64, batch.Int64}} {
		args := batchOf(kinds, 1, func(*batch.Batch, int) {})
		if _, err := p.Start(context.Background(), args); err == nil || !strings.Contains(err.Error(), "function f") {
			t.Errorf("%v: %v", kinds, err)
		}
		args.Release()
	}
}

func TestCallsAllocateNothingPerRow(t *testing.T) {
	p := mustOpen(t, Spec{Name: "f", Args: one, File: script(t, "def f(x): return x\n")}, Options{Log: slog.New(slog.DiscardHandler)})
	ctx := context.Background()
	for _, rows := range []int{64, 8192} {
		args := counting(rows)
		call := func() {
			c, err := p.Start(ctx, args)
			if err != nil {
				t.Fatal(err)
			}
			r, err := c.Wait(ctx)
			if err != nil {
				t.Fatal(err)
			}
			r.Batch.Release()
		}
		call()
		if n := testing.AllocsPerRun(100, call); n > 1 {
			t.Errorf("%v allocations for a call of %d rows", n, rows)
		}
		args.Release()
	}
}

// badWorkers are functions that reach around the worker and write what no sane
// worker writes into the shared memory. Each gets hold of the mapping by the
// garbage collector's list of objects.
var badWorkers = map[string]string{
	"counter ahead":     "words[0] = 1 << 40; time.sleep(60)",
	"counter back":      "words[0] = 2**64 - 1; time.sleep(60)",
	"sequence":          "break_header(0, '<Q', 99)",
	"rows":              "break_header(8, '<I', 1 << 30)",
	"status":            "break_header(12, '<I', 77)",
	"columns":           "break_header(16, '<Q', 1 << 63)",
	"failures too long": "break_header(12, '<I', 1); break_header(24, '<I', 1 << 31)",
	"failures no JSON":  "break_header(12, '<I', 1); break_header(24, '<I', 100)",
	"socket closed":     "os.close(3)",
	"socket flooded":    "flood()",
}

const badWorker = `
import gc, os, socket, struct, time
from gorge._worker import protocol
memory = [m for m in gc.get_objects() if type(m).__name__ == "Memory"][0]
words = memory.output_words

real = protocol.RESULT_HEADER
breaks = []

class Header:
    def pack_into(self, memory, at, *values):
        real.pack_into(memory, at, *values)
        for offset, how, value in breaks:
            struct.pack_into(how, memory, at + offset, value)

def break_header(*what):
    breaks.append(what)
    protocol.RESULT_HEADER = Header()

def flood():
    s = socket.socket(fileno=os.dup(3))
    try:
        while True: s.send(b"x" * 60, socket.MSG_DONTWAIT)
    except BlockingIOError:
        pass
    words[16] = 1

def f(x):
    if (x == 3).any():
        HOW
    return x * 2
`

func TestAWorkerThatWritesGarbageIsReplaced(t *testing.T) {
	for name, how := range badWorkers {
		t.Run(name, func(t *testing.T) {
			p := mustOpen(t, Spec{Name: "f", Args: one, File: script(t, strings.Replace(badWorker, "HOW", how, 1)), Timeout: 2 * time.Second}, Options{})
			args := counting(8)
			defer args.Release()
			r := run(t, p, args)
			for i, v := range r.Batch.Col(0).Float64s()[:8] {
				failed := r.Batch.Col(0).IsNull(i)
				if !failed && v != float64(2*i) {
					t.Errorf("row %d is %v", i, v)
				}
				if failed && i != 3 {
					t.Errorf("row %d failed: %+v", i, r.Failures)
				}
			}
			r.Batch.Release()
			if !strings.HasPrefix(name, "socket") && p.Stats().Deaths == 0 {
				t.Error("the worker was not replaced")
			}
			later := floats(1, 5, func(_, i int) float64 { return float64(i + 10) })
			defer later.Release()
			r = run(t, p, later)
			defer r.Batch.Release()
			if len(r.Failures) > 0 || r.Batch.Col(0).Float64s()[0] != 20 {
				t.Errorf("afterwards: %v", r.Failures)
			}
		})
	}
}

func TestAFunctionCannotWriteItsArguments(t *testing.T) {
	for name, how := range map[string]string{
		"flag":   "x.flags.writeable = True; x[0] = 1",
		"map":    "import mmap; m = mmap.mmap(fd(), 4096, mmap.MAP_SHARED, mmap.PROT_WRITE)",
		"pwrite": "os.pwrite(fd(), b'x', 0)",
		"resize": "os.ftruncate(fd(), 1)",
	} {
		t.Run(name, func(t *testing.T) {
			p := mustOpen(t, Spec{Name: "f", Args: one, File: script(t, `
import os
def fd():
    for line in open("/proc/self/maps"):
        if "gorge-udf-input" in line:
            return os.open("/proc/self/map_files/" + line.split()[0], os.O_RDWR)
def f(x):
    `+how+`
    return x * 2
`)}, Options{})
			args := counting(3)
			defer args.Release()
			r := run(t, p, args)
			defer r.Batch.Release()
			if len(r.Failures) != 3 {
				t.Errorf("the function wrote: %+v", r.Failures)
			}
		})
	}
}
