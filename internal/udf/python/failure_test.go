package python

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/udf"
)

var one = []batch.Kind{f64}

// counting makes a batch of one column with the values 0, 1, 2, ...
func counting(rows int) *batch.Batch {
	return floats(1, rows, func(_, i int) float64 { return float64(i) })
}

// checkRows checks that the given rows failed with a code and the others are twice their number.
func checkRows(t *testing.T, r udf.Result, code string, failed ...int) {
	t.Helper()
	var got []int
	for _, f := range r.Failures {
		got = append(got, f.Row)
		if f.Code != code {
			t.Errorf("row %d failed by %s: %s", f.Row, f.Code, f.Message)
		}
	}
	if !slices.Equal(got, failed) {
		t.Fatalf("failed rows %v, expected %v", got, failed)
	}
	for i := range r.Batch.Len() {
		bad := slices.Contains(failed, i)
		if r.Batch.Col(0).IsNull(i) != bad {
			t.Fatalf("row %d: null is %v", i, !bad)
		}
		if v := r.Batch.Col(0).Float64s()[i]; !bad && v != float64(2*i) {
			t.Fatalf("row %d is %v", i, v)
		}
	}
}

func TestAnExceptionCostsOnlyTheRowsThatRaiseIt(t *testing.T) {
	p := mustOpen(t, Spec{Name: "f", Args: one, File: script(t, `
def check(x):
    for v in x:
        if v in (5, 700, 701, 1999):
            raise ValueError(f"bad value {v:.0f}")

def f(x):
    check(x)
    return x * 2
`)}, Options{})
	args := counting(2000)
	defer args.Release()
	r := run(t, p, args)
	defer r.Batch.Release()
	checkRows(t, r, "exception", 5, 700, 701, 1999)
	f := r.Failures[1]
	if f.Message != "ValueError: bad value 700" {
		t.Errorf("message %q", f.Message)
	}
	for _, s := range []string{"functions.py\", line 8, in f", "check(x)", "functions.py\", line 5, in check", "raise ValueError"} {
		if !strings.Contains(f.Traceback, s) {
			t.Errorf("the traceback does not show %q:\n%s", s, f.Traceback)
		}
	}
	if strings.Contains(f.Traceback, "_worker") {
		t.Errorf("the traceback shows the worker:\n%s", f.Traceback)
	}
}

func TestRowsFailInTheSameWayHoweverTheyAreBatched(t *testing.T) {
	file := script(t, `
def f(x):
    bad = x[x % 13 == 4]
    if len(bad):
        raise ValueError(f"bad {bad[0]}")
    return x * 2
`)
	var want []int
	for i := 4; i < 1000; i += 13 {
		want = append(want, i)
	}
	for _, rows := range []int{64, 192, 1000} {
		p := mustOpen(t, Spec{Name: "f", Args: one, File: file, Workers: 2}, Options{MaxRows: rows})
		args := counting(1000)
		r := run(t, p, args)
		checkRows(t, r, "exception", want...)
		for _, f := range r.Failures {
			if f.Message != fmt.Sprintf("ValueError: bad %d.0", f.Row) {
				t.Errorf("row %d: %s", f.Row, f.Message)
			}
		}
		r.Batch.Release()
		args.Release()
	}
}

func TestAFunctionThatLooksAtTheWholeBatchIsNotCalledOnParts(t *testing.T) {
	p := mustOpen(t, Spec{Name: "f", Args: one, File: script(t, `
import gorge
@gorge.udf(rowwise=False)
def f(x):
    if len(x) < 10: raise AssertionError("called on a part")
    if x[-1] == 99: raise ValueError("no")
    return x - x.mean()
`)}, Options{})
	args := counting(100)
	defer args.Release()
	r := run(t, p, args)
	defer r.Batch.Release()
	if len(r.Failures) != 100 || r.Failures[42].Message != "ValueError: no" {
		t.Errorf("%d failures, %+v", len(r.Failures), r.Failures[0])
	}
}

