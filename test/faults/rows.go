package faults

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// row is one row of input.
type row struct {
	ID int64  `json:"id"`
	K  string `json:"k"`
	TS int64  `json:"ts"`
	V  int64  `json:"v"`
}

// Times of the input: the first row, and the length of a window, in milliseconds.
const (
	firstTime  = 1_767_225_600_000
	windowSize = 10_000
)

// rowSchema declares a row and its event time.
const rowSchema = `format: json
    schema: {id: int64, k: string, ts: timestamp_ms, v: int64}
    event_time: {column: ts, max_disorder: 20s}`

// slowly is a condition that is always true and costs many microseconds: so the engine
// is slow enough for faults to meet it at work, and not at the end.
const slowly = `not (k + 'abcabcabdabcabcabcabaabcabcabdabcabcabcabdabcabcabcabaabcabcabdabcabcabcabdabcabcabcabaabcabcabdabc' matches '(ab|a|b|abc)*d(a|c)*$')`

// makeRows makes n rows of keys keys, 2 ms of event time apart and out of order by a second.
func makeRows(rng *rand.Rand, n, keys int) []row {
	out := make([]row, n)
	for i := range out {
		out[i] = row{ID: int64(i), K: fmt.Sprintf("key-%04d", rng.IntN(keys)), TS: firstTime + int64(i)*2 + rng.Int64N(1000), V: rng.Int64N(1000)}
	}
	return out
}

// padding is a field that no schema has: the engine reads blocks of bytes, and an
// input of few blocks would be read before a fault comes.
var padding = `,"pad":"` + strings.Repeat("x", 400) + `"}` + "\n"

// writeRows writes rows into so many files of a folder: those of a key into one
// file, in their order. Between them go lines that are no rows, by chance.
func writeRows(rng *rand.Rand, folder string, files int, rows []row, bad func() string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	texts := make([]bytes.Buffer, files)
	for _, x := range rows {
		n := 0
		for _, c := range x.K {
			n = (n*31 + int(c)) % files
		}
		line, err := json.Marshal(x)
		if err != nil {
			return err
		}
		texts[n].Write(line[:len(line)-1])
		texts[n].WriteString(padding)
		if bad != nil && rng.IntN(50) == 0 {
			texts[n].WriteString(bad() + "\n")
		}
	}
	for i := range texts {
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("in-%d.ndjson", i)), texts[i].Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// readJSON reads the lines of files of NDJSON in their order.
func readJSON[T any](files ...string) ([]T, error) {
	var out []T
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		d := json.NewDecoder(bufio.NewReaderSize(f, 1<<20))
		for {
			var x T
			if err = d.Decode(&x); err != nil {
				break
			}
			out = append(out, x)
		}
		if closed := f.Close(); !errors.Is(err, io.EOF) || closed != nil {
			return nil, fmt.Errorf("%s, behind %d rows: %w", name, len(out), errors.Join(err, closed))
		}
	}
	return out, nil
}

// countLines counts the rows that can be seen in a folder of output.
func countLines(folder string) int {
	n := 0
	for _, path := range parts(folder) {
		b, err := os.ReadFile(path)
		if err != nil {
			return -1 // the watcher says so
		}
		n += bytes.Count(b, []byte{'\n'})
	}
	return n
}

// differences collects what is wrong with some output, and shows the first of it.
type differences struct {
	what  string
	count int
	shown []string
}

func (d *differences) addf(format string, args ...any) {
	d.count++
	if d.count <= 5 {
		d.shown = append(d.shown, fmt.Sprintf(format, args...))
	}
}

// err returns what is wrong, nil for nothing.
func (d *differences) err() error {
	if d.count == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d differences: %s", d.what, d.count, strings.Join(d.shown, "; "))
}

// sameCounts holds that everything is there exactly as often as it should be.
func sameCounts[K comparable](what string, want, got map[K]int) error {
	d := differences{what: what}
	for k, n := range want {
		if got[k] != n {
			d.addf("%v is there %d times instead of %d", k, got[k], n)
		}
	}
	for k, n := range got {
		if _, known := want[k]; !known {
			d.addf("%v is there %d times, and nothing made it", k, n)
		}
	}
	return d.err()
}

// tally counts by key.
func tally[T any, K comparable](list []T, key func(T) K) map[K]int {
	out := map[K]int{}
	for _, x := range list {
		out[key(x)]++
	}
	return out
}

// sameRows holds that every row of the input is in the output once, as it was, and
// that the rows of a key are in their order.
func sameRows(what string, want []row, files []string, ordered bool) error {
	got, err := readJSON[outRow](files...)
	if err != nil {
		return err
	}
	same := func(x row) row { return x }
	plain := make([]row, len(got))
	for i, x := range got {
		plain[i] = x.row()
	}
	if err := sameCounts(what, tally(want, same), tally(plain, same)); err != nil {
		return err
	}
	d := differences{what: what}
	last := map[string]int64{}
	for _, x := range plain {
		if before, known := last[x.K]; known && before > x.ID && ordered {
			d.addf("row %d of %s comes behind row %d", x.ID, x.K, before)
		}
		last[x.K] = x.ID
	}
	return d.err()
}
