package workload

import (
	"math"

	"github.com/gorge-stream/gorge/internal/diag"
)

// Bounds of the settings.
const (
	MaxDevices = 100_000_000   // 8 digits
	MaxRate    = 1_000_000_000 // events per second
	MaxSkew    = 10            // of the Zipf distribution
	MaxMillis  = 1_000_000_000 // of disorder and lateness, 11 days
	MaxDegrees = 10_000        // of an anomaly
	// maxStart keeps every event within the year 9999.
	maxStart = 250_000_000_000_000
)

// DefaultStart is the event time of the first event where none is given, in
// milliseconds: 2025-10-09T08:53:20Z, the start of a window of any usual size.
const DefaultStart int64 = 1_760_000_000_000

// Config says which events there are. Times are milliseconds.
type Config struct {
	Seed    uint64
	Devices int     // number of distinct devices
	Skew    float64 // exponent of a Zipf distribution over the devices; 0 is uniform
	Rate    int64   // events per second of event time
	Start   int64   // event time of the first event, since 1970-01-01T00:00:00Z
	// Disorder is the most that an event which is not late lies behind its schedule.
	Disorder int64
	// Late is the share of late events, which lie up to LateBy further behind.
	Late   float64
	LateBy int64
	// Anomalies is the share of events whose temperature is off by AnomalySize degrees.
	Anomalies   float64
	AnomalySize float64
}

// Validate reports the first setting that is out of its bounds.
func (c *Config) Validate() error {
	bad := func(name string, value any, bounds string) error {
		return diag.New("generate/out-of-range", "%s is %v, but must be %s", name, value, bounds)
	}
	share := func(x float64) bool { return x >= 0 && x <= 1 }
	switch {
	case c.Devices < 1 || c.Devices > MaxDevices:
		return bad("the number of devices", c.Devices, "from 1 to 100,000,000")
	case !(c.Skew >= 0 && c.Skew <= MaxSkew):
		return bad("the skew", c.Skew, "from 0 to 10")
	case c.Rate < 1 || c.Rate > MaxRate:
		return bad("the rate", c.Rate, "from 1 to 1,000,000,000 events a second")
	case c.Start < -maxStart || c.Start > maxStart:
		return bad("the start", c.Start, "a time between the years -5952 and 9892")
	case c.Disorder < 0 || c.Disorder > MaxMillis:
		return bad("the disorder in milliseconds", c.Disorder, "from 0 to 1,000,000,000")
	case !share(c.Late):
		return bad("the share of late events", c.Late, "from 0 to 1")
	case c.Late > 0 && (c.LateBy < 1 || c.LateBy > MaxMillis):
		return bad("the lateness in milliseconds", c.LateBy, "from 1 to 1,000,000,000")
	case !share(c.Anomalies):
		return bad("the share of anomalies", c.Anomalies, "from 0 to 1")
	case math.IsNaN(c.AnomalySize) || math.Abs(c.AnomalySize) > MaxDegrees:
		return bad("the size of an anomaly", c.AnomalySize, "at most 10,000 degrees")
	}
	return nil
}
