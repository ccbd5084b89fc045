package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// footprint is what an engine costs that has nothing to do, and how soon it is ready.
var footprint = job{"footprint", "start to ready, idle memory and CPU, stop, size of the binary", runFootprint}

// idle is how long the engine is watched doing nothing.
const idle = 3 * time.Second

func runFootprint(ctx context.Context, e *env) ([]section, error) {
	var ready, rss, cpu, stop []float64
	for range max(e.rounds, 3) {
		one, err := startOnce(ctx, e)
		if err != nil {
			return nil, err
		}
		ready, rss = append(ready, ms(one.ready)), append(rss, one.rssMiB)
		cpu, stop = append(cpu, one.idleCPU*100), append(stop, ms(one.stop))
	}
	info, err := os.Stat(e.gorge)
	if err != nil {
		return nil, err
	}
	size := float64(info.Size()) / (1 << 20)
	return []section{{
		Title: "Footprint: an HTTP source, a window and a table, no input",
		Note:  fmt.Sprintf("Medians of %d starts; ready is the first 200 of /readyz after exec, memory is the resident size after %v.", len(ready), idle),
		Metrics: []metric{
			atMost("start to ready", median(ready), "ms", 150),
			atMost("idle resident memory", median(rss), "MiB", 40),
			atMost("idle CPU", median(cpu), "% of a core", 1),
			{Name: "SIGTERM to exit", Value: median(stop), Unit: "ms"},
			atMost("binary", size, "MiB", 40),
		},
	}}, nil
}

func atMost(name string, value float64, unit string, most float64) metric {
	met := value <= most
	return metric{Name: name, Value: value, Unit: unit, Goal: "at most " + figure(most), Met: &met}
}

type start struct {
	ready, stop time.Duration
	rssMiB      float64
	idleCPU     float64 // share of one core
}

func startOnce(ctx context.Context, e *env) (start, error) {
	var s start
	address, err := freeAddress()
	if err != nil {
		return s, err
	}
	dir, err := os.MkdirTemp(e.data, "idle-")
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.CommandContext(ctx, e.gorge, "run", "bench/idle.yaml", "--http", address, "--data", dir, "--log-level", "warn")
	cmd.Stderr = os.Stderr
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return s, err
	}
	defer cmd.Process.Kill() //nolint:errcheck // it has ended already when all went well
	if err := waitReady(ctx, "http://"+address+"/readyz"); err != nil {
		return s, err
	}
	s.ready = time.Since(begin)
	before, err := cpuTime(cmd.Process.Pid)
	if err != nil {
		return s, err
	}
	time.Sleep(idle)
	after, err := cpuTime(cmd.Process.Pid)
	if err != nil {
		return s, err
	}
	s.idleCPU = float64(after-before) / float64(idle)
	var kib int64
	if _, err := fmt.Sscanf(procLine(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid), "VmRSS"), "%d kB", &kib); err != nil {
		return s, err
	}
	s.rssMiB = float64(kib) / 1024
	begin = time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return s, err
	}
	err = cmd.Wait()
	s.stop = time.Since(begin)
	return s, err
}

// waitReady polls until the engine answers 200.
func waitReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the engine did not become ready: %w", ctx.Err())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// cpuTime is the processor time of a running process.
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseStat(string(text))
}