func TestAWorkerThatDiesIsReplacedAndOnlyTheRowToBlameFails(t *testing.T) {
	p := mustOpen(t, Spec{Name: "f", Args: one, File: script(t, "import os\ndef f(x):\n    if (x == 37).any(): os._exit(7)\n    return x * 2\n")}, Options{MaxRows: 64})
	args := counting(300)
	defer args.Release()
	r := run(t, p, args)
	defer r.Batch.Release()
	checkRows(t, r, "worker_died", 37)
	if s := p.Stats(); s.Deaths != 8 { // whole, again, 32, 16, 8, 4, 2, 1
		t.Errorf("stats %+v", s)
	}
}

func TestAFailureSaysHowTheWorkerEnded(t *testing.T) {
	for how, says := range map[string]string{
		"import os; os._exit(7)":             "exited with code 7",
		"import os; os.kill(os.getpid(), 9)": "killed by signal 9 (killed)",
		"import ctypes; ctypes.string_at(0)": "killed by signal 11 (segmentation fault)",
		"import os; os.abort()":              "killed by signal 6 (aborted)",
	} {
		p := mustOpen(t, Spec{Name: "f", Args: one, File: script(t, "def f(x): "+how+"\n")}, Options{})
		args := counting(1)
		r := run(t, p, args)
		if len(r.Failures) != 1 || r.Failures[0].Code != "worker_died" || !strings.Contains(r.Failures[0].Message, says) {
			t.Errorf("%s: %+v", how, r.Failures)
		}
		if s := p.Stats(); s.Deaths != 2 {
			t.Errorf("%s: stats %+v", how, s)
		}
		r.Batch.Release()
		args.Release()
		_ = p.Close()
	}
}

func TestAnAccidentChangesNothingInTheResult(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "died")
	p := mustOpen(t, Spec{Name: "f", Args: one, Workers: 2, File: script(t, fmt.Sprintf(`
import os
def f(x):
    if (x == 100).any():
        try:
            os.close(os.open(%q, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), 9)
    return x * 2
`, mark))}, Options{MaxRows: 64})
	args := counting(5000)
	defer args.Release()
	r := run(t, p, args)
	defer r.Batch.Release()
	checkRows(t, r, "")
	if s := p.Stats(); s.Deaths != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestKillingWorkersInTheMiddleChangesNothingInTheResult(t *testing.T) {
	p := mustOpen(t, Spec{Name: "f", Args: one, Workers: 2, File: script(t, "import time\ndef f(x):\n    time.sleep(0.002)\n    return x * 2\n")}, Options{MaxRows: 64})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			w := p.workers[i%2]
			w.mu.Lock()
			if w.link != nil && w.published != w.completed {
				_ = unix.Kill(w.link.pid, unix.SIGKILL)
			}
			w.mu.Unlock()
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(100+rand.IntN(100)) * time.Millisecond):
			}
		}
	})
	args := counting(6000)
	defer args.Release()
	for range 5 {
		r := run(t, p, args)
		checkRows(t, r, "")
		r.Batch.Release()
	}
	close(stop)
	wg.Wait()
	if s := p.Stats(); s.Deaths == 0 {
		t.Error("no worker was killed")
	}
}

