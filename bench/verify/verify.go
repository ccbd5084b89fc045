// Package verify compares the result of a benchmark run with the oracle of its
// dataset: every device of every window must be there once, with the exact count
// and, from the average, the exact sum. A fast wrong run is a failure.
//
// Results are CSV with a header that names the columns device_id, window_start,
// avg and count, in any order and among others. It knows no contender.
package verify

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/gorge-stream/gorge/bench/dataset"
)

// Result counts what a comparison found.
type Result struct {
	Rows       int64 // of the output
	Events     int64 // sum of the counts of the output
	Wrong      int64 // rows with another count or sum than the oracle
	Missing    int64 // cells of the oracle without a row
	Duplicates int64 // rows for a device and window that had one already
	First      string
}

// Err returns nil when the output is exactly the oracle's.
func (r Result) Err() error {
	if r.Wrong == 0 && r.Missing == 0 && r.Duplicates == 0 {
		return nil
	}
	return fmt.Errorf("the output differs from the oracle: %d rows wrong, %d missing, %d double (%s)", r.Wrong, r.Missing, r.Duplicates, r.First)
}

// notef keeps the first difference for the message.
func (r *Result) notef(format string, args ...any) {
	if r.First == "" {
		r.First = "first: " + fmt.Sprintf(format, args...)
	}
}

// File compares the CSV file with the oracle.
func File(name string, o *dataset.Oracle) (Result, error) {
	f, err := os.Open(name)
	if err != nil {
		return Result{}, err
	}
	defer f.Close()
	return Reader(f, o)
}

// Reader compares CSV with the oracle.
func Reader(in io.Reader, o *dataset.Oracle) (Result, error) {
	var r Result
	c := comparison{oracle: o, seen: make([][]bool, len(o.Windows)), result: &r}
	for w := range o.Windows {
		c.seen[w] = make([]bool, o.Devices)
	}
	lines := bufio.NewReaderSize(in, 1<<20)
	head, err := lines.ReadBytes('\n')
	if err != nil {
		return r, fmt.Errorf("the output has no header: %w", err)
	}
	if err := c.header(head); err != nil {
		return r, err
	}
	for {
		line, err := lines.ReadSlice('\n')
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			c.row(line)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return r, err
		}
	}
	c.missing()
	return r, nil
}

// comparison is one pass over an output.
type comparison struct {
	oracle *dataset.Oracle
	seen   [][]bool
	result *Result
	// Places of the columns in a row.
	device, window, avg, count, columns int
}

func (c *comparison) header(line []byte) error {
	c.device, c.window, c.avg, c.count = -1, -1, -1, -1
	names := bytes.Split(bytes.TrimRight(line, "\r\n"), []byte(","))
	for i, n := range names {
		switch string(bytes.Trim(n, `"`)) {
		case "device_id":
			c.device = i
		case "window_start":
			c.window = i
		case "avg":
			c.avg = i
		case "count":
			c.count = i
		}
	}
	c.columns = len(names)
	if c.device < 0 || c.window < 0 || c.avg < 0 || c.count < 0 {
		return fmt.Errorf("the header %q lacks one of device_id, window_start, avg, count", line)
	}
	return nil
}

// row compares one line; no cell of these results holds a comma or a quote.
func (c *comparison) row(line []byte) {
	r := c.result
	r.Rows++
	cells := make([][]byte, 0, 8)
	for rest, more := line, true; more; {
		var cell []byte
		cell, rest, more = bytes.Cut(rest, []byte(","))
		cells = append(cells, bytes.Trim(cell, `"`))
	}
	if len(cells) != c.columns {
		r.Wrong++
		r.notef("%q has %d cells", line, len(cells))
		return
	}
	device, window, count, err := c.key(cells)
	if err != nil {
		r.Wrong++
		r.notef("%q: %v", line, err)
		return
	}
	r.Events += count
	if c.seen[window][device] {
		r.Duplicates++
		r.notef("%q is the second row of its device and window", line)
		return
	}
	c.seen[window][device] = true
	if want := c.oracle.Windows[window][device]; !same(want, count, cells[c.avg]) {
		r.Wrong++
		r.notef("%q, want count %d and sum %d/100", line, want.Count, want.Sum)
	}
}

// key parses the device number (the last seven digits of its name), the index of
// the window and the count.
func (c *comparison) key(cells [][]byte) (device, window int, count int64, err error) {
	name := cells[c.device]
	if len(name) < 7 {
		return 0, 0, 0, fmt.Errorf("device %q has no number", name)
	}
	if device, err = strconv.Atoi(string(name[len(name)-7:])); err != nil || device < 0 || device >= c.oracle.Devices {
		return 0, 0, 0, fmt.Errorf("device %q is unknown", name)
	}
	start, err := millis(string(cells[c.window]))
	if err != nil {
		return 0, 0, 0, err
	}
	at := start - c.oracle.Start
	if at < 0 || at%dataset.WindowMillis != 0 || at/dataset.WindowMillis >= int64(len(c.oracle.Windows)) {
		return 0, 0, 0, fmt.Errorf("window %d is unknown", start)
	}
	count, err = strconv.ParseInt(string(cells[c.count]), 10, 64)
	return device, int(at / dataset.WindowMillis), count, err
}

// millis parses a time, written as milliseconds or as RFC 3339.
func millis(s string) (int64, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, fmt.Errorf("time %q: %w", s, err)
	}
	return t.UnixMilli(), nil
}

// same reports whether a row has the count of the cell and an average that
// stands for its exact sum.
func same(want dataset.Cell, count int64, avg []byte) bool {
	if count != int64(want.Count) {
		return false
	}
	if want.Valid == 0 {
		return len(avg) == 0
	}
	x, err := strconv.ParseFloat(string(avg), 64)
	sum := x * float64(want.Valid) * 100
	return err == nil && math.Abs(sum-float64(want.Sum)) < 1e-3
}

func (c *comparison) missing() {
	for w, cells := range c.oracle.Windows {
		for d := range cells {
			if cells[d].Count > 0 && !c.seen[w][d] {
				c.result.Missing++
				c.result.notef("device %d of window %d has no row", d, w)
			}
		}
	}
}
