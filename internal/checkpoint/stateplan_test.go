package checkpoint

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gorge-stream/gorge/internal/diag"
)

// needs is what the job of sample needs.
func needs() Needs {
	return Needs{
		Steps:   []Need{{"per_minute", sample().Steps[0].Layout}},
		Sources: []Edge{{"readings", "file"}},
		Sinks:   []Edge{{"out", "file"}, {"table", "table"}},
	}
}

func TestStatePlans(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Needs)
		rename map[string]string
		table  string
		err    string // of Err(false), as people see it
	}{
		{
			name: "all kept",
			table: `
step    per_minute  kept
source  readings    kept
sink    out         kept
sink    table       kept`,
		},
		{
			name: "new parts, and one that holds nothing is gone",
			change: func(n *Needs) {
				n.Steps = append([]Need{{"first", nil}}, n.Steps...)
				n.Sources = append(n.Sources, Edge{"more", "http"})
				n.Sinks[1].Name = "other"
			},
			table: `
step    first       new
step    per_minute  kept
source  readings    kept
source  more        new
sink    out         kept
sink    other       new
sink    table       dropped`,
		},
		{
			name: "dropped",
			change: func(n *Needs) {
				n.Steps[0].Step, n.Sources[0].Name, n.Sinks[0].Name = "a", "b", "c"
			},
			rename: map[string]string{"out": "d"},
			table: `
step    a           new
step    per_minute  dropped
          lost: its state
source  b           new
source  readings    dropped
          lost: where it stands
sink    c           new
sink    table       kept
sink    out         dropped
          the job has no sink d either
          lost: its output of the last epoch, unless it came out before the job ended`,
			err: `
error[checkpoint/mismatch]: the checkpoint of epoch 42 does not fit the pipeline: 0 incompatible, 3 would be lost
  because: step per_minute: dropped
      lost: its state
    source readings: dropped
      lost: where it stands
    sink out: dropped
      the job has no sink d either
      lost: its output of the last epoch, unless it came out before the job ended
  hint: --rename old=new tells the new name of a part, --drop-state lets go of what would be lost; --fresh starts without the checkpoint`,
		},
		{
			name:   "renamed",
			change: func(n *Needs) { n.Steps[0].Step, n.Sinks[0].Name = "per_min", "files" },
			rename: map[string]string{"per_minute": "per_min", "out": "files"},
			table: `
step    per_min (was per_minute)  kept
source  readings                  kept
sink    files (was out)           kept
sink    table                     kept`,
		},
		{
			name: "incompatible",
			change: func(n *Needs) {
				n.Steps[0].Layout = []string{"window_aggregate: tumbling 5m0s", "key device_id string", "count: count of rows"}
				n.Sources[0].Connector = "http"
			},
			table: `
step    per_minute  incompatible
          checkpoint: window_aggregate: tumbling 1m0s
          job: window_aggregate: tumbling 5m0s
source  readings    incompatible
          checkpoint: connector file
          job: connector http
sink    out         kept
sink    table       kept`,
			err: `
error[checkpoint/mismatch]: the checkpoint of epoch 42 does not fit the pipeline: 2 incompatible, 0 would be lost
  because: step per_minute: incompatible
      checkpoint: window_aggregate: tumbling 1m0s
      job: window_aggregate: tumbling 5m0s
    source readings: incompatible
      checkpoint: connector file
      job: connector http
  hint: give an incompatible part another name and let go of what it had by --drop-state; --fresh starts without the checkpoint`,
		},
		{
			name:   "two to one",
			change: func(n *Needs) { n.Sinks = n.Sinks[:1] },
			rename: map[string]string{"table": "out"},
			table: `
step    per_minute  kept
source  readings    kept
sink    out         incompatible
          both out and table of the checkpoint would be it`,
		},
		{
			name:   "nothing to rename",
			rename: map[string]string{"that": "this"},
			table: `
step    per_minute  kept
source  readings    kept
sink    out         kept
sink    table       kept`,
			err: `
error[checkpoint/rename]: the checkpoint of epoch 42 has no step, source or sink that to rename
  hint: --rename old=new: old is the name in the checkpoint, which gorge checkpoint inspect shows`,
		},
		{
			name:   "the same lines in another order",
			change: func(n *Needs) { l := n.Steps[0].Layout; l[1], l[2] = l[2], l[1] },
			table: `
step    per_minute  incompatible
          checkpoint: window_aggregate: tumbling 1m0s; key device_id string; count: count of rows
          job: window_aggregate: tumbling 1m0s; count: count of rows; key device_id string
source  readings    kept
sink    out         kept
sink    table       kept`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := needs()
			if c.change != nil {
				c.change(&n)
			}
			p := PlanState(sample(), n, c.rename)
			if d := cmp.Diff(strings.TrimPrefix(c.table, "\n")+"\n", p.String()); d != "" {
				t.Error(d)
			}
			if got := strings.TrimSpace(diag.Format(p.Err(false))); c.err != "" && got != c.err[1:] {
				t.Error(cmp.Diff(c.err[1:], got))
			}
			refused := strings.Contains(c.table, "incompatible") || c.name == "nothing to rename"
			if err := p.Err(true); (err != nil) != refused {
				t.Errorf("what may be dropped is allowed to: %v", err)
			}
		})
	}
}

func TestNamesOfWhatIsKept(t *testing.T) {
	n := needs()
	n.Sinks[0].Name = "files"
	got := PlanState(sample(), n, map[string]string{"out": "files"}).Names("sink")
	if d := cmp.Diff(map[string]string{"out": "files", "table": "table"}, got); d != "" {
		t.Error(d)
	}
}
