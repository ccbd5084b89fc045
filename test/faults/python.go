package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// gradeModule is the function of the Python scenario. What it computes depends on
// the rows before of the same key, through the running sum.
const gradeModule = `import gorge


@gorge.udf(version=1)
def grade(total, v):
    return (total * 7 + v) % 1001
`

func pythonCase(r *Round) (*Case, error) {
	rows := makeRows(r.rng, r.size(12_000), 100)
	if err := writeRows(r.rng, r.path("in"), 3, rows, nil); err != nil {
		return nil, err
	}
	if err := os.WriteFile(r.path("grade.py"), []byte(gradeModule), 0o644); err != nil {
		return nil, err
	}
	text := fmt.Sprintf(`name: graded
sources:
  in:
    file: %q
    %s
functions:
  grade: {file: grade.py, version: 1, returns: int64, workers: 2}
steps:
  rows: {from: in, where: "%s"}
  sums: {from: rows, key_by: k, running: {total: sum(v)}}
  graded: {from: sums, call: {grade: "grade(coalesce(total, 0), v)"}}
  plain: {from: graded, select: {k: k, ts: ts, v: "coalesce(grade, -1)"}}
  windows:
    from: plain
    %s
sinks:
  by_key: {from: windows, table: {key: [k, window_start]}}
  window_parts: {from: windows, file: %q, format: json}
`, r.path("in", "in-*.ndjson"), rowSchema, slowly, aggregates, r.path("windows")+"/")
	want := graded(rows)
	return &Case{
		Pipeline: text, Args: fixed(r), Watch: []string{r.path("windows")},
		Check: func() error {
			return firstOf(
				func() error { return sameWindows("windows in the folder", want, parts(r.path("windows"))...) },
				func() error { return r.sameTable("by_key", want) },
			)
		},
	}, nil
}

// graded computes what the function makes of the rows.
func graded(rows []row) []row {
	sums := map[string]int64{}
	out := make([]row, len(rows))
	for i, x := range rows {
		sums[x.K] += x.V
		x.V = (sums[x.K]*7 + x.V) % 1001
		out[i] = x
	}
	return out
}

// sameTable compares the rows of a table of windows with those of the input.
func (r *Round) sameTable(table string, rows []row) error {
	b, err := r.Engine.output("query", table, "--data", r.path("data"), "--format", "json", "--limit", "0")
	if err != nil {
		return err
	}
	var got []window
	for d := json.NewDecoder(bytes.NewReader(b)); ; {
		var w window
		if err := d.Decode(&w); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("rows of the table: %w", err)
		}
		got = append(got, w.utc())
	}
	return sameCounts("rows of the table", windowsOf(rows), tally(got, window.utc))
}

// letter is a dead letter.
type letter struct {
	Step    string `json:"step"`
	Payload []byte `json:"payload"`
}

// lettersCase has lines between the rows that cannot be decoded.
func lettersCase(r *Round) (*Case, error) {
	rows := makeRows(r.rng, r.size(8_000), 200)
	bad := map[string]int{}
	err := writeRows(r.rng, r.path("in"), 3, rows, func() string {
		line := fmt.Sprintf(`{"id": %d, "k": broken %d`, len(bad), r.rng.Int())
		bad[line]++
		return line
	})
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf(`name: letters
sources:
  in:
    file: %q
    %s
steps:
  rows: {from: in, where: "%s"}
sinks:
  row_parts: {from: rows, file: %q, format: json}
`, r.path("in", "in-*.ndjson"), rowSchema, slowly, r.path("rows")+"/")
	dead := r.path("data", "dead-letters")
	return &Case{
		Pipeline: text, Args: fixed(r), Watch: []string{r.path("rows"), dead},
		Check: func() error {
			if err := sameRows("rows in the folder", rows, parts(r.path("rows")), true); err != nil {
				return err
			}
			got, err := readJSON[letter](parts(dead)...)
			if err != nil {
				return err
			}
			return sameCounts("dead letters", bad, tally(got, func(l letter) string { return string(bytes.TrimSpace(l.Payload)) }))
		},
	}, nil
}

// tableCase has epochs of so many rows that a table puts them aside in pieces.
func tableCase(r *Round) (*Case, error) {
	rows := makeRows(r.rng, 350_000, 350_000)
	if err := writeRows(r.rng, r.path("in"), 2, rows, nil); err != nil {
		return nil, err
	}
	text := fmt.Sprintf(`name: wide
sources:
  in:
    file: %q
    %s
steps:
  wide: {from: in, select: {id: id, k: k, ts: ts, v: v, text: "k + '%s'"}}
sinks:
  by_id: {from: wide, table: {key: id}}
`, r.path("in", "in-*.ndjson"), rowSchema, strings.Repeat("0123456789", 12))
	return &Case{
		Pipeline: text,
		Args:     func() []string { return []string{"-p", "1", "--checkpoint", "2s"} },
		Check: func() error {
			b, err := r.Engine.output("query", "by_id", "--data", r.path("data"), "--format", "json", "--limit", "0", "--columns", "id,k,ts,v")
			if err != nil {
				return err
			}
			file := r.path("table.ndjson")
			if err := os.WriteFile(file, b, 0o644); err != nil {
				return err
			}
			return sameRows("rows of the table", rows, []string{file}, false)
		},
	}, nil
}
