package job_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// event is one row of the model: nil is null.
type event struct {
	k, g   *string
	ok     *bool
	i      *int64
	v      *float64
	millis int64
}

// trial is one pipeline, its input, and how it is cut into blocks.
type trial struct {
	keys, above    []string // of the window, and of the window over its results
	size, offset   int64    // milliseconds
	factor         int64    // size of the second window / size of the first
	disorder       int64
	where          string
	keep           func(event) bool
	perBlock       int
	events         []event
	windows, sides []string // what the model expects
	totals         []string
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func maybe[T any](r *rand.Rand, v T) *T {
	if r.IntN(6) == 0 {
		return nil
	}
	return &v
}

func newTrial(seed uint64) *trial {
	r := rand.New(rand.NewPCG(seed, 77))
	t := &trial{
		size: pick[int64](r, 1, 7, 100, 1000, 86_400_000), factor: pick[int64](r, 1, 3, 10), disorder: pick[int64](r, 0, 1, 50, 900),
		perBlock: pick(r, 1, 3, 20, 1000),
	}
	t.offset = pick(r, 0, t.size/2, t.size-1)
	for _, k := range r.Perm(4)[:r.IntN(4)] {
		t.keys = append(t.keys, []string{"k", "g", "ok", "i"}[k])
	}
	for _, k := range t.keys {
		if r.IntN(2) == 0 {
			t.above = append(t.above, k)
		}
	}
	switch r.IntN(3) {
	case 0:
		t.where, t.keep = "v > 0", func(e event) bool { return e.v != nil && *e.v > 0 }
	case 1:
		t.where, t.keep = "ok ?? true", func(e event) bool { return e.ok == nil || *e.ok }
	default:
		t.where, t.keep = "true", func(event) bool { return true }
	}
	names := []string{"", "a", "twelve_bytes", "thirteen_byte", "a key of quite some more than twelve bytes", "ключ", "b"}
	base := pick[int64](r, 0, -5000, 1_700_000_000_000)
	for n := range 50 + r.IntN(400) {
		e := event{
			k: maybe(r, pick(r, names...)), g: maybe(r, pick(r, names...)), ok: maybe(r, r.IntN(2) == 0), i: maybe(r, r.Int64N(5)-2),
			// Eighths add up exactly, in any order.
			v: maybe(r, float64(r.IntN(2000)-1000)/8), millis: base + int64(n)*5 - r.Int64N(60),
		}
		if r.IntN(20) == 0 {
			e.millis -= 2000
		}
		t.events = append(t.events, e)
	}
	t.model()
	return t
}

func (e *event) line() string {
	b, _ := json.Marshal(map[string]any{"k": e.k, "g": e.g, "ok": e.ok, "i": e.i, "v": e.v, "ts": e.millis})
	return string(b)
}

// cell writes a column of an event as testkit.Rows does.
func (e *event) cell(name string) string {
	show := func(s *string) string {
		switch {
		case s == nil:
			return "null"
		case *s == "":
			return `""`
		}
		return *s
	}
	switch name {
	case "k":
		return show(e.k)
	case "g":
		return show(e.g)
	case "ok":
		if e.ok == nil {
			return "null"
		}
		return strconv.FormatBool(*e.ok)
	}
	if e.i == nil {
		return "null"
	}
	return strconv.FormatInt(*e.i, 10)
}

func (e *event) cells(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = e.cell(n)
	}
	return strings.Join(out, " ")
}

// group is the rows of a key and window.
type group struct {
	key, above string
	start, end int64 // milliseconds
	rows       []event
}

func floor(t, size, offset int64) int64 {
	m := (t - offset) % size
	if m < 0 {
		m += size
	}
	return t - m
}

// model works the pipeline out row by row, in whole milliseconds.
func (t *trial) model() {
	groups := map[string]*group{}
	mark, newest := int64(-1)<<60, int64(-1)<<60
	for n, e := range t.events {
		if n%t.perBlock == 0 {
			mark = newest
		}
		newest = max(newest, e.millis-t.disorder)
		if !t.keep(e) {
			continue
		}
		start := floor(e.millis, t.size, t.offset)
		if start+t.size <= mark {
			t.sides = append(t.sides, fmt.Sprint(e.millis*1000))
			continue
		}
		id := fmt.Sprintf("%d|%s", start, e.cells(t.keys))
		g := groups[id]
		if g == nil {
			g = &group{key: e.cells(t.keys), above: e.cells(t.above), start: start, end: start + t.size}
			groups[id] = g
		}
		g.rows = append(g.rows, e)
	}
	counts := map[string]int{}
	for _, g := range groups {
		t.windows = append(t.windows, g.result())
		start := floor(g.end-1, t.size*t.factor, 0)
		counts[join(g.above, start*1000, (start+t.size*t.factor)*1000)] += len(g.rows)
	}
	for key, n := range counts {
		t.totals = append(t.totals, join(key, n))
	}
	sort.Strings(t.windows)
	sort.Strings(t.totals)
	slices.Sort(t.sides)
}

