package generate

import (
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/delivery"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
	"github.com/gorge-stream/gorge/internal/workload"
)

// Registration lists the connector.
var Registration = connector.Registration{
	Source:        decl,
	Rows:          true,
	SourceSchema:  func(*spec.Values) []codec.Column { return columns },
	SourcePromise: promise,
	Unbounded:     func(set *spec.Values) bool { return set.Int("events") == 0 },
	NewSource: func(set *spec.Values, env connector.SourceEnv) (connector.Source, error) {
		return newSource(set, env, time.Now, napThread)
	},
}

func promise(*spec.Values) delivery.Promise {
	return delivery.Promise{Guarantee: delivery.ExactlyOnce, Why: "every event follows from its number, so that any position can be gone back to"}
}

// columns are what the source makes, in the order of the batch when all are needed.
var columns = []codec.Column{
	{Name: "device_id", Kind: batch.String},
	{Name: "ts", Kind: batch.Timestamp, Wire: spec.WireMillis},
	{Name: "temperature", Kind: batch.Float64},
	{Name: "humidity", Kind: batch.Float64},
	{Name: "air_quality", Kind: batch.Int64},
	{Name: "site", Kind: batch.String},
	{Name: "anomaly", Kind: batch.Bool},
}

var decl = &spec.Decl{
	Name:    "generate",
	Summary: "Makes the readings of city sensors, deterministic by seed.",
	Doc: `Each event has ` + "`device_id`" + ` (` + "`dev-0000123`" + `), ` + "`ts`" + `, ` + "`temperature`, `humidity`, `air_quality`" + ` and ` + "`site`" + `; ` + "`anomaly`" + `
tells which temperatures were made wrong on purpose. The same settings give the same events in every run.

With a ` + "`rate`" + ` event number i is due i/rate seconds after the start and carries that time. The schedule is open loop:
when the pipeline falls behind, all that is due comes in a burst. With ` + "`rate: 0`" + ` events come as fast as they are taken.

Without a ` + "`format`" + ` the source fills columns directly. With ` + "`format: json` or `format: csv`" + ` it writes bytes that the
pipeline decodes, which needs a ` + "`schema`" + `; ` + "`anomaly`" + ` is then written only with ` + "`labels: true`" + `.`,
	Fields: []spec.Field{
		{Name: "rate", Type: spec.Int, Default: int64(1000), Min: 0, Max: workload.MaxRate, Doc: "Events per second, by the clock. 0 makes them as fast as the pipeline takes them."},
		{Name: "event_rate", Type: spec.Int, Default: int64(1_000_000), Min: 1, Max: workload.MaxRate, Doc: "Events per second of event time when `rate` is 0."},
		{Name: "events", Type: spec.Int, Default: int64(0), Min: 0, Max: maxEvents, Doc: "The source ends after so many events. 0 never ends."},
		{Name: "devices", Type: spec.Int, Default: int64(1000), Min: 1, Max: workload.MaxDevices, Doc: "Number of distinct devices."},
		{Name: "distribution", Type: spec.Enum, Values: []string{"uniform", "zipf"}, Default: "uniform", Doc: "How often each device reports. With `zipf` few devices make most events, device 0 the most."},
		{Name: "skew", Type: spec.Float, Default: 1.1, Min: 0.01, Max: workload.MaxSkew, Doc: "Exponent of the Zipf distribution."},
		{Name: "disorder", Type: spec.Duration, Default: 500 * time.Millisecond, Min: 0, Max: workload.MaxMillis * 1e6, Doc: "The most that an event lies behind its schedule in event time, unless it is late. In whole milliseconds."},
		{Name: "late", Type: spec.Float, Default: 0.0, Min: 0, Max: 1, Doc: "Share of late events, which lie behind by more than `disorder`."},
		{Name: "late_by", Type: spec.Duration, Default: 30 * time.Second, Min: 1e6, Max: workload.MaxMillis * 1e6, Doc: "How much further behind than `disorder` a late event lies at most."},
		{Name: "anomalies", Type: spec.Float, Default: 0.0, Min: 0, Max: 1, Doc: "Share of events with a wrong temperature."},
		{Name: "anomaly_size", Type: spec.Float, Default: 25.0, Min: -workload.MaxDegrees, Max: workload.MaxDegrees, Doc: "By how many degrees, up or down, an anomaly is off."},
		{Name: "labels", Type: spec.Bool, Default: false, Doc: "Write the column `anomaly` when a `format` is given."},
		{Name: "seed", Type: spec.Int, Default: int64(1), Doc: "Another seed makes other events."},
		{Name: "start", Type: spec.String, Doc: "Event time of the first event, as RFC 3339. The default is now with a `rate`, and 2025-10-09T08:53:20Z with `rate: 0`."},
	},
	Example: "generate: {rate: 5000, events: 100000, devices: 500, late: 0.01}",
}

// configure turns the settings into a workload. live tells that the events
// carry the times of the clock, from when the source is opened.
func configure(set *spec.Values) (c workload.Config, live bool, err error) {
	c = workload.Config{
		Seed: uint64(set.Int("seed")), Devices: int(set.Int("devices")), Rate: set.Int("rate"), Start: workload.DefaultStart,
		Disorder: set.Duration("disorder").Milliseconds(), Late: set.Float("late"), LateBy: set.Duration("late_by").Milliseconds(),
		Anomalies: set.Float("anomalies"), AnomalySize: set.Float("anomaly_size"),
	}
	if set.String("distribution") == "zipf" {
		c.Skew = set.Float("skew")
	}
	start := set.String("start")
	live = c.Rate > 0 && start == ""
	if c.Rate == 0 {
		c.Rate = set.Int("event_rate")
	}
	if start != "" {
		t, err := time.Parse(time.RFC3339, start)
		if err != nil {
			return c, false, diag.New("generate/start", "the start %q is no time", start).At(set.PlaceOf("start")).
				WithHint("write it like 2026-01-31T09:00:00Z")
		}
		c.Start = t.UnixMilli()
	}
	return c, live, c.Validate()
}
