package job_test

import (
	"runtime"
	"testing"

	"github.com/gorge-stream/gorge/internal/testkit"
)

// TestARunAllocatesNothingPerRow sends two million rows that are in memory
// already through exchange, window and sink: what is allocated is for the
// tables and the first batches, a thousandth of an allocation per row at most.
func TestARunAllocatesNothingPerRow(t *testing.T) {
	testkit.CheckLive(t)
	data := preloaded(50_000, 64)
	defer func() {
		for _, d := range data {
			d.Release()
		}
	}()
	const blocks = 512
	sink := &tally{}
	j := benchPlan(t, &replay{data, blocks}, sink, 2)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := j.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if sink.events.Load() != blocks*4096 {
		t.Fatalf("%d of %d events", sink.events.Load(), blocks*4096)
	}
	if n := after.Mallocs - before.Mallocs; n > blocks*4096/1000 {
		t.Errorf("%d allocations for %d rows", n, blocks*4096)
	}
}
