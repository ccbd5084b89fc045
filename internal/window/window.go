// Package window is the arithmetic of windows over event time: which pane a row
// belongs to (assigner) and when a window fires (trigger).
//
// It is pure: no state, no values, no clock. Windows are closed at the start and
// open at the end. All arithmetic saturates at batch.MinTime and batch.MaxTime,
// so that times near the ends of int64 do not wrap around.
package window

import (
	"math"

	"github.com/gorge-stream/gorge/internal/batch"
)

// Window is the times from Start, included, to End, excluded.
type Window struct{ Start, End batch.Time }

// Holds reports whether t is in the window. The window that ends at
// batch.MaxTime holds it too: there is none behind.
func (w Window) Holds(t batch.Time) bool {
	return t >= w.Start && (t < w.End || w.End == batch.MaxTime)
}

// Assigner names the pane of a time. A pane is a slice of event time that every
// window holds whole or not at all; state is kept by pane.
type Assigner interface {
	// Pane returns the pane that holds t.
	Pane(t batch.Time) Window
	// Last returns the last window, by its end, that holds the pane: a row of the
	// pane is late when that window has fired.
	Last(pane Window) Window
}

// Tumbling is windows of one size side by side, aligned so that one starts at
// Offset. Each window is one pane.
type Tumbling struct {
	Size   batch.Time // microseconds, above 0
	Offset batch.Time // 0 <= Offset < Size
}

var _ Assigner = Tumbling{}

// Pane returns the window that holds t. The first and the last window of all
// are cut off at the ends of time.
func (w Tumbling) Pane(t batch.Time) Window {
	t = min(t, batch.MaxTime-1)
	// floorMod of t-Offset, without an overflow in the difference
	m := t%w.Size - w.Offset%w.Size
	if m %= w.Size; m < 0 {
		m += w.Size
	}
	start := t - m
	if start > t {
		start = math.MinInt64
	}
	end := t + (w.Size - m)
	if end < t {
		end = math.MaxInt64
	}
	return Window{start, end}
}

// Last returns the pane itself.
func (w Tumbling) Last(pane Window) Window { return pane }

// Decision is what a trigger wants.
type Decision uint8

// The decisions.
const (
	Wait      Decision = iota
	FirePurge          // emit the result and drop the state
)

// Trigger decides when a window fires.
type Trigger interface {
	// OnWatermark is asked for each window whenever the watermark moved.
	OnWatermark(w Window, watermark batch.Time) Decision
}

// AtEnd fires once, when the watermark reaches the end of the window.
type AtEnd struct{}

var _ Trigger = AtEnd{}

// OnWatermark fires when no row of the window is still to come.
func (AtEnd) OnWatermark(w Window, watermark batch.Time) Decision {
	if w.End <= watermark {
		return FirePurge
	}
	return Wait
}