func TestAHangCostsTheRowThatHangs(t *testing.T) {
	for name, how := range map[string]string{"sleep": "import time; time.sleep(60)", "loop": "\n        while True: pass", "stopped": "import os; os.kill(os.getpid(), 19)"} {
		t.Run(name, func(t *testing.T) {
			p := mustOpen(t, Spec{Name: "f", Args: one, Timeout: 300 * time.Millisecond, File: script(t, "def f(x):\n    if (x == 3).any(): "+how+"\n    return x * 2\n")}, Options{})
			args := counting(4)
			defer args.Release()
			r := run(t, p, args)
			defer r.Batch.Release()
			checkRows(t, r, "timeout", 3)
			if s := p.Stats(); s.Timeouts != 3 || s.Deaths != 3 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

func TestABatchThatKillsWorkersForEveryRowHasABoundedPrice(t *testing.T) {
	p := mustOpen(t, Spec{Name: "f", Args: one, File: script(t, "import os\ndef f(x):\n    if x[-1] < 64: os._exit(1)\n    return x * 2\n")}, Options{MaxRows: 64})
	args := counting(128)
	defer args.Release()
	r := run(t, p, args)
	defer r.Batch.Release()
	var want []int
	for i := range 64 {
		want = append(want, i)
	}
	checkRows(t, r, "worker_died", want...)
	if s := p.Stats(); s.Deaths > 16 {
		t.Errorf("stats %+v", s)
	}
}

func TestAPoolWhoseWorkersOnlyDieIsLost(t *testing.T) {
	needPython(t)
	strict := quick
	strict.streak = 5
	p, err := open(context.Background(), Spec{Name: "f", Args: one, Workers: 1, Interpreter: interpreter, File: script(t, "import os\ndef f(x): os._exit(1)\n")},
		Options{Log: slog.New(slog.DiscardHandler)}, strict)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	args := counting(1000)
	defer args.Release()
	c, err := p.Start(context.Background(), args)
	if err == nil {
		_, err = c.Wait(context.Background())
	}
	var d *diag.Error
	if !errors.As(err, &d) || d.Code != "udf/workers-die" {
		t.Fatalf("got %v", err)
	}
	if _, err := p.Start(context.Background(), args); !errors.As(err, &d) {
		t.Errorf("a lost pool takes calls: %v", err)
	}
}

func TestAPoolWhoseFunctionIsGoneIsLost(t *testing.T) {
	file := script(t, "import os\ndef f(x): os._exit(1)\n")
	p := mustOpen(t, Spec{Name: "f", Args: one, File: file}, Options{})
	if err := os.WriteFile(file, []byte("raise RuntimeError('edited')\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := counting(10)
	defer args.Release()
	c, err := p.Start(context.Background(), args)
	if err == nil {
		_, err = c.Wait(context.Background())
	}
	var d *diag.Error
	if !errors.As(err, &d) || d.Code != "udf/import" {
		t.Fatalf("got %v", err)
	}
}

func TestWhatAFunctionPrintsAndLogsIsInTheLog(t *testing.T) {
	var log logged
	p := mustOpen(t, Spec{Name: "f", Args: one, File: script(t, `
import logging, os, sys, warnings
print("at import")
def f(x):
    print("to stdout", "größer")
    sys.stderr.write("to stderr\nhalf a")
    os.write(1, b"from below \xff\n")
    os.system("echo from a child")
    logging.getLogger("my.model").error("it is %d", 42)
    try:
        1 / 0
    except ZeroDivisionError:
        logging.exception("caught")
    warnings.warn("careful")
    print("z" * 20000)
    return x
`)}, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	args := counting(1)
	defer args.Release()
	run(t, p, args).Batch.Release()
	_ = p.Close()
	text := log.String()
	for _, s := range []string{
		`level=INFO msg="at import" function=f worker=0 stream=stdout`, `msg="to stdout größer"`, `level=WARN msg="to stderr" function=f worker=0 stream=stderr`,
		`msg="half a"`, "msg=\"from below \uFFFD\"", `msg="from a child"`, `level=ERROR msg="it is 42" function=f worker=0 logger=my.model`,
		`caught\nTraceback`, `ZeroDivisionError`, `careful`, `logger=py.warnings`, strings.Repeat("z", 8000),
	} {
		if !strings.Contains(text, s) {
			t.Errorf("the log does not hold %q", s)
		}
	}
}

func TestAFunctionThatPrintsWithoutEndHarmsNobody(t *testing.T) {
	var log logged
	p := mustOpen(t, Spec{Name: "f", Args: one, Timeout: time.Second, File: script(t, `
def f(x):
    while (x == 1).any(): print("y" * 100)
    return x * 2
`)}, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	args := counting(2)
	defer args.Release()
	r := run(t, p, args)
	defer r.Batch.Release()
	checkRows(t, r, "timeout", 1)
	_ = p.Close()
	if text := log.String(); !strings.Contains(text, "worker printed too much") || len(text) > 1<<20 {
		t.Errorf("%d bytes of log", len(text))
	}
}

func TestChildrenOfAWorkerEndWithIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	p := mustOpen(t, Spec{Name: "f", Args: one, File: script(t, fmt.Sprintf(`
import os, time
def f(x):
    if os.fork() == 0:
        with open(%[1]q + ".new", "w") as out: out.write(str(os.getpid()))
        os.rename(%[1]q + ".new", %[1]q)
        time.sleep(600)
    while not os.path.exists(%[1]q): time.sleep(0.001)
    return x * 2
`, file))}, Options{})
	args := counting(2)
	defer args.Release()
	r := run(t, p, args)
	r.Batch.Release()
	_ = p.Close()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(b), &pid); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, pid)
}
