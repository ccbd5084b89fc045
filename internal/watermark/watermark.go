// Package watermark says how far event time has come: no row with a smaller
// event time is expected any more.
//
// A [Generator] makes the watermark of one source out of the largest event time
// of each block, split by split. It is pure: processing time is passed in.
//
// # Rules
//
//	W1  watermark(split) = max event time so far - max disorder: all rows before it were seen,
//	    that is: a row may be older than the newest by max disorder and is not late.
//	W2  watermark = minimum over the splits that are neither idle nor ended;
//	    it never goes back. When all that have not ended are idle it is the
//	    maximum over them, as if they had become idle one after the other: a quiet
//	    input holds no window for ever. When every split has ended it is batch.MaxTime.
//	W3  A split is idle when it has had nothing to read for idle_after of processing
//	    time. It counts again from its next block on. A split that has data which
//	    nobody has read yet is not idle.
//	W4  An event time further ahead of processing time than max_ahead counts as
//	    processing time + max_ahead: one clock that is wrong does not make the rest late.
package watermark

import (
	"math"

	"github.com/gorge-stream/gorge/internal/batch"
)

// Config is the settings of a source's event time, in microseconds.
type Config struct {
	MaxDisorder int64
	IdleAfter   int64 // 0: never
	MaxAhead    int64 // 0: no clamp
}

// Behind returns the watermark of a split whose largest event time is newest.
func (c Config) Behind(newest batch.Time) batch.Time { return minus(newest, c.MaxDisorder) }

type split struct {
	max     batch.Time // MinTime: no row yet
	dry     bool
	since   int64 // processing time from which on it has been dry
	clamped int64
	ended   bool
}

// Generator makes the watermark of one source. One goroutine at a time uses it.
type Generator struct {
	cfg    Config
	splits []split
	mark   batch.Time
}

// NewGenerator makes a generator for n splits.
func NewGenerator(cfg Config, n int) *Generator {
	g := &Generator{cfg: cfg, mark: batch.MinTime}
	for range n {
		g.splits = append(g.splits, split{max: batch.MinTime})
	}
	return g
}

// Observe folds in the largest event time of a block of the split; MinTime for a block without rows.
func (g *Generator) Observe(i int, largest batch.Time, now int64) {
	s := &g.splits[i]
	s.dry = false
	if g.cfg.MaxAhead > 0 && largest > now+g.cfg.MaxAhead {
		largest = now + g.cfg.MaxAhead
		s.clamped++
	}
	// MaxTime is the mark of the end, which no row makes.
	s.max = max(s.max, min(largest, batch.MaxTime-1))
}

// Dry tells that the split had nothing to read at processing time now.
func (g *Generator) Dry(i int, now int64) {
	if s := &g.splits[i]; !s.dry {
		s.dry, s.since = true, now
	}
}

// End tells that the split has ended.
func (g *Generator) End(i int) { g.splits[i].ended = true }

// Current returns the watermark at processing time now.
func (g *Generator) Current(now int64) batch.Time {
	low, quiet := batch.MaxTime, batch.MinTime
	active, ended := false, true
	for i := range g.splits {
		s := &g.splits[i]
		if s.ended {
			continue
		}
		ended = false
		mark := g.cfg.Behind(s.max)
		if g.idle(s, now) {
			quiet = max(quiet, mark)
			continue
		}
		active = true
		low = min(low, mark)
	}
	if !active && !ended {
		low = quiet
	}
	g.mark = max(g.mark, low)
	return g.mark
}

func (g *Generator) idle(s *split, now int64) bool {
	return g.cfg.IdleAfter > 0 && s.dry && now-s.since >= g.cfg.IdleAfter
}

// Status is what a person wants to know of one split.
type Status struct {
	Max     batch.Time // MinTime: no row yet
	Idle    bool
	Ended   bool
	Clamped int64 // blocks whose largest time was too far ahead
}

// Status returns the state of split i at processing time now.
func (g *Generator) Status(i int, now int64) Status {
	s := &g.splits[i]
	return Status{Max: s.max, Idle: !s.ended && g.idle(s, now), Ended: s.ended, Clamped: s.clamped}
}

// minus returns t-d without going below MinTime.
func minus(t batch.Time, d int64) batch.Time {
	if t < math.MinInt64+d {
		return batch.MinTime
	}
	return t - d
}

// Saved is what a checkpoint keeps of a Generator, by split. Which splits are
// dry is not kept: it shows again.
type Saved struct {
	Mark   batch.Time
	Newest []batch.Time // the largest event time
	Ended  []bool
}

// Save returns what a checkpoint keeps.
func (g *Generator) Save() Saved {
	out := Saved{Mark: g.mark}
	for i := range g.splits {
		out.Newest = append(out.Newest, g.splits[i].max)
		out.Ended = append(out.Ended, g.splits[i].ended)
	}
	return out
}

// Restore puts a new generator where a saved one stood.
func (g *Generator) Restore(s Saved) {
	g.mark = s.Mark
	for i := range g.splits {
		g.splits[i].max, g.splits[i].ended = s.Newest[i], s.Ended[i]
	}
}
