package plan

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDurationsAreReadWithUnits(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "500ms": 500 * time.Millisecond, "2s": 2 * time.Second, "1h30m": 90 * time.Minute,
		"30d": 720 * time.Hour, "1w": 168 * time.Hour, "1.5s": 1500 * time.Millisecond, "-5m": -5 * time.Minute,
		"7us": 7 * time.Microsecond, "9ns": 9,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-", "10", "s", "1x", "1s2", "1 s", "1S", "--1s", "1..5s", "1mo", "99999999w", "1e3s", "+1s"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestDurationsAreWrittenAsTheyAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Beyond 2^53 nanoseconds (104 days) a sum of units is exact to the microsecond only.
		d := time.Duration(rapid.Int64Range(-1<<53, 1<<53).Draw(t, "d"))
		if got, err := parseDuration(formatDuration(d)); err != nil || got != d {
			t.Fatalf("%d is written %s and read %d, %v", d, formatDuration(d), got, err)
		}
	})
}

func TestSizesAreReadWithUnits(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "123": 123, "64KiB": 64 << 10, "10MB": 10_000_000, "1.5 GiB": 3 << 29, "1kb": 1000, "2TiB": 2 << 40, "5b": 5,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "KB", "1KiBs", "-1", "1.2.3", "9999999999TB", "1e3"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
