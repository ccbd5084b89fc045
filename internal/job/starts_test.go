package job_test

import (
	"context"
	"errors"
	"testing"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/job"
	"github.com/gorge-stream/gorge/internal/testkit"
)

// TestStartsLeaveNothingBehind: a run that dies before its first epoch, and one that
// finds the input at its end, write an opening manifest each time.
func TestStartsLeaveNothingBehind(t *testing.T) {
	testkit.CheckLive(t)
	var w *world
	src := func() *lines { return &lines{splits: [][]string{events(1, 500)}, per: 20} }
	manifests := func() int {
		list, err := w.store.List(context.Background(), "manifests/")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	for hits := 70; !goesOn(t, w); hits-- { // a run that dies with a checkpoint to go on from
		if hits == 10 {
			t.Fatal("every run came to its end, or died before its first checkpoint")
		}
		w = newWorld()
		w.live(t, statistics, src(), 2, 16, hits)
	}
	for range 20 {
		h, err := buildIn(t.Context(), t, w, statistics, src(), 2, 16)
		if err != nil {
			t.Fatal(err)
		}
		h.job.Abandon()
	}
	if n := manifests(); n > 5 {
		t.Errorf("%d manifests behind starts that came to nothing", n)
	}
	if !w.live(t, statistics, src(), 2, 16, 0) {
		t.Fatal("the run did not end")
	}
	for range 20 {
		var finished *job.FinishedError
		if _, err := buildIn(t.Context(), t, w, statistics, src(), 2, 16); !errors.As(err, &finished) {
			t.Fatal(err)
		}
	}
	if n := manifests(); n > 5 {
		t.Errorf("%d manifests behind starts with nothing to do", n)
	}
}

// goesOn reports whether the next run in the world goes on from a checkpoint.
func goesOn(t *testing.T, w *world) bool {
	if w == nil {
		return false
	}
	h, err := checkpoint.OpenHistory(t.Context(), w.store)
	if err != nil {
		t.Fatal(err)
	}
	m, err := h.Latest()
	if err != nil {
		t.Fatal(err)
	}
	return m != nil && len(m.Sources) > 0 && !m.Finished
}
