package workload

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"math"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

func city() Config {
	return Config{
		Seed: 1, Devices: 500_000, Rate: 1_000_000, Start: DefaultStart, Disorder: 500,
		Late: 0.01, LateBy: 30_000, Anomalies: 0.001, AnomalySize: 25,
	}
}

func generate(t testing.TB, c Config, first int64, n int) *Events {
	t.Helper()
	g, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	e := NewEvents(n)
	g.Fill(e, first, n)
	return e
}

func digest(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:8])
}

// The digests hold the bytes down for ever: a benchmark result names only the settings.
func TestSameSettingsMakeTheSameBytes(t *testing.T) {
	zipf := city()
	zipf.Skew = 1.2
	seed2 := city()
	seed2.Seed = 2
	plain := Config{Seed: 1, Devices: 1000, Rate: 1000, Start: DefaultStart}
	for _, tc := range []struct {
		name, want string
		c          Config
	}{
		{"city", "5db9a5e8e525e1e8", city()},
		{"seed", "601deee0c3880046", seed2},
		{"plain", "a79f41bca6f70ac4", plain},
		{"zipf", "d3c32da02f7c5268", zipf},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.c.Skew > 0 && runtime.GOARCH != "amd64" {
				t.Skip("the digest of Zipf draws was taken on amd64")
			}
			e := generate(t, tc.c, 0, 20_000)
			if got := digest(AppendCSV(AppendJSON(nil, e, true), e, false)); got != tc.want {
				t.Errorf("digest %s, want %s", got, tc.want)
			}
		})
	}
}

func TestAnEventDoesNotDependOnTheBlockItIsMadeIn(t *testing.T) {
	const n = 5000
	for _, skew := range []float64{0, 1, 1.3} {
		c := city()
		c.Skew = skew
		c.Rate = 777 // odd, so that fractions of a millisecond are cut
		want := AppendJSON(nil, generate(t, c, 0, n), true)
		var got []byte
		for first, step := 0, 1; first < n; step = step*2 + 1 {
			k := min(step, n-first)
			got = AppendJSON(got, generate(t, c, int64(first), k), true)
			first += k
		}
		if !bytes.Equal(got, want) {
			t.Errorf("skew %v: other bytes when cut into blocks", skew)
		}
	}
}

func TestSharesAndBoundsAreKept(t *testing.T) {
	const n = 400_000
	c := city()
	e := generate(t, c, 0, n)
	base := map[uint32]int32{}
	var late, odd, behind int64
	newest := int64(math.MinInt64 / 2)
	for i := range n {
		schedule := c.Start + int64(i)*1000/c.Rate
		back := schedule - e.Millis[i]
		if e.Marks[i]&Late != 0 {
			late++
			if back <= c.Disorder || back > c.Disorder+c.LateBy {
				t.Fatalf("event %d: late by %d ms", i, back)
			}
		} else {
			if back < 0 || back > c.Disorder || e.Millis[i] < c.Start || e.Millis[i] < newest-c.Disorder {
				t.Fatalf("event %d: %d ms behind its schedule", i, back)
			}
			newest = max(newest, e.Millis[i])
			behind += back
		}
		if e.Humidity[i] < 2000 || e.Humidity[i] >= 8000 || e.AirQuality[i] < 0 || e.AirQuality[i] >= 500 || e.Device[i] >= uint32(c.Devices) {
			t.Fatalf("event %d: value out of range", i)
		}
		if e.Marks[i]&Anomaly != 0 {
			odd++
			continue
		}
		if b, ok := base[e.Device[i]]; !ok {
			base[e.Device[i]] = e.Temperature[i]
		} else if d := e.Temperature[i] - b; d > 400 || d < -400 {
			t.Fatalf("event %d: two usual readings of a device differ by %d", i, d)
		}
	}
	near := func(what string, got, want float64) {
		if math.Abs(got-want) > 5*math.Sqrt(want) {
			t.Errorf("%s: %v, want about %v", what, got, want)
		}
	}
	near("late events", float64(late), n*c.Late)
	near("anomalies", float64(odd), n*c.Anomalies)
}

func TestUniformDevicesComeEquallyOften(t *testing.T) {
	c := Config{Seed: 3, Devices: 100, Rate: 1000, Start: 0}
	e := generate(t, c, 0, 100_000)
	var count [100]float64
	for _, d := range e.Device {
		count[d]++
	}
	var chi float64
	for _, k := range count {
		chi += (k - 1000) * (k - 1000) / 1000
	}
	if chi > 170 || chi < 50 { // 99 degrees of freedom, beyond five deviations
		t.Errorf("chi square %.1f", chi)
	}
}

func TestZipfSharesFollowTheExponent(t *testing.T) {
	const n, devices = 400_000, 1000
	for _, s := range []float64{0.5, 1, 1.2, 3} {
		e := generate(t, Config{Seed: 5, Devices: devices, Rate: 1000, Skew: s}, 0, n)
		var count [devices]float64
		for _, d := range e.Device {
			count[d]++
		}
		var sum float64
		for k := 1; k <= devices; k++ {
			sum += math.Pow(float64(k), -s)
		}
		for _, rank := range []int{1, 2, 3, 10, 100, 999} {
			want := n * math.Pow(float64(rank), -s) / sum
			if got := count[rank-1]; math.Abs(got-want) > 5*math.Sqrt(want)+1 {
				t.Errorf("s=%v: rank %d came %v times, want about %.0f", s, rank, got, want)
			}
		}
	}
}

