package python

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
)

func TestAWorkerHasItsLimits(t *testing.T) {
	p := mustOpen(t, Spec{Name: "f", Args: one, Returns: []batch.Kind{batch.String}, File: script(t, `
import os, resource, ctypes
def f(x):
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    death = ctypes.c_int()
    ctypes.CDLL(None).prctl(2, ctypes.byref(death))
    numbers = [n for n in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{n}")]
    open_files = [os.readlink(f"/proc/self/fd/{n}") for n in numbers]
    return [
        "no_new_privs=" + status["NoNewPrivs"].strip(),
        f"core={resource.getrlimit(resource.RLIMIT_CORE)}",
        f"group={os.getpgid(0) == os.getpid()}",
        f"death={death.value}",
        ",".join(open_files),
    ]
`)}, Options{})
	args := counting(5)
	defer args.Release()
	r := run(t, p, args)
	defer r.Batch.Release()
	for _, f := range r.Failures {
		t.Fatal(f.Traceback)
	}
	for i, want := range []string{"no_new_privs=1", "core=(0, 0)", "group=True", "death=9"} {
		if got := r.Batch.Col(0).Text(i); got != want {
			t.Errorf("%s, expected %s", got, want)
		}
	}
	if got := r.Batch.Col(0).Text(4); strings.Count(got, "socket") != 1 {
		t.Errorf("open descriptors: %s", got)
	}
}

// engineForTest makes this test binary an engine with one worker; it prints the
// worker's process id and waits to be killed.
const engineForTest = "GORGE_TEST_ENGINE_WITH"

func beEngine(file string) {
	p, err := Open(context.Background(), Spec{Name: "f", Args: one, Workers: 1, File: file, Interpreter: interpreter}, Options{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	w := p.workers[0]
	for pid := 0; pid == 0; {
		w.mu.Lock()
		if w.link != nil {
			pid = w.link.pid
			fmt.Println(pid)
		}
		w.mu.Unlock()
	}
	select {}
}

func TestWorkersEndWithAnEngineThatIsKilled(t *testing.T) {
	needPython(t)
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), engineForTest+"="+script(t, "def f(x): return x\n"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(line, &pid); err != nil {
		t.Fatalf("the engine says %q", line)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	awaitEnd(t, pid)
}

// awaitEnd waits until a process is gone or only its parent has to notice.
func awaitEnd(t *testing.T, pid int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(state), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d lives on: %s", pid, state)
		}
	}
}
