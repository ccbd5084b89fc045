package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// outRow is a row as sinks write it.
type outRow struct {
	ID int64     `json:"id"`
	K  string    `json:"k"`
	TS time.Time `json:"ts"`
	V  int64     `json:"v"`
}

func (x outRow) row() row { return row{x.ID, x.K, x.TS.UnixMilli(), x.V} }

// window is one row of a window step: of count, sum, least and greatest value.
type window struct {
	K     string    `json:"k"`
	Start time.Time `json:"window_start"`
	N     int64     `json:"n"`
	Total int64     `json:"total"`
	Low   int64     `json:"low"`
	High  int64     `json:"high"`
}

// aggregates are those of a window.
const aggregates = `key_by: k
    window: {tumbling: 10s}
    aggregate: {n: count(), total: sum(v), low: min(v), high: max(v)}`

// windowsOf computes what a window step has to find in rows.
func windowsOf(rows []row) map[window]int {
	type key struct {
		k     string
		start int64
	}
	all := map[key]*window{}
	for _, x := range rows {
		at := key{x.K, x.TS - x.TS%windowSize}
		w := all[at]
		if w == nil {
			w = &window{K: x.K, Start: time.UnixMilli(at.start).UTC(), Low: x.V, High: x.V}
			all[at] = w
		}
		w.N++
		w.Total += x.V
		w.Low, w.High = min(w.Low, x.V), max(w.High, x.V)
	}
	out := map[window]int{}
	for _, w := range all {
		out[*w] = 1
	}
	return out
}

// sameWindows compares windows in files with those of the rows.
func sameWindows(what string, rows []row, files ...string) error {
	got, err := readJSON[window](files...)
	if err != nil {
		return err
	}
	return sameCounts(what, windowsOf(rows), tally(got, window.utc))
}

func (w window) utc() window {
	w.Start = w.Start.UTC()
	return w
}

// fixed runs every life with two tasks per stage.
func fixed(*Round) func() []string {
	return func() []string { return []string{"-p", "2"} }
}

// rescaled runs every life with another number of tasks.
func rescaled(r *Round) func() []string {
	return func() []string { return []string{"-p", []string{"1", "2", "7"}[r.rng.IntN(3)]} }
}

// filterCase is a generator at a fixed rate: what it makes is known from gorge generate.
func filterCase(r *Round) (*Case, error) {
	const rate = 70_000
	events := r.size(15_000)
	seed := r.rng.Uint64N(1 << 30)
	text := fmt.Sprintf(`name: filter
sources:
  in:
    generate: {rate: %d, events: %d, devices: 300, seed: %d, start: "2025-10-09T08:53:20Z"}
steps:
  warm: {from: in, where: "temperature > 20"}
sinks:
  out: {from: warm, file: %q, format: json}
`, rate, events, seed, r.path("out")+"/")
	return &Case{
		Pipeline: text, Args: fixed(r), Watch: []string{r.path("out")},
		Check: func() error {
			file := r.path("all.ndjson")
			if _, err := r.Engine.output("generate", "--rate", fmt.Sprint(rate), "--events", fmt.Sprint(events), "--devices", "300",
				"--seed", fmt.Sprint(seed), "--start", "2025-10-09T08:53:20Z", "--out", file, "--quiet"); err != nil {
				return err
			}
			return sameReadings(file, parts(r.path("out")))
		},
	}, nil
}

// reading is an event of the generator; its time is compared as it is written, in milliseconds.
type reading struct {
	Device      string  `json:"device_id"`
	Time        any     `json:"ts"`
	Temperature float64 `json:"temperature"`
	Humidity    float64 `json:"humidity"`
	AirQuality  int64   `json:"air_quality"`
}

func sameReadings(input string, output []string) error {
	all, err := readJSON[reading](input)
	if err != nil {
		return err
	}
	want := map[reading]int{}
	for _, x := range all {
		if x.Temperature > 20 {
			want[x.plain()]++
		}
	}
	got, err := readJSON[reading](output...)
	if err != nil {
		return err
	}
	return sameCounts("filtered rows", want, tally(got, reading.plain))
}

// plain writes the time as a number of milliseconds.
func (x reading) plain() reading {
	if text, ok := x.Time.(string); ok {
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
			x.Time = float64(t.UnixMilli())
		}
	}
	return x
}

func windowsCase(r *Round) (*Case, error) { return windowCase(r, "", fixed(r)) }

func rescaleCase(r *Round) (*Case, error) { return windowCase(r, "", rescaled(r)) }

func diskCase(r *Round) (*Case, error) {
	return windowCase(r, "state: {backend: disk}\n", rescaled(r))
}

// windowCase reads several files, and writes rows as they are and windows over
// them, both into a folder and one file. more is added to the pipeline file.
func windowCase(r *Round, more string, args func() []string) (*Case, error) {
	rows := makeRows(r.rng, r.size(8_000), 2000)
	if err := writeRows(r.rng, r.path("in"), 4, rows, nil); err != nil {
		return nil, err
	}
	text := fmt.Sprintf(`name: windows
%ssources:
  in:
    file: %q
    %s
steps:
  rows: {from: in, where: "%s"}
  windows:
    from: rows
    %s
sinks:
  row_parts: {from: rows, file: %q, format: json}
  row_file: {from: rows, file: %q, format: json}
  window_parts: {from: windows, file: %q, format: json}
  window_file: {from: windows, file: %q, format: json}
`, more, r.path("in", "in-*.ndjson"), rowSchema, slowly, aggregates,
		r.path("rows")+"/", r.path("rows.ndjson"), r.path("windows")+"/", r.path("windows.ndjson"))
	return &Case{
		Pipeline: text, Args: args, Watch: []string{r.path("rows"), r.path("windows")},
		Check: func() error {
			return firstOf(
				func() error { return sameRows("rows in the folder", rows, parts(r.path("rows")), true) },
				func() error { return sameRows("rows in the file", rows, []string{r.path("rows.ndjson")}, true) },
				func() error { return sameWindows("windows in the folder", rows, parts(r.path("windows"))...) },
				func() error { return sameWindows("windows in the file", rows, r.path("windows.ndjson")) },
				func() error { return nothingPending(r.path("rows", ".pending"), r.path("windows", ".pending")) },
			)
		},
	}, nil
}

// firstOf returns the first error of several checks.
func firstOf(checks ...func() error) error {
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// nothingPending holds that no undecided output is left behind.
func nothingPending(folders ...string) error {
	for _, f := range folders {
		entries, err := os.ReadDir(f)
		if err != nil {
			return err
		}
		for _, e := range entries {
			return fmt.Errorf("%s is left", filepath.Join(f, e.Name()))
		}
	}
	return nil
}
