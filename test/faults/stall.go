package faults

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// StallBound is by how much the memory of the engine may grow while a sink stalls.
const StallBound = 400 << 20

// Stalled is what a sink that stood still did to the engine.
type Stalled struct {
	For         time.Duration
	Before, Top int64 // resident memory in bytes: when the engine was ready, and at most
	Rows        int
}

// String says it in words.
func (s Stalled) String() string {
	return fmt.Sprintf("the receiver stood still for %v: %d MiB of memory instead of %d MiB, and %d rows arrived", s.For, s.Top>>20, s.Before>>20, s.Rows)
}

// Stall runs a pipeline at full speed into a http sink whose receiver stands still
// for d from the first request on. Nothing may be lost, and memory is bounded.
func Stall(e *Engine, dir string, d time.Duration) (s Stalled, err error) {
	r := &Round{Engine: e, Dir: dir, Seed: 1, rng: rand.New(rand.NewPCG(1, 1))}
	if r.address, err = freeAddress(); err != nil {
		return s, err
	}
	rows := makeRows(r.rng, 300_000, 1000)
	if err := writeRows(r.rng, r.path("in"), 2, rows, nil); err != nil {
		return s, err
	}
	v, err := newReceiver(1)
	if err != nil {
		return s, err
	}
	defer v.server.Close()
	v.patient, v.stall = true, make(chan struct{})
	text := fmt.Sprintf(`name: stall
sources:
  in:
    file: %q
    %s
sinks:
  out: {from: in, http: {url: %q, batch: 1000, body: lines, timeout: 15s, retry_for: 1h, outbox_limit: 8MiB}}
`, r.path("in", "in-*.ndjson"), rowSchema, v.url)
	if err := writeFile(r.path("pipeline.yaml"), text); err != nil {
		return s, err
	}
	l, err := e.start(r.path("life"), r.address, []string{"run", r.path("pipeline.yaml"), "--checkpoint", "500ms", "--data", r.path("data"), "--http", r.address}, nil)
	if err != nil {
		return s, err
	}
	defer l.killGroup()
	if _, err := l.ready(); err != nil {
		return s, err
	}
	s = Stalled{For: d, Before: l.resident()}
	go v.releaseAfter(d)
	if err := s.watch(l, d); err != nil {
		return s, err
	}
	if code := l.cmd.ProcessState.ExitCode(); code != 0 {
		return s, errors.Join(fmt.Errorf("the engine ended with %d", code), l.tail())
	}
	if s.Top > s.Before+StallBound {
		return s, fmt.Errorf("the memory grew from %d to %d MiB", s.Before>>20, s.Top>>20)
	}
	s.Rows, err = v.checkBatches(rows)
	return s, err
}

// watch notes the most memory until the engine ends.
func (s *Stalled) watch(l *life, d time.Duration) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	give := time.NewTimer(d + l.patience)
	defer give.Stop()
	for {
		s.Top = max(s.Top, l.resident())
		select {
		case <-l.done:
			return nil
		case <-give.C:
			return l.stuck("did not go on behind a stall")
		case <-ticker.C:
		}
	}
}

// releaseAfter waits for the first request and, behind it, for d, and lets all go on.
func (v *receiver) releaseAfter(d time.Duration) {
	<-v.first
	time.Sleep(d)
	v.mu.Lock()
	defer v.mu.Unlock()
	close(v.stall)
	v.stall = nil
}

// checkBatches holds that every row has arrived once, when repetitions of a key are dropped.
func (v *receiver) checkBatches(want []row) (n int, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	got := map[row]int{}
	for _, bodies := range v.bodies {
		scanner := bufio.NewScanner(bytes.NewReader([]byte(bodies[0])))
		for scanner.Scan() {
			var x outRow
			if err := json.Unmarshal(scanner.Bytes(), &x); err != nil {
				return 0, fmt.Errorf("%s is no row: %w", scanner.Text(), err)
			}
			got[x.row()]++
			n++
		}
	}
	return n, sameCounts("rows at the receiver", tally(want, func(x row) row { return x }), got)
}
