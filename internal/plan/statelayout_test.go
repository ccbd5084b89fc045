package plan

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gorge-stream/gorge/internal/diag"
)

const stateful = `name: p
sources:
  readings:
    file: in.ndjson
    format: json
    schema: {device_id: string, site: string?, floor: int32, ts: timestamp_ms, temperature: float64, humidity: float64, ok: bool}
    event_time: ts
steps:
  averages: {from: readings, key_by: [device_id, site], window: {tumbling: 10s}, aggregate: {avg: avg(temperature), n: count(), top: max(temperature * 2)}}
  total: {from: readings, window: {tumbling: 1m}, aggregate: {n: count(), sum: sum(floor)}}
  profiled: {from: readings, key_by: floor, running: {mean: mean(temperature), slow: "ewm_mean(temperature, 0.1)"}, ttl: 7d}
sinks:
  a: {from: averages, stdout: {}}
  b: {from: total, stdout: {}}
  c: {from: profiled, stdout: {}}
`

func layoutsOf(t *testing.T, src string) map[string][]string {
	t.Helper()
	p, _, err := Compile("p.yaml", []byte(src), testCatalog(), Options{})
	if err != nil {
		t.Fatal(diag.Format(err))
	}
	out := map[string][]string{}
	for _, n := range p.Nodes {
		if l := n.StateLayout(); l != nil {
			out[n.Name] = l
		}
	}
	return out
}

func TestStateLayout(t *testing.T) {
	want := map[string][]string{
		"averages": {"window tumbling 10s", "key device_id string", "key site string?",
			"avg(temperature float64)", "count()", "max(temperature * 2 float64)", "words 4"},
		"total":    {"window tumbling 1m", "count()", "sum(floor int64)", "words 3"},
		"profiled": {"running, with the time of the last row", "key floor int32", "mean(temperature float64)", "ewm_mean(temperature float64, 0.1)", "words 5"},
	}
	if d := cmp.Diff(want, layoutsOf(t, stateful)); d != "" {
		t.Errorf("layouts differ (-want +got); stored state of a changed layout is refused:\n%s", d)
	}
}

// TestWhichEditsKeepTheState edits a pipeline and asks whose stored state still fits.
func TestWhichEditsKeepTheState(t *testing.T) {
	all := []string{"averages", "profiled", "total"}
	without := func(lost string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == lost })
	}
	before := layoutsOf(t, stateful)
	for _, c := range []struct {
		name, old, new string
		keeps          []string
	}{
		{"nothing", "name: p", "name: p", all},
		{"another column is read", "sinks:", "sinks:\n  raw: {from: readings, stdout: {}}", all},
		{"a result has another name", "avg: avg(", "average: avg(", all},
		{"an expression is laid out anew", "max(temperature * 2)", "\"max( (temperature*2) )\"", all},
		{"another ttl", "ttl: 7d", "ttl: 8d", all},
		{"late rows are read", "top: max(temperature * 2)}}", "top: max(temperature * 2)}, late: side}", all},
		{"combined or not", "{n: count(), sum: sum(floor)}}", "{n: count(), sum: sum(floor)}, late: side}", all},
		{"a filter before it", "  total: {from: readings,", "  warm: {from: readings, where: temperature > 0}\n  total: {from: warm,", all},
		{"a narrow column that is aggregated gets wide, and so its key changes", "floor: int32", "floor: int64", without("profiled")},
		{"another size", "tumbling: 10s", "tumbling: 20s", without("averages")},
		{"an offset", "tumbling: 1m", "tumbling: {size: 1m, offset: 1s}", without("total")},
		{"no ttl", ", ttl: 7d", "", without("profiled")},
		{"keys in another order", "[device_id, site]", "[site, device_id]", without("averages")},
		{"fewer keys", "[device_id, site]", "device_id", without("averages")},
		{"another key of the same kind", "[device_id, site]", "[site]", without("averages")},
		{"a key that may be null", "device_id: string", "device_id: string?", without("averages")},
		{"a value that may be null", "humidity: float64", "humidity: float64?", all},
		{"an aggregated value that may be null", "temperature: float64", "temperature: float64?", []string{"total"}},
		{"another column of the same kind", "avg(temperature)", "avg(humidity)", without("averages")},
		{"another expression", "temperature * 2", "temperature * 3", without("averages")},
		{"another function of the same size", "max(temperature * 2)", "min(temperature * 2)", without("averages")},
		{"another function of equal parts", "mean(temperature)", "stddev(temperature)", without("profiled")},
		{"another parameter", "temperature, 0.1", "temperature, 0.2", without("profiled")},
		{"aggregates in another order", "n: count(), sum: sum(floor)", "sum: sum(floor), n: count()", without("total")},
		{"one aggregate more", "n: count(), sum:", "n: count(), m: min(floor), sum:", without("total")},
		{"an aggregate that nobody reads", "  b: {from: total, stdout: {}}",
			"  b: {from: slim, stdout: {}}", without("total")},
		{"the kind of an argument", "sum(floor)", "sum(floor * 1.0)", without("total")},
		{"a window instead of running", "running: {mean: mean(temperature), slow: \"ewm_mean(temperature, 0.1)\"}, ttl: 7d",
			"window: {tumbling: 10s}, aggregate: {mean: mean(temperature), slow: max(temperature)}", without("profiled")},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(stateful, c.old) {
				t.Fatalf("the pipeline has no %q", c.old)
			}
			src := strings.Replace(stateful, c.old, c.new, 1)
			if strings.Contains(c.new, "slim") {
				src = strings.Replace(src, "sinks:", "  slim: {from: total, select: {n: n}}\nsinks:", 1)
			}
			after := layoutsOf(t, src)
			var keeps []string
			for _, step := range all {
				if slices.Equal(before[step], after[step]) {
					keeps = append(keeps, step)
				}
			}
			if d := cmp.Diff(c.keeps, keeps); d != "" {
				t.Errorf("whose state fits (-want +got):\n%s\n%v", d, after)
			}
		})
	}
}
