package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/workload"
)

// parcel is one request: made by the schedule, sent by a sender.
type parcel struct {
	body []byte
	n    int
	due  time.Time // of its last event; zero when nothing is scheduled
}

// poster sends events by HTTP. The schedule runs in the goroutine of the
// command and never waits for an answer while a sender is free; each sender has
// a goroutine of its own.
type poster struct {
	*eventStream
	url      string
	batch    int
	senders  int
	retryFor time.Duration
	client   *http.Client
	parcels  chan *parcel
	free     chan *parcel // as many as there are senders, and one to be filled

	mu       sync.Mutex
	accepted int64        // guarded by mu
	busy     int64        // guarded by mu: answers 429 and 503
	lag      workload.Lag // guarded by mu: how late parcels left
	latency  workload.Lag // guarded by mu: from then until they were accepted
}

func (f *generateFlags) send(ctx context.Context, s *eventStream, summary io.Writer) error {
	p := newPoster(f, s)
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: f.connections, DisableCompression: true}
	defer transport.CloseIdleConnections()
	p.client.Transport = transport
	return p.run(ctx, summary)
}

func newPoster(f *generateFlags, s *eventStream) *poster {
	p := &poster{
		eventStream: s, url: f.post, batch: f.batch, senders: f.connections, retryFor: f.retryFor,
		client: &http.Client{Timeout: 30 * time.Second}, parcels: make(chan *parcel), free: make(chan *parcel, f.connections+1),
	}
	for range cap(p.free) {
		p.free <- &parcel{}
	}
	return p
}

// run sends the events and reports how it went. The first failure ends the
// schedule and the other senders.
func (p *poster) run(ctx context.Context, summary io.Writer) error {
	running, fail := context.WithCancelCause(context.WithoutCancel(ctx))
	defer fail(nil)
	var senders sync.WaitGroup
	for range p.senders {
		senders.Go(func() {
			for x := range p.parcels {
				if err := p.deliver(ctx, running, x); err != nil {
					fail(err)
				}
				p.free <- x
			}
		})
	}
	begin := time.Now()
	sent, err := p.schedule(ctx, running, begin)
	close(p.parcels)
	senders.Wait()
	p.report(summary, sent, time.Since(begin))
	if err == nil {
		err = context.Cause(running)
	}
	return err
}

// schedule makes parcels when they are due until the events end, the user stops
// them (ctx) or a parcel fails (running). It returns how many events it let go.
func (p *poster) schedule(ctx, running context.Context, begin time.Time) (int64, error) {
	e := workload.NewEvents(p.batch)
	rate := p.gen.Config().Rate
	next := int64(0)
	for p.events == 0 || next < p.events {
		var x *parcel
		select {
		case x = <-p.free:
		case <-ctx.Done():
			return next, nil
		case <-running.Done():
			return next, nil
		}
		x.due = time.Time{}
		if p.paced {
			last := next + int64(p.batch) - 1
			if p.events > 0 {
				last = min(last, p.events-1)
			}
			x.due = begin.Add(workload.Offset(last, rate))
			if !sleepUntil(ctx, running, x.due) {
				return next, nil
			}
		}
		if err := p.fill(e, next); err != nil {
			return next, err
		}
		x.body = p.append(append(x.body[:0], p.header...), e, p.labels)
		x.n = e.N
		select {
		case p.parcels <- x:
			next += int64(x.n)
		case <-running.Done():
			return next, nil
		}
	}
	return next, nil
}

// sleepUntil reports whether the time came before one of the contexts ended.
func sleepUntil(ctx, running context.Context, due time.Time) bool {
	d := time.Until(due)
	if d <= 0 {
		return ctx.Err() == nil && running.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-running.Done():
	}
	return false
}

// deliver sends a parcel until it is accepted. When the user stops the command
// (ctx) the attempt under way is the last; when another parcel failed (running) it is cut off.
func (p *poster) deliver(ctx, running context.Context, x *parcel) error {
	begin := time.Now()
	if !x.due.IsZero() {
		p.count(func() { p.lag.Add(begin.Sub(x.due), int64(x.n)) })
	}
	for {
		n, after, err := p.attempt(running, x.body)
		if err == nil {
			p.count(func() {
				p.accepted += n
				p.latency.Add(time.Since(begin), n)
			})
			return nil
		}
		if after <= 0 || time.Since(begin)+after > p.retryFor || !sleepUntil(ctx, running, time.Now().Add(after)) {
			return err
		}
	}
}

func (p *poster) count(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// attempt sends a body once. after is how long to wait before the next attempt, 0 when there is to be none.
func (p *poster) attempt(ctx context.Context, body []byte) (accepted int64, after time.Duration, _ error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return 0, 0, diag.New("cli/url", "%q is no URL to post to", p.url)
	}
	req.Header.Set("Content-Type", p.contentType)
	res, err := p.client.Do(req)
	if err != nil {
		return 0, 200 * time.Millisecond, diag.New("generate/unreachable", "%s cannot be reached", p.url).WithCause(err).
			WithHint("is the engine running? gorge run serves http sources at http://localhost:8080/ingest/NAME")
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	switch {
	case err != nil:
		return 0, 0, fmt.Errorf("the answer of %s broke off: %w", p.url, err)
	case res.StatusCode/100 == 2:
		var a struct {
			Accepted *int64 `json:"accepted"`
		}
		if err := json.Unmarshal(answer, &a); err != nil || a.Accepted == nil {
			return 0, 0, diag.New("generate/answer", "%s does not answer like an http source of Gorge", p.url).WithCause(errors.New(strings.TrimSpace(string(answer))))
		}
		return *a.Accepted, 0, nil
	case res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusServiceUnavailable:
		p.count(func() { p.busy++ })
		after = time.Second
		if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s >= 0 && s < 3600 {
			after = max(time.Duration(s)*time.Second, 10*time.Millisecond)
		}
	}
	return 0, after, diag.New("generate/refused", "%s answered %s", p.url, res.Status).WithCause(errors.New(strings.TrimSpace(string(answer))))
}

// report tells how it went.
func (p *poster) report(w io.Writer, sent int64, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(w, "sent %s events in %v, accepted %s, %s requests tried again, %s events/s\n",
		group(sent), took.Round(time.Millisecond), group(p.accepted), group(p.busy), count(int64(float64(p.accepted)/took.Seconds())))
	if p.paced {
		fmt.Fprintf(w, "behind the schedule: p50 %v, p99 %v, most %v\n", short(p.lag.Quantile(0.5)), short(p.lag.Quantile(0.99)), short(p.lag.Max()))
	}
	fmt.Fprintf(w, "answered within: p50 %v, p99 %v, most %v\n", short(p.latency.Quantile(0.5)), short(p.latency.Quantile(0.99)), short(p.latency.Max()))
}

// short cuts a duration to what people read.
func short(d time.Duration) time.Duration {
	if d < time.Millisecond {
		return d.Round(time.Microsecond)
	}
	return d.Round(10 * time.Microsecond)
}
