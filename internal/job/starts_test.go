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
	w := newWorld()
	src := func() *lines { return &lines{splits: [][]string{events(1, 500)}, per: 20} }
	manifests := func() int {
		list, err := w.store.List(context.Background(), "manifests/")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	if w.live(t, statistics, src(), 2, 16, 60) {
		t.Fatal("the run came to its end")
	}
	h, err := checkpoint.OpenHistory(t.Context(), w.store)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := h.Latest(); err != nil || len(m.Sources) == 0 {
		t.Fatalf("nothing to go on from: %+v, %v", m, err)
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
