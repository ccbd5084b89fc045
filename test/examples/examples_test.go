package examples

import (
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorge-stream/gorge/test/engine"
)

func TestMain(m *testing.M) { os.Exit(engine.Main(m)) }

// run runs an example to its end and wants exit code 0.
func run(t *testing.T, name string, env ...string) engine.Result {
	t.Helper()
	r := engine.Run(t, engine.Command{
		Args: []string{"run", "examples/" + name + "/pipeline.yaml", "--http", "off", "--data", t.TempDir()},
		Env:  append(env, "GORGE_PYTHON="+engine.Python(t)),
	})
	if r.Code != 0 {
		t.Fatalf("exit code %d\n%s", r.Code, r.Stderr)
	}
	return r
}

// rows reads one JSON object a line.
func rows(t *testing.T, text string) []map[string]any {
	t.Helper()
	var out []map[string]any
	for _, line := range engine.Lines(text) {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		out = append(out, row)
	}
	return out
}

func TestEveryExamplePassesCheck(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(engine.Root(), "examples", "*", "pipeline.yaml"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%d examples: %v", len(files), err)
	}
	for _, f := range files {
		if r := engine.Run(t, engine.Command{Args: []string{"check", f}, Env: []string{"GORGE_PYTHON=" + engine.Python(t)}}); r.Code != 0 {
			t.Errorf("%s: exit code %d\n%s%s", f, r.Code, r.Stdout, r.Stderr)
		}
	}
}

