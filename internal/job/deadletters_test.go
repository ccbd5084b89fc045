package job_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
)

// refuser is a sink that refuses every row, at once or when it is flushed.
type refuser struct {
	env  connector.SinkEnv
	late bool
	kept []string
}

func (r *refuser) Write(_ context.Context, b *batch.Batch) error {
	defer b.Release()
	for i := range b.Len() {
		id := string(b.Col(0).Bytes(i))
		if r.late {
			r.kept = append(r.kept, id)
		} else {
			r.env.Dead("refused", "no", "", []byte(id))
		}
	}
	return nil
}

func (r *refuser) Flush(context.Context) error {
	for _, id := range r.kept {
		r.env.Dead("refused", "no", "", []byte(id))
	}
	r.kept = nil
	return nil
}

func (r *refuser) Prepare(context.Context, connector.Epoch) (connector.Prepared, error) {
	return nil, nil
}
func (r *refuser) Close(context.Context, bool) error { return nil }

const picky = `
name: picky
sources:
  events:
    mem: {}
    format: json
    schema: {k: string, ts: timestamp_ms, v: float64?, x: string}
    event_time: {column: ts, max_disorder: 500ms}
steps:
  counted: {from: events, key_by: k, window: {tumbling: 100ms}, aggregate: {n: count()}}
sinks:
  all: {from: events, picky: {}}
  windows: {from: counted, picky: {}}
  flushed: {from: counted, late: {}}
  good: {from: counted, mem: {}}
`

// TestEveryRefusedRowIsOneDeadLetter has dead letters of a source, of sinks in
// its tasks and of sinks behind an exchange, far more than the queues hold: all
// of them reach the one sink, and the job ends.
func TestEveryRefusedRowIsOneDeadLetter(t *testing.T) {
	in := events(1, 6000)
	for i := 100; i < len(in); i += 100 {
		in[i] = "broken"
	}
	h := build(t, picky, &lines{splits: [][]string{in}, per: 1000}, 3, 64)
	if err := h.job.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	bySteps := map[string]int{}
	for _, row := range h.sink.rows["dead_letters"] {
		bySteps[strings.Fields(row)[0]]++
	}
	want := map[string]int{"events": 59, "all": 6000 - 59, "windows": len(h.sink.rows["good"]), "flushed": len(h.sink.rows["good"])}
	if fmt.Sprint(bySteps) != fmt.Sprint(want) || want["windows"] < 500 {
		t.Errorf("dead letters %v, want %v", bySteps, want)
	}
	s := h.job.Status()
	total := int64(6000 + 2*want["windows"])
	if got := s.Totals(); got.Dead != total || got.Out != int64(6000-59+3*want["windows"]) {
		t.Errorf("%+v with %d dead letters", got, total)
	}
	for _, n := range s.Nodes {
		if n.Name == "all" && n.Dead != 6000-59 {
			t.Errorf("sink all made %d dead letters", n.Dead)
		}
	}
	if !h.sink.complete["dead_letters"] {
		t.Error("the sink of dead letters was not closed as complete")
	}
}

// TestAStuckDeadLetterSinkDoesNotHoldAJobThatEnds: sinks refuse rows faster than
// the dead letters are taken; the end of the job's context must get through.
func TestAStuckDeadLetterSinkDoesNotHoldAJobThatEnds(t *testing.T) {
	h := build(t, picky, &lines{splits: [][]string{events(1, 6000)}, per: 1000}, 2, 64)
	h.sink.stuck = "dead_letters"
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error)
	go func() { done <- h.job.Run(ctx) }()
	waitFor(t, func() bool { h.sink.mu.Lock(); defer h.sink.mu.Unlock(); return h.sink.waiting })
	boom := errors.New("boom")
	cancel(boom)
	if err := <-done; !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
}
