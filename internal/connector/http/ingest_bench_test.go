package httpio

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/connector"
)

const (
	perRequest   = 100 // events
	benchClients = 64
)

// benchEvent is an event of about 120 bytes; its number has ten digits at digitsAt.
func benchEvent(n int) string {
	return fmt.Sprintf(`{"device_id":"dev-%010d","ts":1760000000000,"temperature":21.25,"humidity":45.1,"air_quality":12,"battery":97}`, n) + "\n"
}

const digitsAt = len(`{"device_id":"dev-`)

// benchRequest is a request over a raw connection, and where its events begin.
func benchRequest() (request []byte, events int) {
	var body bytes.Buffer
	for range perRequest {
		body.WriteString(benchEvent(0))
	}
	head := fmt.Sprintf("POST /ingest/readings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n", body.Len())
	return append([]byte(head), body.Bytes()...), len(head)
}

// number writes the numbers of the events of request n.
func number(request []byte, n int) {
	size := len(request) / perRequest
	for i := range perRequest {
		v := n*perRequest + i
		for d := 9; d >= 0; d-- {
			request[i*size+digitsAt+d] = byte('0' + v%10)
			v /= 10
		}
	}
}

// sender posts requests until all have been sent; it returns how long each took.
func sender(b *testing.B, addr string, next *atomic.Int64, total int) []time.Duration {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Error(err)
		return nil
	}
	defer func() { _ = c.Close() }()
	request, at := benchRequest()
	in := bufio.NewReader(c)
	var took []time.Duration
	for n := int(next.Add(1)) - 1; n < total; n = int(next.Add(1)) - 1 {
		number(request[at:], n)
		begin := time.Now()
		for status := ""; status != "HTTP/1.1 202 Accepted\r\n"; {
			if _, err = c.Write(request); err == nil {
				status, err = answer(in)
			}
			if err != nil || status[9] != '2' && status[9:12] != "429" {
				b.Errorf("request %d: %q %v", n, status, err)
				return took
			}
		}
		took = append(took, time.Since(begin))
	}
	return took
}

// answer reads a whole answer and returns its first line.
func answer(in *bufio.Reader) (status string, err error) {
	if status, err = in.ReadString('\n'); err != nil {
		return "", err
	}
	length := 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(v))); err != nil {
				return "", err
			}
		}
		if len(line) == 2 {
			_, err = in.Discard(length)
			return status, err
		}
	}
}

// arrivals checks that every event arrives once.
type arrivals struct {
	seen  []bool
	count int
	twice int
}

func (a *arrivals) add(digits []byte) {
	n := 0
	for _, d := range digits {
		n = n*10 + int(d-'0')
	}
	if a.seen[n] {
		a.twice++
		return
	}
	a.seen[n] = true
	a.count++
}

// take marks the events of a block.
func (a *arrivals) take(blk *connector.Block) {
	if blk.Rows != nil {
		for i := range blk.Rows.Len() {
			a.add(blk.Rows.Col(0).Bytes(i)[len("dev-"):])
		}
		blk.Rows.Release()
		return
	}
	for rest := blk.Data; len(rest) > 0; {
		a.add(rest[digitsAt : digitsAt+10])
		rest = rest[bytes.IndexByte(rest, '\n')+1:]
	}
}

// readBack reads until all events have arrived, and lets go of what it has read as checkpoints do.
func readBack(b *testing.B, src connector.Source, r connector.SplitReader, a *arrivals) {
	var blk connector.Block
	releaser, _ := src.(connector.Releaser)
	released := 0
	for a.count < len(a.seen) && !b.Failed() {
		err := r.Poll(b.Context(), &blk)
		switch {
		case errors.Is(err, connector.ErrNoData):
			err = src.Wait(b.Context())
		case err == nil:
			a.take(&blk)
		}
		if err == nil && releaser != nil && a.count-released > 1_000_000 {
			released = a.count
			err = releaser.Release(b.Context(), "readings", r.Position())
		}
		if err != nil {
			b.Error(err)
			return
		}
	}
}

// syncTimes measures this disk: 4 KiB appended and synced.
func syncTimes(b *testing.B, dir string) []time.Duration {
	f, err := vfs.Default.Create(filepath.Join(dir, "probe"), vfs.WriteCategoryUnspecified)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = errors.Join(f.Close(), os.Remove(filepath.Join(dir, "probe"))) }()
	took := make([]time.Duration, 500)
	page := make([]byte, 4096)
	for i := range took {
		if _, err := f.Write(page); err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		if err := f.SyncData(); err != nil {
			b.Fatal(err)
		}
		took[i] = time.Since(begin)
	}
	return took
}

// cpuTime is what the process has used of the processors, senders included.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func reportTimes(b *testing.B, took []time.Duration, name string) {
	slices.Sort(took)
	if len(took) > 0 {
		b.ReportMetric(float64(took[len(took)/2])/1e3, "p50-"+name+"-us")
		b.ReportMetric(float64(took[len(took)*99/100])/1e3, "p99-"+name+"-us")
	}
}

// BenchmarkIngest posts batches of 100 events over 64 connections of the same
// process, kept in memory or durable before the answer, and reads every event back.
func BenchmarkIngest(b *testing.B) {
	for _, durable := range []bool{false, true} {
		b.Run(map[bool]string{false: "memory", true: "journal"}[durable], func(b *testing.B) {
			mux := http.NewServeMux()
			env := sourceEnv(mux, "readings")
			env.Epochs, env.DataDir, env.FS, env.BlockBytes, env.BatchRows = durable, b.TempDir(), vfs.Default, 512<<10, 1024
			src, err := Registration.NewSource(values(Registration.Source, nil), env)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = src.Close() }()
			r, err := src.Open(b.Context(), connector.Split{ID: "readings"}, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = r.Close() }()
			server := httptest.NewServer(mux)
			defer server.Close()
			probe := syncTimes(b, env.DataDir)
			a := &arrivals{seen: make([]bool, b.N*perRequest)}
			var next atomic.Int64
			var group, reader sync.WaitGroup
			took := make([][]time.Duration, benchClients)
			cpu := cpuTime(b)
			b.ResetTimer()
			for i := range took {
				group.Go(func() { took[i] = sender(b, server.Listener.Addr().String(), &next, b.N) })
			}
			reader.Go(func() { readBack(b, src, r, a) })
			group.Wait()
			accepted := b.Elapsed()
			reader.Wait()
			b.StopTimer()
			b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(b.N), "cpu-us/op")
			if a.count != b.N*perRequest || a.twice > 0 {
				b.Errorf("%d of %d events arrived, %d twice", a.count, b.N*perRequest, a.twice)
			}
			b.ReportMetric(float64(b.N*perRequest)/accepted.Seconds()/1e6, "Mevents/s")
			reportTimes(b, slices.Concat(took...), "ack")
			reportTimes(b, probe, "fsync")
		})
	}
}
