package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/job"
	"github.com/gorge-stream/gorge/internal/plan"
)

// progressEvery is how often the progress line changes.
const progressEvery = 250 * time.Millisecond

// screen is standard error. It may hold the progress line, which makes way for
// whatever else is written.
type screen struct {
	mu    sync.Mutex
	w     io.Writer // guarded by mu
	shown bool      // guarded by mu: the progress line stands in the last row
}

// eraseLine goes to the beginning of the row and empties it.
const eraseLine = "\r\x1b[K"

// Write removes the progress line and writes b.
func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown {
		s.shown = false
		if _, err := io.WriteString(s.w, eraseLine); err != nil {
			return 0, err
		}
	}
	return s.w.Write(b)
}

// show replaces the progress line. The terminal cuts what is wider than a row
// instead of beginning another: only one row can be taken back.
func (s *screen) show(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown = true
	fmt.Fprint(s.w, eraseLine+"\x1b[?7l"+line+"\x1b[?7h")
}

// progress shows a line on a terminal while a job runs, and the summary at its end.
type progress struct {
	engine *engine
	job    *job.Job
	stop   chan struct{}
	wg     sync.WaitGroup
	lastIn int64
	lastAt time.Time
}

// startProgress starts the progress line; without a terminal there is only the summary.
func (e *engine) startProgress(j *job.Job) *progress {
	p := &progress{engine: e, job: j, stop: make(chan struct{}), lastAt: time.Now()}
	if e.flags.quiet || !e.terminal || e.printsRows() {
		return p
	}
	p.wg.Go(func() {
		t := time.NewTicker(progressEvery)
		defer t.Stop()
		for {
			select {
			case <-p.stop:
				return
			case now := <-t.C:
				e.screen.show(p.line(now))
			}
		}
	})
	return p
}

// printsRows reports whether a sink writes to the same terminal: its rows show
// the progress, and would begin in the middle of the line.
func (e *engine) printsRows() bool {
	return isTerminal(e.stdout) && slices.ContainsFunc(e.plan.Nodes, func(n *plan.Node) bool {
		sink, ok := n.Op.(*plan.Sink)
		return ok && sink.Connector == "stdout"
	})
}

// line returns the progress line: rows, rate, watermark, lag.
func (p *progress) line(now time.Time) string {
	s := p.job.Status()
	t := s.Totals()
	rate := float64(t.In-p.lastIn) / max(now.Sub(p.lastAt), time.Millisecond).Seconds()
	p.lastIn, p.lastAt = t.In, now
	parts := []string{count(t.In) + " rows in", count(int64(rate)) + " rows/s", count(t.Out) + " out"}
	if w := lowest(&s); w != batch.MinTime && w != batch.MaxTime {
		at := time.UnixMicro(w).UTC()
		parts = append(parts, "watermark "+at.Format("2006-01-02 15:04:05"))
		if lag := now.Sub(at); lag > 0 && lag < 24*time.Hour {
			parts = append(parts, "lag "+lag.Round(10*time.Millisecond).String())
		}
	}
	if t.Late > 0 {
		parts = append(parts, count(t.Late)+" late")
	}
	if t.Dead+t.Bad > 0 {
		parts = append(parts, count(t.Dead)+" dead letters")
	}
	return strings.Join(parts, " · ")
}

// lowest returns the lowest watermark of the tasks.
func lowest(s *job.Status) batch.Time {
	low := batch.MaxTime
	for _, t := range s.Tasks {
		low = min(low, t.Watermark)
	}
	return low
}

// end stops the line and prints the summary of a job that ended well.
func (p *progress) end(err error) {
	close(p.stop)
	p.wg.Wait()
	if p.engine.flags.quiet {
		return
	}
	s := p.job.Status()
	t := s.Totals()
	word := "done"
	if err != nil {
		word = "failed"
	}
	rate := 0.0
	if s.Elapsed > 0 {
		rate = float64(t.In) / s.Elapsed.Seconds()
	}
	fmt.Fprintf(p.engine.screen, "%s: %s rows in, %s out, %s late, %s bad, %s dead letters, %s, %s rows/s\n",
		word, group(t.In), group(t.Out), group(t.Late), group(t.Bad), group(t.Dead), s.Elapsed.Round(time.Millisecond), count(int64(rate)))
	if at := p.engine.defaultDeadLetters(); t.Dead > 0 && at != "" {
		fmt.Fprintf(p.engine.screen, "dead letters are in %s\n", at)
	}
}

// group writes a number with commas.
func group(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// count writes a number short: 950, 1.2 k, 3.4 M.
func count(n int64) string {
	switch {
	case n >= 10_000_000_000:
		return fmt.Sprintf("%.1f G", float64(n)/1e9)
	case n >= 1_000_000:
		return fmt.Sprintf("%.1f M", float64(n)/1e6)
	case n >= 10_000:
		return fmt.Sprintf("%.1f k", float64(n)/1e3)
	}
	return fmt.Sprint(n)
}
