package faults

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// defaultPatience is for how long anything may take before the engine counts as stuck.
// It is a bound for broken engines, not a measure of speed.
const defaultPatience = 90 * time.Second

// life is one process of the engine, from its start to its end.
type life struct {
	cmd      *exec.Cmd
	begun    time.Time
	done     chan struct{} // closed when the process has ended
	address  string
	log      string       // file with what it said
	children map[int]bool // processes that it has started, as far as they were seen
	// patience is for how long the engine may take for anything.
	patience time.Duration
}

// start starts the engine. What it prints goes to files that outlive it: name.log
// has what is for people, name.out its rows.
func (e *Engine) start(name, address string, args, env []string) (*life, error) {
	l := &life{cmd: e.command(args...), done: make(chan struct{}), address: address, log: name + ".log", patience: e.patience(), children: map[int]bool{}}
	messages, err := os.Create(l.log)
	if err != nil {
		return nil, err
	}
	defer messages.Close()
	rows, err := os.Create(name + ".out")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	l.cmd.Env = append(l.cmd.Env, env...)
	l.cmd.Stdout, l.cmd.Stderr = rows, messages
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	l.begun = time.Now()
	if err := l.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = l.cmd.Wait() // how it ended is in ProcessState
		close(l.done)
	}()
	return l, nil
}

func (l *life) pid() int { return l.cmd.Process.Pid }

// signal sends a signal to the engine alone. An engine that has just ended needs none.
func (l *life) signal(s syscall.Signal) { _ = l.cmd.Process.Signal(s) }

// over reports whether the process has ended.
func (l *life) over() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// wait waits for the end, at most for d, and reports whether it came.
func (l *life) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-l.done:
		return true
	case <-timer.C:
		return false
	}
}

// ready waits until the engine says that it is ready, or has ended, and returns
// how long it took.
func (l *life) ready() (time.Duration, error) {
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	client := http.Client{Timeout: l.patience, Transport: &http.Transport{DisableKeepAlives: true}}
	for time.Since(l.begun) < l.patience {
		res, err := client.Get("http://" + l.address + "/readyz")
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				took := time.Since(l.begun)
				l.workers()
				return took, nil
			}
		}
		select {
		case <-l.done:
			return 0, nil
		case <-ticker.C:
		}
	}
	return 0, l.stuck("was not ready")
}

// stuck describes an engine that does not move, and ends it with the stacks of its goroutines in the log.
func (l *life) stuck(what string) error {
	l.signal(syscall.SIGCONT)
	l.signal(syscall.SIGQUIT)
	if !l.wait(5 * time.Second) {
		l.killGroup()
		<-l.done
	}
	return fmt.Errorf("the engine %s within %v; its stacks are in %s", what, l.patience, l.log)
}

// killed reports whether SIGKILL has ended the process.
func (l *life) killed() bool {
	s, ok := l.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && s.Signaled() && s.Signal() == syscall.SIGKILL
}

// killGroup ends the engine and its workers.
func (l *life) killGroup() { _ = syscall.Kill(-l.pid(), syscall.SIGKILL) }

// orphans waits until every process that the engine has started has ended, too, at
// most for some seconds.
func (l *life) orphans() error {
	give := time.Now().Add(15 * time.Second)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		left := slices.DeleteFunc(processes(), func(p process) bool { return p.group != l.pid() && !l.children[p.pid] })
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(give) {
			for _, p := range left {
				_ = syscall.Kill(p.pid, syscall.SIGKILL) // it may have ended just now
			}
			return fmt.Errorf("processes outlive the engine: %v", left)
		}
		<-ticker.C
	}
}

// process is one line of the process table.
type process struct {
	pid, parent, group int
	state, name        string
}

// processes reads the table of living processes.
func processes() []process {
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is right
	var out []process
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		text := string(b)
		from, to := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
		if from < 0 || to < from {
			continue
		}
		p := process{name: text[from+1 : to]}
		p.pid, _ = strconv.Atoi(strings.TrimSpace(text[:from]))
		n, err := fmt.Sscan(text[to+1:], &p.state, &p.parent, &p.group)
		if n == 3 && err == nil && p.state != "Z" && p.state != "X" {
			out = append(out, p)
		}
	}
	return out
}

// workers returns the processes that the engine has started and that are alive, and
// keeps them in mind: none of them may outlive the engine.
func (l *life) workers() []int {
	var out []int
	for _, p := range processes() {
		if p.parent == l.pid() {
			out = append(out, p.pid)
			l.children[p.pid] = true
		}
	}
	return out
}

// resident returns the memory of the engine in bytes, 0 when it has ended.
func (l *life) resident() int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.pid()))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			var kb int64
			_, _ = fmt.Sscan(rest, &kb)
			return kb << 10
		}
	}
	return 0
}

// tail returns the end of the log of the life.
func (l *life) tail() error {
	b, err := os.ReadFile(l.log)
	if err != nil {
		return err
	}
	return errors.New(string(b[max(0, len(b)-4000):]))
}
