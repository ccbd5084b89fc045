package task

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
)

func TestStatsOfATaskOverItsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Stats
		if s.Watermark() != batch.MinTime || s.Times(time.Now()) != (Times{}) {
			t.Errorf("before the start: watermark %d, %+v", s.Watermark(), s.Times(time.Now()))
		}
		s.start()
		<-time.After(10 * time.Second) // by the clock of the bubble
		s.idle.Add(int64(3 * time.Second))
		s.blocked.Add(int64(2 * time.Second))
		s.watermark.Store(7)
		s.end()
		<-time.After(time.Hour)
		want := Times{Busy: 5 * time.Second, Idle: 3 * time.Second, Blocked: 2 * time.Second}
		if got := s.Times(time.Now()); got != want || s.Watermark() != 7 {
			t.Errorf("got %+v, watermark %d", got, s.Watermark())
		}
	})
}
