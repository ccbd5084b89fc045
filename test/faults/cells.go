package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// cell is what the sinks of the cell scenarios get: a name that no two rows share.
type cell struct {
	ID string `json:"id"`
	V  int64  `json:"v"`
}

// picked tells the rows that go to the sinks that are slow.
func (c cell) picked() bool { return c.V%50 == 0 }

// cellSinks has every sink of the table of guarantees. A receiver that refuses rows
// for good makes dead letters of them.
const cellSinks = `  picked: {from: cells, where: "v %% 50 == 0"}
sinks:
  nothing: {from: cells, "null": {}}
  one: {from: cells, file: %q, format: json}
  folder: {from: cells, file: %q, format: json}
  loose: {from: cells, file: %q, format: json, delivery: at_least_once}
  printed: {from: picked, stdout: {}, format: json}
  by_id: {from: cells, table: {key: id}}
  single: {from: picked, http: %q}
  batches: {from: picked, http: {url: %q, batch: 100, body: lines}}
  refused: {from: picked, http: {url: %q, on_failure: dead_letter}}
`

// cellCase completes a case whose step "cells" makes such rows: want are those.
func (r *Round) cellCase(source string, want func() ([]cell, error)) (*Case, error) {
	c, _, err := r.cellCaseOf(source, want)
	return c, err
}

// cellCaseOf returns with the case the check that can be made while the engine runs.
func (r *Round) cellCaseOf(source string, want func() ([]cell, error)) (c *Case, running func() error, err error) {
	var receivers []*receiver
	for range 3 {
		v, err := newReceiver(r.Seed)
		if err != nil {
			return nil, nil, err
		}
		receivers = append(receivers, v)
	}
	receivers[2].refuses = true
	text := source + fmt.Sprintf(cellSinks, r.path("one.ndjson"), r.path("folder")+"/", r.path("loose")+"/",
		receivers[0].url, receivers[1].url, receivers[2].url)
	running = func() error {
		cells, err := want()
		if err != nil {
			return err
		}
		return r.checkCells(cells, receivers)
	}
	c = &Case{
		Pipeline: text, Args: fixed(r), Watch: []string{r.path("folder"), r.path("data", "dead-letters")},
		Check: func() error {
			cells, err := want()
			if err != nil {
				return err
			}
			return firstOf(running, func() error { return r.cellTable(cells) })
		},
		Close: func() {
			for _, v := range receivers {
				_ = v.server.Close()
			}
		},
	}
	return c, running, nil
}

// checkCells compares all outputs but the table, which belongs to the engine while it runs.
func (r *Round) checkCells(cells []cell, receivers []*receiver) error {
	same := func(c cell) cell { return c }
	all := tally(cells, same)
	some := map[cell]int{}
	for c, n := range all {
		if c.picked() {
			some[c] = n
		}
	}
	exactly := func(what string, want map[cell]int, files ...string) error {
		got, err := readJSON[cell](files...)
		if err != nil {
			return err
		}
		return sameCounts(what, want, tally(got, same))
	}
	return firstOf(
		func() error { return exactly("the folder", all, parts(r.path("folder"))...) },
		func() error { return r.atLeast("the loose folder", all, r.path("loose", "part-*")) },
		func() error { return r.atLeast("what was printed", some, r.path("life-*.out")) },
		func() error { return receivers[0].cells("single requests", some) },
		func() error { return receivers[1].cells("batches", some) },
		func() error { return r.cellLetters(some) },
		func() error {
			if _, err := os.Stat(r.path("one.ndjson")); err != nil && r.Scenario.Name == "from-http" {
				return exactly("the one file", all, r.path("one.ndjson.partial")) // it gets its name at the end, and there is none
			}
			return exactly("the one file", all, r.path("one.ndjson"))
		},
	)
}

// atLeast holds that every row is in some file, perhaps more than once, and nothing
// else. A kill may have cut the last line of a file.
func (r *Round) atLeast(what string, want map[cell]int, pattern string) error {
	files, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	got := map[cell]int{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		whole := b[:bytes.LastIndexByte(b, '\n')+1]
		for line := range bytes.Lines(whole) {
			var c cell
			if err := json.Unmarshal(line, &c); err != nil {
				return fmt.Errorf("%s: %s is no row: %w", f, line, err)
			}
			got[c]++
		}
	}
	return coversCounts(what, want, got)
}

// coversCounts holds that everything is there as often as it should be, or more often.
func coversCounts[K comparable](what string, want, got map[K]int) error {
	capped := map[K]int{}
	for k, n := range got {
		capped[k] = n
		if w := want[k]; w > 0 {
			capped[k] = min(n, w)
		}
	}
	return sameCounts(what, want, capped)
}

// cellTable compares the rows of the table: equal rows share a key.
func (r *Round) cellTable(cells []cell) error {
	b, err := r.Engine.output("query", "by_id", "--data", r.path("data"), "--format", "json", "--limit", "0")
	if err != nil {
		return err
	}
	file := r.path("table.ndjson")
	if err := writeFile(file, string(b)); err != nil {
		return err
	}
	got, err := readJSON[cell](file)
	if err != nil {
		return err
	}
	want := map[string]int{}
	for _, c := range cells {
		want[c.ID] = 1
	}
	return sameCounts("the table", want, tally(got, func(c cell) string { return c.ID }))
}

