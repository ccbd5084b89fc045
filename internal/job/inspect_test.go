package job_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/job"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/state"
	"github.com/gorge-stream/gorge/internal/state/memory"
	"github.com/gorge-stream/gorge/internal/testkit"
)

const remembering = `
name: remembering
sources:
  events:
    mem: {}
    format: json
    schema: {k: string?, m: int64, ts: timestamp_ms, v: float64}
    event_time: {column: ts, max_disorder: 3h}
steps:
  hours: {from: events, key_by: [k, m], window: {tumbling: 1h}, aggregate: {n: count(), most: max(v)}}
  all: {from: events, window: {tumbling: 1h}, aggregate: {n: count()}}
  stats: {from: events, key_by: k, running: {seen: count(), most: max(v)}}
  few: {from: events, where: "m > 1"}
sinks:
  a: {from: hours, mem: {}}
  b: {from: stats, mem: {}}
  c: {from: all, mem: {}}
  d: {from: few, mem: {}}
`

// inMemory are the parts that the state of a checkpoint is read with.
var inMemory = job.Parts{
	State: func(l state.Layout, g keygroup.Range, _ bool) (job.KeyedState, error) { return memory.New(l, g), nil },
}

// storedWorld runs rows through the pipeline and stops it while every window is open.
func storedWorld(t *testing.T, rows []string) (*world, *harness, *checkpoint.Manifest) {
	t.Helper()
	w := newWorld()
	h, err := buildIn(t.Context(), t, w, remembering, &lines{splits: [][]string{rows}, per: 7, stall: make(chan struct{})}, 3, 16)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- h.job.Run(t.Context()) }()
	waitFor(t, func() bool { return h.job.Status().Totals().In == int64(len(rows)) })
	h.job.Stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	history, err := checkpoint.OpenHistory(t.Context(), w.store)
	if err != nil {
		t.Fatal(err)
	}
	m, err := history.Latest()
	if err != nil || m.Kind != checkpoint.Stopping {
		t.Fatalf("%+v, %v", m, err)
	}
	return w, h, m
}

// TestStoredStateIsReadBack compares the state in a checkpoint with what the rows
// make of it by hand: keys that are null, long or several columns; whole, in many rounds,
// and one key at a time.
func TestStoredStateIsReadBack(t *testing.T) {
	testkit.CheckLive(t)
	var rows []string
	type group struct {
		n    int
		most float64
	}
	groups := map[string]map[string]*group{"hours": {}, "stats": {}, "all": {}}
	add := func(step, key string, v float64) {
		g := groups[step][key]
		if g == nil {
			g = &group{}
			groups[step][key] = g
		}
		g.n, g.most = g.n+1, max(g.most, v)
	}
	hours := []string{"0 3600000000", "3600000000 7200000000"}
	for i := range 400 {
		k, text := "null", "null"
		if i%9 > 0 {
			k = fmt.Sprintf("key-%d%s", i%9, strings.Repeat("-long", i%3*4))
			text = fmt.Sprintf("%q", k)
		}
		hour, m, v := i%2, i%4, float64(i%50)
		rows = append(rows, fmt.Sprintf(`{"k":%s,"m":%d,"ts":%d,"v":%g}`, text, m, hour*3_600_000, v))
		add("hours", fmt.Sprintf("%s %d %s", k, m, hours[hour]), v)
		add("all", hours[hour], v)
		add("stats", k, v)
	}
	w, h, m := storedWorld(t, rows)
	for step, want := range groups {
		var lines []string
		for key, g := range want {
			line := fmt.Sprintf("%s %d", key, g.n)
			if step != "all" {
				line += fmt.Sprintf(" %g", g.most)
			}
			lines = append(lines, line)
		}
		slices.Sort(lines)
		s, err := job.OpenStoredState(h.plan, step, inMemory, m)
		if err != nil {
			t.Fatal(err)
		}
		for _, bytes := range []int64{1 << 30, 100} {
			restore := job.InspectBytes(bytes)
			got := readState(t, w, s, nil)
			restore()
			slices.Sort(got)
			if !slices.Equal(got, lines) {
				t.Errorf("%s in rounds of %d bytes:\n%s\nwant\n%s", step, bytes, strings.Join(got, "\n"), strings.Join(lines, "\n"))
			}
		}
	}
	readOneKey(t, w, h, m)
}

// readState returns the rows of state as text.
func readState(t *testing.T, w *world, s *job.StoredState, key *batch.Batch) []string {
	t.Helper()
	var out []string
	if err := s.Read(t.Context(), w.store, key, func(b *batch.Batch) error {
		defer b.Release()
		out = append(out, testkit.Rows(b)...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func readOneKey(t *testing.T, w *world, h *harness, m *checkpoint.Manifest) {
	t.Helper()
	s, err := job.OpenStoredState(h.plan, "hours", inMemory, m)
	if err != nil {
		t.Fatal(err)
	}
	pool := batch.NewPool(s.Key(), 1)
	all := readState(t, w, s, nil)
	for _, k := range []string{"null", "key-4-long-long-long-long", "key-3", "nobody"} {
		b := pool.Get()
		if k == "null" {
			b.Col(0).SetNull(0)
		} else {
			b.Col(0).SetText(0, k)
		}
		b.Col(1).Int64s()[0] = 3
		b.SetLen(1)
		got := readState(t, w, s, b)
		b.Release()
		var want []string
		for _, row := range all {
			if strings.HasPrefix(row, k+" 3 ") {
				want = append(want, row)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) || (k != "nobody") != (len(got) > 0) {
			t.Errorf("key %s: %q, want %q", k, got, want)
		}
	}
}

func TestStateThatCannotBeReadSaysWhy(t *testing.T) {
	w, h, m := storedWorld(t, []string{`{"k":"a","m":1,"ts":0,"v":1}`})
	var d *diag.Error
	open := func(step string, m *checkpoint.Manifest) diag.Code {
		if _, err := job.OpenStoredState(h.plan, step, inMemory, m); !errors.As(err, &d) {
			t.Fatalf("%s: %v", step, err)
		}
		return d.Code
	}
	other := *m
	other.Steps = slices.Clone(m.Steps)
	other.Steps[0].Layout = []string{"something else"}
	for _, c := range []struct {
		step string
		m    *checkpoint.Manifest
		code diag.Code
	}{
		{"nothing", m, "state/unknown-step"},
		{"few", m, "state/stateless"},
		{m.Steps[0].Name, &other, "state/other-layout"},
		{m.Steps[0].Name, &checkpoint.Manifest{Epoch: 1}, "state/not-stored"},
	} {
		if got := open(c.step, c.m); got != c.code {
			t.Errorf("%s: %s, want %s", c.step, got, c.code)
		}
	}
	// A segment that is gone is said to be damage, by its name.
	s, err := job.OpenStoredState(h.plan, "stats", inMemory, m)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range m.Segments() {
		if err := w.store.Delete(t.Context(), []string{g.Object}); err != nil {
			t.Fatal(err)
		}
	}
	err = s.Read(t.Context(), w.store, nil, func(b *batch.Batch) error { b.Release(); return nil })
	if !errors.As(err, &d) || d.Code != "checkpoint/object" {
		t.Errorf("%v", err)
	}
}
