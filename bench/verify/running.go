package verify

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Running is the oracle of a running count n and sum total per device, of which
// some rows go out. Results are CSV files with the columns device_id, n and total.
type Running struct {
	n, total []int64
	rows     map[runningRow]int64 // the totals of the rows that are due
}

// runningRow names a row: no device has a number twice.
type runningRow struct {
	device uint32
	n      int64
}

// NewRunning is the oracle before the first event.
func NewRunning(devices int) *Running {
	return &Running{n: make([]int64, devices), total: make([]int64, devices), rows: map[runningRow]int64{}}
}

// Add takes in the next event; out tells whether its row goes out.
func (r *Running) Add(device uint32, value int64, out bool) {
	r.n[device]++
	r.total[device] += value
	if out {
		r.rows[runningRow{device, r.n[device]}] = r.total[device]
	}
}

// Folder compares all files of a folder with the oracle: every row must be there
// once, with its total. It returns how many there are.
func (r *Running) Folder(dir string) (int64, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.csv"))
	if err != nil {
		return 0, err
	}
	seen := make(map[runningRow]bool, len(r.rows))
	for _, name := range files {
		if err := r.file(name, seen); err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(seen) != len(r.rows) {
		return 0, fmt.Errorf("the output has %d of %d rows", len(seen), len(r.rows))
	}
	return int64(len(seen)), nil
}

func (r *Running) file(name string, seen map[runningRow]bool) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for first := true; lines.Scan(); first = false {
		line := lines.Bytes()
		if first {
			if string(line) != "device_id,n,total" {
				return fmt.Errorf("the header is %q", line)
			}
			continue
		}
		cells := bytes.Split(line, []byte(","))
		if len(cells) != 3 || len(cells[0]) < 7 {
			return fmt.Errorf("%q is no row", line)
		}
		var v [3]int64
		for i, digits := range [3][]byte{cells[0][len(cells[0])-7:], cells[1], cells[2]} {
			if v[i], err = strconv.ParseInt(string(digits), 10, 64); err != nil {
				return fmt.Errorf("%q: %w", line, err)
			}
		}
		key := runningRow{uint32(v[0]), v[1]}
		want, ok := r.rows[key]
		switch {
		case !ok || want != v[2]:
			return fmt.Errorf("%q is wrong, the total should be %d", line, want)
		case seen[key]:
			return fmt.Errorf("%q is there twice", line)
		}
		seen[key] = true
	}
	return lines.Err()
}