// cells compares what a receiver has got, when it drops repetitions of a key.
func (v *receiver) cells(what string, want map[cell]int) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	got := map[cell]int{}
	for key, bodies := range v.bodies {
		for _, b := range bodies {
			if key == "" || b != bodies[0] {
				return fmt.Errorf("%s: under the key %q came %s and %s", what, key, bodies[0], b)
			}
		}
		for line := range strings.Lines(bodies[0]) {
			var c cell
			if err := json.Unmarshal([]byte(line), &c); err != nil {
				return fmt.Errorf("%s: %s is no row: %w", what, line, err)
			}
			got[c]++
		}
	}
	return sameCounts(what, want, got)
}

// cellLetters holds that every row that was refused is a dead letter once: those that
// were refused behind the last checkpoint are in a file beside the outbox.
func (r *Round) cellLetters(want map[cell]int) error {
	letters, err := readJSON[letter](parts(r.path("data", "dead-letters"))...)
	if err != nil {
		return err
	}
	got := map[cell]int{}
	for _, l := range letters {
		var c cell
		if err := json.Unmarshal(l.Payload, &c); err != nil {
			return fmt.Errorf("dead letters: %q is no row: %w", l.Payload, err)
		}
		got[c]++
	}
	late, err := filepath.Glob(r.path("data", "outbox", "refused", "refused-*.ndjson"))
	if err != nil {
		return err
	}
	more, err := readJSON[letter](late...)
	if err != nil {
		return err
	}
	for _, l := range more {
		var c cell
		if err := json.Unmarshal(l.Payload, &c); err != nil {
			return fmt.Errorf("refused rows: %q is no row: %w", l.Payload, err)
		}
		got[c]++
	}
	return sameCounts("dead letters of refused rows", want, got)
}

// cellsOf names rows by their ids.
func cellsOf(rows []row) func() ([]cell, error) {
	return func() ([]cell, error) {
		out := make([]cell, len(rows))
		for i, x := range rows {
			out[i] = cell{ID: fmt.Sprint("row-", x.ID), V: x.V}
		}
		return out, nil
	}
}

func fromFileCase(r *Round) (*Case, error) {
	rows := makeRows(r.rng, r.size(4_000), 300)
	if err := writeRows(r.rng, r.path("in"), 3, rows, nil); err != nil {
		return nil, err
	}
	return r.cellCase(fmt.Sprintf(`name: cells
sources:
  in:
    file: %q
    %s
steps:
  slow: {from: in, where: "%s"}
  cells: {from: slow, select: {id: "'row-' + string(id)", v: v}}
`, r.path("in", "in-*.ndjson"), rowSchema, slowly), cellsOf(rows))
}

func fromGenerateCase(r *Round) (*Case, error) {
	args := []string{"generate", "--rate", "20000", "--events", fmt.Sprint(r.size(5_000)), "--devices", "300", "--seed", fmt.Sprint(r.rng.Uint64N(1 << 30)), "--start", "2025-10-09T08:53:20Z"}
	source := fmt.Sprintf(`name: cells
sources:
  in:
    generate: {rate: %s, events: %s, devices: %s, seed: %s, start: "%s"}
steps:
  cells: {from: in, select: {id: "device_id + '/' + string(epoch_ms(ts)) + '/' + string(air_quality) + '/' + string(int(round(temperature * 100)))", v: "int(air_quality)"}}
`, args[2], args[4], args[6], args[8], args[10])
	return r.cellCase(source, func() ([]cell, error) {
		file := r.path("all.ndjson")
		if _, err := r.Engine.output(append(args, "--quiet", "--out", file)...); err != nil {
			return nil, err
		}
		all, err := readJSON[reading](file)
		if err != nil {
			return nil, err
		}
		out := make([]cell, len(all))
		for i, x := range all {
			at := x.plain().Time.(float64)
			out[i] = cell{ID: fmt.Sprintf("%s/%d/%d/%d", x.Device, int64(at), x.AirQuality, int64(math.Round(x.Temperature*100))), V: x.AirQuality}
		}
		return out, nil
	})
}

func fromHTTPCase(r *Round) (*Case, error) {
	waves := r.size(3)
	rows := makeRows(r.rng, waves*clients*requests*batch, 300)
	c, running, err := r.cellCaseOf(fmt.Sprintf(`name: cells
sources:
  in:
    http: {require_key: true}
    %s
steps:
  cells: {from: in, select: {id: "'row-' + string(id)", v: v}}
`, rowSchema), cellsOf(rows))
	if err != nil {
		return nil, err
	}
	load := &load{url: "http://" + r.address + "/ingest/in", seed: r.Seed, rows: rows}
	c.Feed = func(ctx context.Context) error {
		for w := range waves {
			if err := load.wave(ctx, w); err != nil {
				return err
			}
		}
		return nil
	}
	c.Settled = func() (bool, error) {
		return countLines(r.path("folder")) >= len(rows) && running() == nil, nil
	}
	closeReceivers := c.Close
	c.Close = func() {
		closeReceivers()
		load.client.CloseIdleConnections()
	}
	return c, nil
}
