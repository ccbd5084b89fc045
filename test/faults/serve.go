package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// The load of the ingest scenario: waves, in each of which every client sends some
// requests. A wave has its own span of event time, so that no row is ever late.
const (
	clients  = 3
	requests = 12 // of a client in a wave
	batch    = 25
)

// ingestCase sends rows by HTTP, each request under a key, again and again until it
// is accepted, and now and then once more although it was.
func ingestCase(r *Round) (*Case, error) { return ingest(r, r.size(4), 0) }

// bulkCase is the same with fewer requests, each of which has a megabyte that no column takes.
func bulkCase(r *Round) (*Case, error) { return ingest(r, 3, 1<<20/batch) }

func ingest(r *Round, waves, padding int) (*Case, error) {
	rows := makeRows(r.rng, waves*clients*requests*batch, 50)
	for i := range rows {
		rows[i].TS = firstTime + int64(i/(clients*requests*batch))*windowSize + r.rng.Int64N(windowSize)
	}
	// The last row closes the windows of all others.
	flush := row{ID: int64(len(rows)), K: "flush", TS: firstTime + 1_000*windowSize, V: 1}
	windows := len(windowsOf(rows))
	text := fmt.Sprintf(`name: ingest
sources:
  in:
    http: {}
    %s
steps:
  windows:
    from: in
    %s
sinks:
  row_parts: {from: in, file: %q, format: json}
  window_parts: {from: windows, file: %q, format: json}
  by_key: {from: windows, table: {key: [k, window_start]}}
`, rowSchema, aggregates, r.path("rows")+"/", r.path("windows")+"/")
	load := &load{url: "http://" + r.address + "/ingest/in", seed: r.Seed, rows: rows, padding: padding}
	return &Case{
		Pipeline: text, Args: fixed(r), Watch: []string{r.path("rows"), r.path("windows")},
		Feed: func(ctx context.Context) error {
			for w := range waves {
				if err := load.wave(ctx, w); err != nil {
					return err
				}
			}
			return load.send(ctx, "flush", []row{flush})
		},
		Settled: func() (bool, error) {
			return countLines(r.path("rows")) >= len(rows)+1 && countLines(r.path("windows")) >= windows, nil
		},
		Check: func() error {
			all := append(rows[:len(rows):len(rows)], flush)
			return firstOf(
				func() error { return sameRows("rows in the folder", all, parts(r.path("rows")), false) },
				func() error { return sameWindows("windows in the folder", rows, parts(r.path("windows"))...) },
				func() error { return r.sameTable("by_key", rows) },
			)
		},
		Close: load.client.CloseIdleConnections,
	}, nil
}

// load sends rows by HTTP.
type load struct {
	url  string
	seed uint64
	rows []row
	// padding is the length of a text in each row that no column takes.
	padding int
	client  http.Client
}