// join writes values with a blank between them, without one for no key.
func join(v ...any) string {
	return strings.TrimLeft(strings.TrimSuffix(fmt.Sprintln(v...), "\n"), " ")
}

// result is the row of a group: count, sum, min, max and average of v, the last
// k by time, the sum of i.
func (g *group) result() string {
	var sum, low, high float64
	var n, isum, in int64
	last, at := "null", int64(0)
	for _, e := range g.rows {
		if e.v != nil {
			if n == 0 {
				low, high = *e.v, *e.v
			}
			low, high, sum = min(low, *e.v), max(high, *e.v), sum+*e.v
			n++
		}
		if e.i != nil {
			isum += *e.i
			in++
		}
		if e.k != nil && (last == "null" || e.millis >= at) {
			last, at = e.cell("k"), e.millis
		}
	}
	out := []any{g.key, g.start * 1000, g.end * 1000, len(g.rows)}
	if n == 0 {
		out = append(out, "null", "null", "null", "null")
	} else {
		out = append(out, sum, low, high, sum/float64(n))
	}
	if in == 0 {
		out = append(out, "null")
	} else {
		out = append(out, isum)
	}
	return join(append(out, last, g.end*1000-1)...) // the event time is the last instant
}

// pipeline is the file of the trial. The results of the windows are taken a
// second time with ties and with sums that are not exact, for which only
// equality between runs is known.
func (t *trial) pipeline() string {
	list := func(names []string) string {
		if len(names) == 0 {
			return ""
		}
		return "key_by: [" + strings.Join(names, ", ") + "], "
	}
	return fmt.Sprintf(`
name: model
sources:
  events:
    mem: {}
    format: json
    schema: {k: string?, g: string?, ok: bool?, i: int64?, v: float64?, ts: timestamp_ms}
    event_time: {column: ts, max_disorder: %dms}
steps:
  kept: {from: events, where: "%s"}
  windows: {from: kept, %swindow: {tumbling: {size: %dms, offset: %dms}}, late: side,
    aggregate: {n: count(), sum: sum(v), low: min(v), high: max(v), avg: avg(v), isum: sum(i), last: last(k)}}
  late_times: {from: windows.late, select: {ts: ts}}
  totals: {from: windows, %swindow: {tumbling: %dms}, aggregate: {n: sum(n)}}
  open: {from: windows, %swindow: {tumbling: %dms}, aggregate: {first: first(last), last: last(n), t: max(last), low: min(avg), s: sum(avg), sd: stddev(avg)}}
  running: {from: windows, %srunning: {mean: mean(avg), ewm: "ewm_mean(avg, 0.3)", m: min(last)}}
sinks:
  windows_out: {from: windows, mem: {}}
  late_out: {from: late_times, mem: {}}
  totals_out: {from: totals, mem: {}}
  open_out: {from: open, mem: {}}
  running_out: {from: running, mem: {}}
`, t.disorder, t.where, list(t.keys), t.size, t.offset, list(t.above), t.size*t.factor, list(t.above), t.size*t.factor, list(t.keys))
}

// TestRandomPipelinesAgreeWithAModel runs random pipelines over random input and
// compares with a model that goes row by row; and with themselves at other
// parallelisms and batch sizes, to the last bit and in the order of the rows.
func TestRandomPipelinesAgreeWithAModel(t *testing.T) {
	for seed := range uint64(40) {
		tr := newTrial(seed)
		var lined []string
		for _, e := range tr.events {
			lined = append(lined, e.line())
		}
		var first map[string][]string
		for _, o := range [][2]int{{1, 4096}, {1, 1}, {2, 7}, {3, 64}, {8, 5}} {
			h := build(t, tr.pipeline(), &lines{splits: [][]string{lined}, per: tr.perBlock}, o[0], o[1])
			if err := h.job.Run(t.Context()); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			got := h.sink.rows
			sort.Strings(got["late_out"]) // in the order of the input, then of the tasks
			name := fmt.Sprintf("seed %d, parallelism %d, %d rows a batch", seed, o[0], o[1])
			if first == nil {
				first = got
			}
			for sink := range first {
				if diff(got[sink], first[sink]) != "" {
					t.Errorf("%s: %s is not what it is at parallelism 1: %s\n%s", name, sink, diff(got[sink], first[sink]), tr.pipeline())
				}
			}
			for sink, want := range map[string][]string{"windows_out": tr.windows, "totals_out": tr.totals, "late_out": tr.sides} {
				if d := diff(slices.Sorted(slices.Values(got[sink])), want); d != "" {
					t.Errorf("%s: %s is not what the model says: %s\n%s", name, sink, d, tr.pipeline())
				}
			}
			if t.Failed() {
				t.FailNow()
			}
		}
	}
}

// diff tells the first difference of two lists, "" for none.
func diff(got, want []string) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Sprintf("row %d is missing: %s", i, want[i])
		case i >= len(want):
			return fmt.Sprintf("row %d is too many: %s", i, got[i])
		case got[i] != want[i]:
			return fmt.Sprintf("row %d is %s, want %s", i, got[i], want[i])
		}
	}
	return ""
}
