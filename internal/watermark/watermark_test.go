package watermark

import (
	"math"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
)

func TestOneSplitFollowsTheNewestRow(t *testing.T) {
	g := NewGenerator(Config{MaxDisorder: 10}, 1)
	if got := g.Current(0); got != batch.MinTime {
		t.Fatalf("before any row: %d", got)
	}
	for _, step := range []struct{ max, want batch.Time }{{100, 90}, {50, 90}, {batch.MinTime, 90}, {120, 110}} {
		g.Observe(0, step.max, 0)
		if got := g.Current(0); got != step.want {
			t.Errorf("after %d: %d, want %d", step.max, got, step.want)
		}
	}
	g.End(0)
	if got := g.Current(0); got != batch.MaxTime {
		t.Errorf("at the end: %d", got)
	}
}

func TestTheSlowestSplitHoldsTheOthers(t *testing.T) {
	g := NewGenerator(Config{}, 3)
	g.Observe(0, 100, 0)
	g.Observe(1, 200, 0)
	if got := g.Current(0); got != batch.MinTime {
		t.Fatalf("a split without rows must hold the watermark, got %d", got)
	}
	g.Observe(2, 50, 0)
	if got := g.Current(0); got != 50 {
		t.Fatalf("got %d, want 50", got)
	}
	g.End(2)
	if got := g.Current(0); got != 100 {
		t.Fatalf("an ended split must not hold, got %d", got)
	}
}

func TestIdleSplitsDoNotHold(t *testing.T) {
	g := NewGenerator(Config{IdleAfter: 30}, 2)
	g.Observe(0, 100, 10)
	if got := g.Current(1000); got != batch.MinTime {
		t.Fatalf("a split that was not read yet is not idle, got %d", got)
	}
	g.Dry(1, 0)
	g.Dry(1, 20) // still
	if got := g.Current(29); got != batch.MinTime {
		t.Fatalf("not idle yet, got %d", got)
	}
	g.Observe(0, 110, 30)
	if got := g.Current(30); got != 110 {
		t.Fatalf("split 1 is idle, got %d", got)
	}
	g.Observe(1, 40, 31) // back, and behind: the watermark does not go back
	g.Observe(0, 120, 31)
	if got := g.Current(31); got != 110 {
		t.Fatalf("the watermark must stay at 110, got %d", got)
	}
	g.Dry(0, 40)
	g.Dry(1, 40)
	if got := g.Current(1000); got != 120 {
		t.Fatalf("all idle: neither holds, got %d", got)
	}
	if s := g.Status(1, 1000); !s.Idle || s.Max != 40 {
		t.Errorf("status %+v", s)
	}
}

func TestAClockAheadIsClamped(t *testing.T) {
	g := NewGenerator(Config{MaxAhead: 60, MaxDisorder: 5}, 1)
	g.Observe(0, 1_000_000, 100)
	if got := g.Current(100); got != 155 {
		t.Fatalf("got %d, want 100+60-5", got)
	}
	if s := g.Status(0, 100); s.Clamped != 1 {
		t.Errorf("clamped %d blocks, want 1", s.Clamped)
	}
}

func TestDisorderDoesNotWrapAround(t *testing.T) {
	g := NewGenerator(Config{MaxDisorder: math.MaxInt64}, 1)
	g.Observe(0, math.MinInt64+5, 0)
	if got := g.Current(0); got != batch.MinTime {
		t.Fatalf("got %d", got)
	}
}

func TestAllIdleAtOnceHoldNothing(t *testing.T) {
	g := NewGenerator(Config{IdleAfter: 30, MaxDisorder: 5}, 2)
	g.Observe(0, 100, 1)
	g.Dry(0, 2)
	g.Dry(1, 2)
	if got := g.Current(500); got != 95 {
		t.Fatalf("got %d, want 95: a split that never had a row holds nothing", got)
	}
	g = NewGenerator(Config{IdleAfter: 30}, 2)
	g.Dry(0, 0)
	g.Dry(1, 0)
	if got := g.Current(500); got != batch.MinTime {
		t.Fatalf("without rows there is no watermark, got %d", got)
	}
}

// TestARowAtTheEndOfTimeIsNotTheEndOfTheInput: MaxTime as a watermark ends tasks.
func TestARowAtTheEndOfTimeIsNotTheEndOfTheInput(t *testing.T) {
	g := NewGenerator(Config{}, 1)
	g.Observe(0, batch.MaxTime, 0)
	if got := g.Current(0); got != batch.MaxTime-1 {
		t.Errorf("got %d", got)
	}
}
