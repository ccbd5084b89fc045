// Command naive is the baseline that everybody writes first: encoding/json into
// a struct, one event at a time over channels, a Go map per worker. It is correct
// and idiomatic, and it is what the engine is compared with.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"os"
	"runtime"
	"sync"
)

const window = 10_000 // milliseconds

type event struct {
	Device      string   `json:"device_id"`
	Time        int64    `json:"ts"`
	Temperature *float64 `json:"temperature"`
}

type key struct {
	device string
	start  int64
}

type sum struct {
	count, valid int64
	total        float64
}

func main() {
	if err := run(os.Getenv("BENCH_IN"), os.Getenv("BENCH_OUT")); err != nil {
		fmt.Fprintln(os.Stderr, "naive:", err)
		os.Exit(1)
	}
}

// run reads lines, parses them on every core, and sends each event to the owner of its key.
func run(input, output string) error {
	in, err := os.Open(input)
	if err != nil {
		return err
	}
	defer in.Close()
	workers := runtime.GOMAXPROCS(0)
	lines := make(chan []byte, 1024)
	owners := make([]chan event, workers)
	results := make([]map[key]*sum, workers)
	failed := make(chan error, workers)
	var parsers, aggregators sync.WaitGroup
	for i := range owners {
		owners[i] = make(chan event, 1024)
		results[i] = map[key]*sum{}
		aggregators.Go(func() { aggregate(owners[i], results[i]) })
	}
	seed := maphash.MakeSeed()
	for range workers {
		parsers.Go(func() {
			if err := parse(lines, owners, seed); err != nil {
				failed <- err
			}
		})
	}
	scanner := bufio.NewScanner(in)
	for scanner.Scan() {
		lines <- append([]byte(nil), scanner.Bytes()...)
	}
	close(lines)
	parsers.Wait()
	for _, o := range owners {
		close(o)
	}
	aggregators.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	if err := scanner.Err(); err != nil {
		return err
	}
	return write(output, results)
}

// parse keeps taking lines after an error, so that nobody waits for it.
func parse(lines <-chan []byte, owners []chan event, seed maphash.Seed) error {
	var failed error
	for line := range lines {
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			failed = err
			continue
		}
		owners[maphash.String(seed, e.Device)%uint64(len(owners))] <- e
	}
	return failed
}

func aggregate(events <-chan event, into map[key]*sum) {
	for e := range events {
		k := key{e.Device, e.Time - e.Time%window}
		s := into[k]
		if s == nil {
			s = &sum{}
			into[k] = s
		}
		s.count++
		if e.Temperature != nil {
			s.valid++
			s.total += *e.Temperature
		}
	}
}

func write(output string, results []map[key]*sum) error {
	f, err := os.Create(output)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "device_id,window_start,avg,count")
	for _, r := range results {
		for k, s := range r {
			avg := ""
			if s.valid > 0 {
				avg = fmt.Sprint(s.total / float64(s.valid))
			}
			fmt.Fprintf(w, "%s,%d,%s,%d\n", k.device, k.start, avg, s.count)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}