func TestLinesAreJSONAndCSVOfTheColumns(t *testing.T) {
	c := city()
	c.Devices = MaxDevices
	c.Anomalies, c.AnomalySize = 0.5, 1234.5
	e := generate(t, c, 7, 500)
	table, err := csv.NewReader(strings.NewReader(CSVHeader(true) + string(AppendCSV(nil, e, true)))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range bytes.Split(bytes.TrimSpace(AppendJSON(nil, e, true)), []byte("\n")) {
		if len(line) >= maxLine {
			t.Fatalf("line of %d bytes", len(line))
		}
		var v struct {
			DeviceID    string      `json:"device_id"`
			TS          int64       `json:"ts"`
			Temperature json.Number `json:"temperature"`
			Humidity    float64     `json:"humidity"`
			AirQuality  int32       `json:"air_quality"`
			Site        string      `json:"site"`
			Anomaly     bool        `json:"anomaly"`
		}
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatal(err)
		}
		temp, _ := v.Temperature.Float64()
		if v.DeviceID != string(AppendDevice(nil, e.Device[i])) || v.TS != e.Millis[i] || temp != float64(e.Temperature[i])/100 ||
			v.Humidity != float64(e.Humidity[i])/100 || v.AirQuality != e.AirQuality[i] || v.Site != string(AppendSite(nil, e.Device[i])) ||
			v.Anomaly != (e.Marks[i]&Anomaly != 0) {
			t.Fatalf("line %s does not match event %d", line, i)
		}
		want := []string{v.DeviceID, strconv.FormatInt(v.TS, 10), v.Temperature.String(), strconv.FormatFloat(v.Humidity, 'f', 2, 64),
			strconv.Itoa(int(v.AirQuality)), v.Site, strconv.FormatBool(v.Anomaly)}
		if got := strings.Join(table[i+1], "|"); got != strings.Join(want, "|") {
			t.Fatalf("CSV %s, want %s", got, strings.Join(want, "|"))
		}
	}
}

func TestNamesOfDevicesAndSites(t *testing.T) {
	for d, want := range map[uint32]string{
		0: "dev-0000000 site-000", 123: "dev-0000123 site-123", 9_876_543: "dev-9876543 site-143", 12_345_678: "dev-12345678 site-078",
	} {
		if got := string(AppendDevice(nil, d)) + " " + string(AppendSite(nil, d)); got != want {
			t.Errorf("device %d is %s, want %s", d, got, want)
		}
	}
	for v, want := range map[int32]string{0: "0.00", 5: "0.05", -5: "-0.05", 999: "9.99", 1000: "10.00", 2345: "23.45", 123450: "1234.50", -1006: "-10.06"} {
		if got := string(appendHundredths(nil, v)); got != want {
			t.Errorf("%d is written %s, want %s", v, got, want)
		}
	}
}

func TestBadSettingsAreRefused(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"devices":   func(c *Config) { c.Devices = 0 },
		"many":      func(c *Config) { c.Devices = MaxDevices + 1 },
		"skew":      func(c *Config) { c.Skew = math.NaN() },
		"rate":      func(c *Config) { c.Rate = 0 },
		"start":     func(c *Config) { c.Start = math.MaxInt64 },
		"disorder":  func(c *Config) { c.Disorder = -1 },
		"late":      func(c *Config) { c.Late = 1.5 },
		"late by":   func(c *Config) { c.LateBy = 0 },
		"anomalies": func(c *Config) { c.Anomalies = math.NaN() },
		"size":      func(c *Config) { c.AnomalySize = math.Inf(-1) },
	} {
		c := city()
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := NewOracle(c, 1000, nil); err == nil {
			t.Errorf("%s: accepted by the oracle", name)
		}
	}
	c := city()
	c.Devices = MaxDevices
	if _, err := NewOracle(c, 10, nil); err == nil {
		t.Error("an oracle of more than 4 GiB was accepted")
	}
	if _, err := NewOracle(city(), 0, nil); err == nil {
		t.Error("an oracle without a window was accepted")
	}
}

func TestFillAndEncodeDoNotAllocate(t *testing.T) {
	c := city()
	c.Skew = 1.1
	g, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	e := NewEvents(1024)
	buf := make([]byte, 0, 1024*maxLine)
	if n := testing.AllocsPerRun(20, func() {
		g.Fill(e, 12345, e.Cap())
		buf = AppendJSON(buf[:0], e, true)
		buf = AppendCSV(buf[:0], e, true)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFill(b *testing.B) {
	for _, skew := range []float64{0, 1.1} {
		b.Run("skew="+strconv.FormatFloat(skew, 'g', -1, 64), func(b *testing.B) {
			c := city()
			c.Skew = skew
			g, _ := New(c)
			e := NewEvents(4096)
			for i := 0; b.Loop(); i++ {
				g.Fill(e, int64(i*4096), 4096)
			}
			b.ReportMetric(float64(b.N)*4096/b.Elapsed().Seconds()/1e6, "Mev/s")
		})
	}
}

func BenchmarkJSON(b *testing.B) {
	g, _ := New(city())
	e := NewEvents(4096)
	var buf []byte
	for i := 0; b.Loop(); i++ {
		g.Fill(e, int64(i*4096), 4096)
		buf = AppendJSON(buf[:0], e, false)
	}
	b.ReportMetric(float64(b.N)*4096/b.Elapsed().Seconds()/1e6, "Mev/s")
}
