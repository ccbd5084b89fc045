package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is what one run of a program cost.
type usage struct {
	Wall    time.Duration // from exec to the end of wait
	CPU     time.Duration // user and system, with all children that were waited for
	PeakRSS int64         // bytes; of the largest single process of the tree
	Others  float64       // share of the machine that other processes took meanwhile
}

// runProgram runs a command to its end and measures it. What it printed is part
// of the error when it fails.
func runProgram(ctx context.Context, environment []string, argv ...string) (usage, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), environment...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	// A group of its own, so that an interrupt ends what the program started, too.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	busy := busyTime()
	start := time.Now()
	err := cmd.Run()
	u := usage{Wall: time.Since(start)}
	busy = busyTime() - busy
	if err != nil {
		return u, fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), errors.Join(err, ctx.Err()), tail(output.Bytes()))
	}
	r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return u, errors.New("no resource usage on this system")
	}
	u.CPU = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	u.PeakRSS = r.Maxrss << 10
	u.Others = max(0, float64(busy-u.CPU)/(float64(u.Wall)*float64(processors())))
	return u, nil
}

// tail returns the end of a program's output, enough for an error message.
func tail(b []byte) []byte {
	const most = 2000
	if len(b) > most {
		return b[len(b)-most:]
	}
	return b
}

// busyTime is the processor time that all processes have taken since boot.
func busyTime() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	words := strings.Fields(line)
	var ticks int64
	for _, i := range []int{1, 2, 3, 6, 7} { // user, nice, system, irq, softirq
		if i < len(words) {
			n, err := strconv.ParseInt(words[i], 10, 64)
			if err != nil {
				return 0
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * (time.Second / 100)
}

// parseStat adds user and system time of a line of /proc/PID/stat. The name of
// the program stands in parentheses and may hold anything.
func parseStat(text string) (time.Duration, error) {
	words := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(words) < 13 {
		return 0, fmt.Errorf("unexpected /proc stat line %q", text)
	}
	var ticks int64
	for _, w := range words[11:13] {
		n, err := strconv.ParseInt(w, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("unexpected /proc stat line %q: %w", text, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100), nil
}