// wave sends the rows of one wave from all clients.
func (l *load) wave(ctx context.Context, w int) error {
	var all sync.WaitGroup
	errs := make([]error, clients)
	for c := range clients {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(l.seed, uint64(w*clients+c)))
			for q := range requests {
				n := (w*clients+c)*requests + q
				errs[c] = errors.Join(errs[c], l.request(ctx, n))
				if rng.IntN(10) == 0 {
					errs[c] = errors.Join(errs[c], l.request(ctx, n)) // again, although it was accepted
				}
				if rng.IntN(10) == 0 {
					errs[c] = errors.Join(errs[c], l.request(ctx, rng.IntN(w*clients*requests+1))) // and one of an earlier wave
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// request sends request n until it is accepted.
func (l *load) request(ctx context.Context, n int) error {
	return l.send(ctx, fmt.Sprintf("request-%d", n), l.rows[n*batch:(n+1)*batch])
}

// send sends one request until it is accepted.
func (l *load) send(ctx context.Context, key string, rows []row) error {
	var body bytes.Buffer
	for _, x := range rows {
		line, err := json.Marshal(x)
		if err != nil {
			return err
		}
		body.Write(line[:len(line)-1])
		if l.padding > 0 {
			fmt.Fprintf(&body, `, "pad": "%s"`, strings.Repeat("x", l.padding))
		}
		body.WriteString("}\n")
	}
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	for {
		status, err := l.post(ctx, key, body.Bytes())
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil || status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
			<-pause.C // the engine is dead, or just about to be: the next one answers
		case status == http.StatusAccepted:
			return nil
		default:
			return fmt.Errorf("the answer to %s is %d", key, status)
		}
	}
}

// post makes one attempt.
func (l *load) post(ctx context.Context, key string, body []byte) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Idempotency-Key", key)
	res, err := l.client.Do(req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, errors.Join(err, res.Body.Close())
}

// receiver is the other end of a http sink. It answers wrong now and then, and
// notes every body that it has accepted by its key.
type receiver struct {
	server *http.Server
	url    string
	// patient receivers answer right every time.
	patient bool
	// refuses: rows are refused for good.
	refuses bool
	first   chan struct{} // closed with the first request
	once    sync.Once

	mu     sync.Mutex
	rng    *rand.Rand          // guarded by mu
	bodies map[string][]string // guarded by mu
	stall  chan struct{}       // guarded by mu; not nil: answers wait until it is closed
}

func newReceiver(seed uint64) (*receiver, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	v := &receiver{url: "http://" + listener.Addr().String() + "/", rng: rand.New(rand.NewPCG(seed, 5)), bodies: map[string][]string{}, first: make(chan struct{})}
	v.server = &http.Server{Handler: v, ReadHeaderTimeout: time.Minute}
	go v.server.Serve(listener) //nolint:errcheck // it ends with ErrServerClosed
	return v, nil
}

// ServeHTTP takes one request.
func (v *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	v.once.Do(func() { close(v.first) })
	body, err := io.ReadAll(req.Body)
	v.mu.Lock()
	lot, stall := v.rng.IntN(100), v.stall
	v.mu.Unlock()
	if v.patient {
		lot = 99
	}
	if stall != nil {
		select {
		case <-stall:
		case <-req.Context().Done():
			return
		}
	}
	switch {
	case v.refuses && lot >= 5:
		http.Error(w, "not this one", http.StatusUnprocessableEntity)
		return
	case err != nil || lot < 2:
		panic(http.ErrAbortHandler) // the connection ends without an answer
	case lot < 5:
		http.Error(w, "try again", http.StatusInternalServerError)
		return
	}
	v.mu.Lock()
	key := req.Header.Get("Idempotency-Key")
	v.bodies[key] = append(v.bodies[key], string(bytes.TrimSpace(body)))
	v.mu.Unlock()
	if lot < 8 {
		panic(http.ErrAbortHandler) // taken, and the sender does not learn it
	}
}

// alertsCase sends rows to a receiver.
func alertsCase(r *Round) (*Case, error) {
	rows := makeRows(r.rng, r.size(7_000), 200)
	if err := writeRows(r.rng, r.path("in"), 3, rows, nil); err != nil {
		return nil, err
	}
	v, err := newReceiver(r.Seed)
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf(`name: alerts
sources:
  in:
    file: %q
    %s
steps:
  rows: {from: in, where: "%s"}
  urgent: {from: rows, where: "id %% 50 == 0"}
sinks:
  alerts: {from: urgent, http: %q}
`, r.path("in", "in-*.ndjson"), rowSchema, slowly, v.url)
	return &Case{
		Pipeline: text, Args: fixed(r),
		Check: func() error {
			var want []row
			for _, x := range rows {
				if x.ID%50 == 0 {
					want = append(want, x)
				}
			}
			return v.check(want)
		},
		Close: func() { _ = v.server.Close() },
	}, nil
}

// check holds that each row has arrived, always under the same key, and that no
// other row has that key: who drops what he has seen sees each row once.
func (v *receiver) check(want []row) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	d := differences{what: "requests"}
	got := map[row]int{}
	for key, bodies := range v.bodies {
		for _, b := range bodies[1:] {
			if b != bodies[0] {
				d.addf("under the key %q came %s and %s", key, bodies[0], b)
			}
		}
		if key == "" {
			d.addf("a request had no key: %s", bodies[0])
		}
		var x outRow
		if err := json.Unmarshal([]byte(bodies[0]), &x); err != nil {
			d.addf("%s is no row: %v", bodies[0], err)
		}
		got[x.row()]++ // by key: what has two keys is there twice
	}
	if err := d.err(); err != nil {
		return err
	}
	return sameCounts("alerts by key", tally(want, func(x row) row { return x }), got)
}
