package plan

import (
	"testing"

	"github.com/gorge-stream/gorge/internal/diag"
)

const citySensors = `name: city-sensors
sources:
  readings:
    file: {path: "${FILE:-readings.ndjson}"}
    format: json
    schema: {device_id: string, ts: timestamp_ms, temperature: float64, site: string}
    event_time: {column: ts, max_disorder: 2s, idle_after: 30s, max_ahead: 1m}
    on_bad_record: dead_letter
functions:
  anomaly_score: {file: udfs/anomaly.py, version: 2, workers: 2, timeout: 2s, on_error: dead_letter}
steps:
  averages:  {from: readings, key_by: device_id, window: {tumbling: 10s}, aggregate: {avg_temp: avg(temperature), n: count()}, late: side}
  profiled:  {from: averages, key_by: device_id, running: {mean: mean(avg_temp), std: stddev(avg_temp)}}
  scored:    {from: profiled, call: {score: "anomaly_score(avg_temp, mean, std)"}}
  spikes:    {from: scored, where: "abs(score) > 3"}
  too_late:  {from: averages.late, select: {device_id: device_id, ts: ts}}
sinks:
  out:       {from: scored, file: out.ndjson, format: json}
  alerts:    {from: spikes, http: {url: "${ALERTS:-http://localhost:9999}", method: POST}}
  by_device: {from: scored, table: {key: [device_id, window_start], retain: 30d}}
  late_rows: {from: too_late, stdout: {}}
  broken:    {from: readings.dead, stdout: {}}
dead_letters: {file: {path: dead.ndjson}, format: json}
`

func TestTheCitySensorsPipelineCompiles(t *testing.T) {
	p, warnings, err := Compile("city.yaml", []byte(citySensors), testCatalog(), Options{})
	if err != nil {
		t.Fatal(diag.Format(err))
	}
	for _, w := range warnings {
		t.Log(diag.Format(w))
	}
	for _, n := range p.Nodes {
		t.Logf("%d %-16s %T %v %v", n.Stage, n.Name, n.Op, n.Schema, n.Pushed)
	}
	t.Logf("%+v", p.Paths)
	t.Logf("%+v", p.Stages)
}
