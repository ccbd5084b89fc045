package workload

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"
)

// recount is the reference: every event into one map.
func recount(e *Events, window int64) map[string]string {
	type sums struct{ count, late, sum int64 }
	all := map[[2]int64]*sums{}
	for i := range e.N {
		w := e.Millis[i] / window
		if e.Millis[i] < 0 && e.Millis[i]%window != 0 {
			w--
		}
		k := [2]int64{w * window, int64(e.Device[i])}
		if all[k] == nil {
			all[k] = &sums{}
		}
		all[k].count++
		all[k].sum += int64(e.Temperature[i])
		if e.Marks[i]&Late != 0 {
			all[k].late++
		}
	}
	out := map[string]string{}
	for k, s := range all {
		out[fmt.Sprint(k[0], " ", k[1])] = fmt.Sprint(s.count, s.sum, s.late)
	}
	return out
}

func TestTheOracleEqualsARecount(t *testing.T) {
	const n = 20_000
	for _, start := range []int64{DefaultStart, 5, -20_000} {
		for _, window := range []int64{1, 700, 10_000, 1 << 40} {
			c := Config{Seed: 9, Devices: 300, Rate: 2000, Start: start, Disorder: 500, Late: 0.02, LateBy: 8000, Anomalies: 0.01, AnomalySize: 40}
			got := map[string]string{}
			var last Row
			o, err := NewOracle(c, window, func(r *Row) error {
				if len(got) > 0 && (r.Window < last.Window || r.Window == last.Window && r.Device <= last.Device) {
					t.Fatalf("row %+v behind %+v", *r, last)
				}
				last = *r
				got[fmt.Sprint(r.Window, " ", r.Device)] = fmt.Sprint(int64(r.Count), r.Sum, int64(r.Late))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			most := 0
			for first := int64(0); first < n; first += 1000 {
				if err := o.Add(generate(t, c, first, 1000)); err != nil {
					t.Fatal(err)
				}
				most = max(most, len(o.panes))
			}
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
			if bound := int(10_000/window) + 3; most > bound {
				t.Errorf("window %d: %d windows were open at once, want at most %d", window, most, bound)
			}
			want := recount(generate(t, c, 0, n), window)
			if len(got) != len(want) {
				t.Fatalf("window %d: %d rows, want %d", window, len(got), len(want))
			}
			for k, v := range want {
				if got[k] != v {
					t.Fatalf("window %d: %s is %s, want %s", window, k, got[k], v)
				}
			}
		}
	}
}

func TestTheOracleReturnsTheErrorOfItsReceiver(t *testing.T) {
	full := errors.New("disk full")
	o, err := NewOracle(city(), 1000, func(*Row) error { return full })
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Add(generate(t, city(), 0, 10)); err != nil {
		t.Fatal(err)
	}
	if err := o.Close(); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

func TestARowOfTheOracleIsALineOfCSV(t *testing.T) {
	r := Row{Window: -10_000, Device: 42, Count: 3, Late: 1, Sum: -77}
	if got := string(r.AppendCSV(nil)); got != "-10000,dev-0000042,3,-77,1\n" {
		t.Errorf("got %q", got)
	}
}

func TestOffsetAndDueAreInverse(t *testing.T) {
	for _, rate := range []int64{1, 3, 777, 1000, 999_983, 1_000_000, MaxRate} {
		for _, i := range []int64{0, 1, 2, 999, 1_000_000, 123_456_789_012} {
			if i/rate > 9_000_000_000 {
				continue // beyond the 292 years of a time.Duration
			}
			at := Offset(i, rate)
			if got := Due(at, rate); got < i+1 || rate < MaxRate && got != i+1 {
				t.Errorf("rate %d: %d events due at the offset of event %d", rate, got, i)
			}
			if got := Due(at-1, rate); got > i {
				t.Errorf("rate %d: %d events due before the offset of event %d", rate, got, i)
			}
		}
	}
	if got := Offset(1<<60, 1); got != math.MaxInt64 {
		t.Errorf("an offset beyond the range of durations is %v", got)
	}
	if got := Offset(5, 2); got != 2500*time.Millisecond {
		t.Errorf("offset %v", got)
	}
}

func TestLagQuantiles(t *testing.T) {
	var l Lag
	if l.Quantile(0.99) != 0 {
		t.Error("no events, but a lag")
	}
	var parts [3]Lag
	for i := 1; i <= 10_000; i++ {
		parts[i%3].Add(time.Duration(i)*time.Microsecond, 1)
	}
	parts[0].Add(-time.Second, 100)
	for i := range parts {
		l.Merge(&parts[i])
	}
	for _, q := range []float64{0.5, 0.9, 0.99} {
		exact := time.Duration(q*10_100-100) * time.Microsecond
		if got := l.Quantile(q); got < exact || got > exact*9/8+time.Microsecond {
			t.Errorf("quantile %v is %v, want %v or a little more", q, got, exact)
		}
	}
	if l.Max() != 10*time.Millisecond || l.Quantile(1) != l.Max() {
		t.Errorf("max %v, quantile 1 %v", l.Max(), l.Quantile(1))
	}
	for v := uint64(0); v < 1<<20; v += 1 + v/50 {
		var one Lag
		one.Add(time.Duration(v), 1)
		one.max = 1 << 62
		if got := uint64(one.Quantile(1)); got < v || got > v+v/8 {
			t.Fatalf("%d is counted as %d", v, got)
		}
	}
}
