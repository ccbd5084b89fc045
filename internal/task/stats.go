package task

import (
	"sync/atomic"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
)

// Stats is what one task tells about itself; others may read it at any time.
type Stats struct {
	idle      atomic.Int64 // nanoseconds without input
	blocked   atomic.Int64 // nanoseconds waiting for room downstream
	started   atomic.Int64
	ended     atomic.Int64
	watermark atomic.Int64
}

// Times is how a task has spent its time so far.
type Times struct{ Busy, Idle, Blocked time.Duration }

// Times returns how the task has spent its time until now.
func (s *Stats) Times(now time.Time) Times {
	start := s.started.Load()
	if start == 0 {
		return Times{}
	}
	end := s.ended.Load()
	if end == 0 {
		end = now.UnixNano()
	}
	t := Times{Idle: time.Duration(s.idle.Load()), Blocked: time.Duration(s.blocked.Load())}
	t.Busy = max(0, time.Duration(end-start)-t.Idle-t.Blocked)
	return t
}

// Watermark returns the last watermark of the task, batch.MinTime before it has started.
func (s *Stats) Watermark() batch.Time {
	if s.started.Load() == 0 {
		return batch.MinTime
	}
	return s.watermark.Load()
}

func (s *Stats) start() {
	s.watermark.Store(batch.MinTime)
	s.started.Store(time.Now().UnixNano())
}

func (s *Stats) end() { s.ended.Store(time.Now().UnixNano()) }