func TestHello(t *testing.T) {
	want, err := os.ReadFile(filepath.Join(engine.Root(), "examples/1-hello/expected.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	if r := run(t, "1-hello"); r.Stdout != string(want) {
		t.Errorf("got\n%s\nwant\n%s", r.Stdout, want)
	}
}

// weather is one row of the weather data; NaN stands for an empty cell.
type weather struct {
	at          time.Time
	origin      string
	temp, speed float64
}

// readWeather reads the data with encoding/csv, apart from the engine.
func readWeather(t *testing.T) []weather {
	t.Helper()
	f, err := os.Open(filepath.Join(engine.Root(), "examples/data/nyc-weather.csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(z).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := func(name string) int { return slices.Index(records[0], name) }
	number := func(s string) float64 {
		if s == "" {
			return math.NaN()
		}
		x, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	var out []weather
	for _, r := range records[1:] {
		at, err := time.Parse(time.RFC3339, r[column("event_time")])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, weather{at, r[column("origin")], number(r[column("temp")]), number(r[column("wind_speed")])})
	}
	return out
}

// day is what the example computes of one airport and day.
type day struct {
	hours, temps           int64
	sum, coldest, warmest  float64
	wind                   float64
	anyTemp, anyWind, seen bool
}

func (d *day) add(w weather) {
	d.hours++
	if !math.IsNaN(w.temp) {
		if !d.anyTemp {
			d.coldest, d.warmest = w.temp, w.temp
		}
		d.anyTemp = true
		d.temps++
		d.sum += w.temp
		d.coldest, d.warmest = min(d.coldest, w.temp), max(d.warmest, w.temp)
	}
	if !math.IsNaN(w.speed) {
		d.wind = max(d.wind, w.speed)
		d.anyWind = true
	}
}

func TestWindows(t *testing.T) {
	want := map[string]*day{}
	for _, w := range readWeather(t) {
		k := w.origin + " " + w.at.Format("2006-01-02T00:00:00Z")
		if want[k] == nil {
			want[k] = &day{}
		}
		want[k].add(w)
	}
	out := filepath.Join(t.TempDir(), "daily.csv")
	r := run(t, "2-windows", "OUT="+out)
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(records[0], " "); got != "origin window_start window_end hours temp coldest warmest wind" {
		t.Errorf("header %q", got)
	}
	frost := 0
	for _, rec := range records[1:] {
		k := rec[0] + " " + rec[1]
		d := want[k]
		if d == nil || d.seen {
			t.Fatalf("%s: not wanted, or a second time", k)
		}
		d.seen = true
		wantRow := []string{strconv.FormatInt(d.hours, 10), "", cell(d.coldest, d.anyTemp), cell(d.warmest, d.anyTemp), cell(d.wind, d.anyWind)}
		for i, s := range wantRow {
			if i != 1 && rec[3+i] != s {
				t.Errorf("%s: %s is %q, want %q", k, records[0][3+i], rec[3+i], s)
			}
		}
		if avg, err := strconv.ParseFloat(rec[4], 64); err != nil || math.Abs(avg-d.sum/float64(d.temps)) > 1e-9 {
			t.Errorf("%s: average %s, want %g", k, rec[4], d.sum/float64(d.temps))
		}
		if d.anyTemp && d.coldest < 14 {
			frost++
		}
	}
	if len(records)-1 != len(want) {
		t.Errorf("%d rows, want %d", len(records)-1, len(want))
	}
	if got := len(rows(t, r.Stdout)); got != frost || frost == 0 {
		t.Errorf("%d days of frost, want %d", got, frost)
	}
}

func cell(x float64, present bool) string {
	if !present {
		return ""
	}
	return strconv.FormatFloat(x, 'g', -1, 64)
}

func TestPythonFindsTheBrokenReading(t *testing.T) {
	found := rows(t, run(t, "3-python").Stdout)
	if len(found) != 1 {
		t.Fatalf("%d rows, want the broken one alone: %v", len(found), found)
	}
	row := found[0]
	if row["origin"] != "EWR" || row["wind_speed"] != 1048.36058 || row["event_time"] != "2013-02-12T08:00:00Z" {
		t.Errorf("%v", row)
	}
	// The score by an independent computation: running mean and deviation of EWR, this row included.
	var n, mean, m2 float64
	for _, w := range readWeather(t) {
		if w.origin != "EWR" || math.IsNaN(w.speed) {
			continue
		}
		n++
		d := w.speed - mean
		mean += d / n
		m2 += d * (w.speed - mean)
		if w.speed > 1000 {
			break
		}
	}
	want := (1048.36058 - mean) / math.Sqrt(m2/n)
	if got, ok := row["score"].(float64); !ok || math.Abs(got-want) > 1e-9 {
		t.Errorf("score %v, want %v", row["score"], want)
	}
	if row["n"] != n {
		t.Errorf("n %v, want %v", row["n"], n)
	}
}

func TestHTTPIngestAndTable(t *testing.T) {
	address, data := engine.Address(t), t.TempDir()
	p := engine.Start(t, engine.Command{Args: []string{"run", "examples/4-http-ingest-table/pipeline.yaml", "--http", address, "--data", data}})
	p.Ready(address)
	readme, err := os.ReadFile(filepath.Join(engine.Root(), "examples/4-http-ingest-table/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "<<'END'\n")
	body, _, _ := strings.Cut(rest, "END\n")
	res, err := http.Post("http://"+address+"/ingest/readings", "application/x-ndjson", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		t.Fatalf("%s", res.Status)
	}
	query := "http://" + address + "/v1/tables/by_device?" + url.Values{"device_id": {"kitchen"}}.Encode()
	var answer string
	p.Until("the table has the window of the kitchen", func() bool {
		answer = engine.Get(t, query)
		return strings.Contains(answer, `"avg_temp":21`)
	})
	if !strings.Contains(answer, `"n":2`) || strings.Contains(answer, "cellar") {
		t.Errorf("%s", answer)
	}
	p.Signal(syscall.SIGTERM)
	if r := p.Wait(); r.Code != 0 {
		t.Errorf("exit code %d\n%s", r.Code, r.Stderr)
	}
}

func TestCitySensors(t *testing.T) {
	var mu sync.Mutex
	var alerts []string
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var row struct {
			Device string `json:"device_id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&row); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		alerts = append(alerts, row.Device)
	}))
	defer receiver.Close()
	dir := t.TempDir()
	out, late := filepath.Join(dir, "scored.ndjson"), filepath.Join(dir, "late.ndjson")
	run(t, "5-city-sensors", "RATE=0", "EVENTS=400000", "DEVICES=50", "WINDOW=10ms", "ALERTS="+receiver.URL, "OUT="+out, "LATE="+late)

	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	events, spikes := 0.0, []string{}
	for _, row := range rows(t, string(text)) {
		events += row["n"].(float64)
		if score, ok := row["score"].(float64); ok && math.Abs(score) > 4 && row["n"].(float64) >= 20 {
			spikes = append(spikes, row["device_id"].(string))
		}
	}
	text, err = os.ReadFile(late)
	if err != nil {
		t.Fatal(err)
	}
	if events += float64(len(engine.Lines(string(text)))); events != 400_000 {
		t.Errorf("%g events in windows and late rows together, want 400000", events)
	}
	slices.Sort(spikes)
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(alerts)
	if len(alerts) == 0 || !slices.Equal(alerts, spikes) {
		t.Errorf("%d alerts for %d spikes", len(alerts), len(spikes))
	}
}
