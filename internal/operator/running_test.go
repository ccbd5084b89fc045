package operator_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/operator"
	"github.com/gorge-stream/gorge/internal/state"
	"github.com/gorge-stream/gorge/internal/state/memory"
	"github.com/gorge-stream/gorge/internal/testkit"
)

// TestExpiredKeysLeaveNoTextsBehind has new keys all the time, each with a long
// text: the memory must be that of the living keys, and their texts intact.
func TestExpiredKeysLeaveNoTextsBehind(t *testing.T) {
	testkit.CheckLive(t)
	in := testkit.Schema(t, "k string, name string?, ts timestamp@")
	out := testkit.Schema(t, "k string, name string?, ts timestamp@, last string?, max string?, n int64")
	r := &runner{t: t}
	aggs := r.aggregates("last(name);max(name);count()", in)
	backend := memory.New(state.Layout{Init: operator.RunningInit(aggs, 1000), MoveTexts: aggs.Set.MoveTexts}, keygroup.All)
	op := operator.NewRunning(operator.RunningConfig{
		Keys: state.NewKeyEncoder(in, []int{0}), Aggregates: aggs, State: backend, TTL: 1000,
		Out: batch.NewPool(out, 16), Inputs: []int{0, 1, 2},
	})
	defer op.Close()
	pool := batch.NewPool(in, 16)
	name := func(i int) string { return strings.Repeat("n", 100) + fmt.Sprint(i) }
	for i := range 3000 {
		b := pool.Get()
		lines := []string{fmt.Sprintf("key-%d %s %d", i, name(i), i*100), fmt.Sprintf("old null %d", i*100)}
		if i == 0 {
			lines[1] = "old " + name(-1) + " 0"
		}
		testkit.Fill(t, b, lines)
		if err := op.ProcessBatch(b, &r.rec); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("main: key-%d %s %d %s %s 1\n", i, name(i), i*100, name(i), name(i))
		if got := r.rec.Take() + "\n"; !strings.HasPrefix(got, want) || !strings.HasSuffix(got, fmt.Sprintf("%s %s %d\n", name(-1), name(-1), i+1)) {
			t.Fatalf("block %d: %s", i, got)
		}
		if err := op.OnWatermark(batch.Time(i*100), &r.rec); err != nil {
			t.Fatal(err)
		}
	}
	if n := backend.Bytes(); n > 64<<10 {
		t.Errorf("%d bytes for some ten keys", n)
	}
}
