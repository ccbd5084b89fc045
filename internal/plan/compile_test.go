package plan

import (
	"os"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/diag"
)

// mustCompile compiles src and returns its nodes by name.
func mustCompile(t *testing.T, src string) (*Plan, map[string]*Node) {
	t.Helper()
	p, _, err := Compile("p.yaml", []byte(src), testCatalog(), Options{Env: testEnv})
	if err != nil {
		t.Fatal(diag.Format(err))
	}
	nodes := map[string]*Node{}
	for _, n := range p.Nodes {
		nodes[n.Name] = n
	}
	return p, nodes
}

// shape writes a schema with the place of its event time: "a int64, * timestamp" has a hidden one behind a.
func shape(s *batch.Schema) string {
	marked := &batch.Schema{Time: s.Time}
	for i, f := range s.Fields {
		if i == s.Time {
			f.Name += "*"
		}
		marked.Fields = append(marked.Fields, f)
	}
	return marked.String()
}

func TestEventTimeIsCarriedAsFarAsItIsNeeded(t *testing.T) {
	_, n := mustCompile(t, `name: p
sources:
  hidden:  {file: x, format: json, schema: {k: string, ts: timestamp, v: float64, unused: string}, event_time: ts}
  visible: {file: x, format: json, schema: {k: string, ts: timestamp, v: float64}, event_time: ts}
  without: {file: x, format: json, schema: {k: string, ts: timestamp}}
steps:
  slim:    {from: hidden, select: {k: k, w: v * 2}}
  first:   {from: slim, key_by: k, window: {tumbling: 1s}, aggregate: {w: sum(w)}}
  second:  {from: first, window: {tumbling: 1m}, aggregate: {most: max(w)}}
  renamed: {from: visible, select: {at: ts, k: k}}
  counted: {from: renamed, key_by: k, running: {n: count()}, ttl: 1h}
  no_time: {from: visible, select: {k: k}}
sinks:
  a: {from: second, stdout: {}}
  b: {from: counted, stdout: {}}
  c: {from: no_time, stdout: {}}
  d: {from: without, stdout: {}}
`)
	for name, want := range map[string]string{
		"hidden":  "k string, * timestamp, v float64",
		"slim":    "k string, w float64, * timestamp",
		"first":   "k string, window_start timestamp, window_end timestamp, w float64?, * timestamp",
		"second":  "window_start timestamp, window_end timestamp, most float64?",
		"visible": "k string, ts* timestamp",
		"renamed": "at* timestamp, k string",
		"counted": "at* timestamp, k string, n int64",
		"no_time": "k string",
		"without": "k string, ts timestamp",
	} {
		if got := shape(n[name].Schema); got != want {
			t.Errorf("%s has %s, not %s", name, got, want)
		}
	}
}

func TestLateRowsKeepTheColumnsOfTheirReaders(t *testing.T) {
	_, n := mustCompile(t, `name: p
sources:
  src: {file: x, format: json, schema: {k: string, ts: timestamp, v: float64, site: string, unused: string}, event_time: ts}
steps:
  counts: {from: src, key_by: k, window: {tumbling: 1s}, aggregate: {n: count()}, late: side}
  sites:  {from: counts.late, select: {site: site}}
sinks:
  a: {from: counts, stdout: {}}
  b: {from: sites, stdout: {}}
`)
	if got, want := shape(n["src"].Schema), "k string, * timestamp, site string"; got != want {
		t.Errorf("the source has %s, not %s", got, want)
	}
	if in := n["sites"].Inputs[0]; in.Port != Late || n["sites"].Stage != n["counts"].Stage {
		t.Errorf("late rows come by port %d to stage %d", in.Port, n["sites"].Stage)
	}
}

func TestNothingNeedsAColumnButTheRowsAreCounted(t *testing.T) {
	_, n := mustCompile(t, `name: p
sources:
  src: {file: x, format: json, schema: {name: string, small: int32, big: int64}}
steps:
  n: {from: src, running: {n: count()}}
  only: {from: n, select: {n: n}}
sinks:
  a: {from: only, stdout: {}}
`)
	if got, want := shape(n["src"].Schema), "small int32"; got != want {
		t.Errorf("the source has %s, not %s", got, want)
	}
}

func TestSettingsOfTheFileReachTheNodes(t *testing.T) {
	src, err := os.ReadFile("testdata/plans/forms.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, n := mustCompile(t, string(src))
	if s := n["bytes"].Op.(*Source); s.Set.String("path") != "plain-$5" || s.OnBadRecord != Fail {
		t.Errorf("bytes reads %q", s.Set.String("path"))
	}
	if s := n["encoded"].Op.(*Source); s.EventTime.IdleAfter != 0 || s.OnBadRecord != Skip || s.Columns[2].Kind != batch.Bool || !s.Columns[2].Nullable {
		t.Errorf("encoded is %+v", s)
	}
	posts := n["posts"].Op.(*Sink)
	if h := posts.Set.Pairs("headers"); len(h) != 2 || h[0].Key != "X-A" || h[1].Value != "[a, b]" || posts.Set.String("url") != "http://localhost/" {
		t.Errorf("posts has %+v", h)
	}
	if a := n["smooth"].Op.(*Running).Stats[0]; a.Function != "ewm_mean" || len(a.Params) != 1 || a.Params[0] != 0.25 {
		t.Errorf("smooth has %+v", a)
	}
	if c := n["bounds"].Op.(*Call); len(c.Results) != 2 || c.Results[1] != "high" {
		t.Errorf("bounds has %v", c.Results)
	}
	f := p.Functions[0]
	if f.Version != 3 || f.Workers != 4 || f.OnError != ErrorDefault || f.Default != 1 || len(f.Returns) != 2 || f.Returns[1] != batch.Bool {
		t.Errorf("the function is %+v", f)
	}
}
