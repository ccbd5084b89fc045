package httpio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

// The pauses between attempts grow from firstPause by two up to maxPause.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = 10 * time.Second
)

// How much of an answer is kept for people, and how much is read so that the connection can be used again.
const (
	keptAnswer    = 1 << 10
	drainedAnswer = 64 << 10
)

// outcome is what one attempt came to.
type outcome struct {
	done    bool // taken by the other side
	refused bool // for good
	// of the rest, which may be tried again
	after time.Duration // Retry-After

	reason, detail string
}

// poster sends requests, each until something has become of it. It is constant after construction.
type poster struct {
	target
	name      string // of the sink
	timeout   time.Duration
	retryFor  time.Duration
	failing   bool // a request that is given up ends the job
	client    *http.Client
	transport *http.Transport // nil in tests
	jitter    func() float64  // from 0 to 1
}

// newPoster makes a poster. Without rt it has connections of its own, which are no one else's.
func newPoster(set *spec.Values, name string, rt http.RoundTripper) (*poster, error) {
	t, err := parseTarget(set)
	if err != nil {
		return nil, err
	}
	s := &poster{
		target: *t, name: name, timeout: set.Duration("timeout"), retryFor: set.Duration("retry_for"),
		failing: set.String("on_failure") != "dead_letter", jitter: rand.Float64,
	}
	if rt == nil {
		n := int(set.Int("in_flight"))
		s.transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout:    10 * time.Second,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           n,
			MaxIdleConnsPerHost:    n,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true,
		}
		rt = s.transport
	}
	s.client = &http.Client{Transport: rt, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return s, nil
}

// disconnect closes connections that nobody uses.
func (s *poster) disconnect() {
	if s.transport != nil {
		s.transport.CloseIdleConnections()
	}
}

// verdict is what became of a request: taken, cancelled, an error that ends the
// job, or else why its rows become dead letters.
type verdict struct {
	taken, cancelled     bool
	err                  error
	code, reason, detail string
}

// deliver sends a request until it is taken, refused, given up or cancelled.
func (s *poster) deliver(ctx context.Context, r *request) verdict {
	begin := time.Now()
	for attempt := 0; ; attempt++ {
		o := s.attempt(ctx, r)
		switch {
		case o.done:
			return verdict{taken: true}
		case ctx.Err() != nil:
			return verdict{cancelled: true}
		case o.refused:
			return verdict{code: "refused", reason: o.reason, detail: o.detail}
		}
		p := pause(attempt, o.after, s.jitter())
		if time.Since(begin)+p > s.retryFor {
			return s.giveUp(attempt+1, o)
		}
		t := time.NewTimer(p)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return verdict{cancelled: true}
		}
	}
}

// pause returns how long to wait before the next attempt: half of it is fixed and
// half is chance, so that senders which failed together do not come back
// together. A Retry-After is waited for in full.
func pause(attempt int, after time.Duration, jitter float64) time.Duration {
	d := maxPause
	if attempt < 7 { // 100 ms << 7 is above maxPause
		d = min(firstPause<<attempt, maxPause)
	}
	if after > 0 {
		return after + time.Duration(jitter*float64(firstPause))
	}
	return d/2 + time.Duration(jitter*float64(d/2))
}

// attempt sends a request once.
func (s *poster) attempt(ctx context.Context, r *request) outcome {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, s.method, s.url, bytes.NewReader(r.body))
	if err != nil {
		return outcome{refused: true, reason: "the request cannot be made", detail: err.Error()}
	}
	req.Header = s.header.Clone()
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	// It tells receivers that an attempt is a repetition, and net/http that the
	// request may be sent again when an idle connection turns out to be closed.
	req.Header.Set("Idempotency-Key", r.key)
	req.Host = s.host
	res, err := s.client.Do(req)
	if err != nil {
		return outcome{reason: s.shown + " cannot be reached", detail: plain(err, s.timeout)}
	}
	defer func() { _ = res.Body.Close() }()
	answer, _ := io.ReadAll(io.LimitReader(res.Body, keptAnswer)) // the status counts, whatever becomes of the answer
	_, _ = io.CopyN(io.Discard, res.Body, drainedAnswer)
	o := outcome{reason: fmt.Sprintf("%s answered %s", s.shown, status(res.StatusCode)), detail: strings.ToValidUTF8(string(answer), "\uFFFD")}
	switch c := res.StatusCode; {
	case c >= 200 && c < 300:
		o.done = true
	case c == http.StatusRequestTimeout || c == http.StatusTooEarly || c == http.StatusTooManyRequests || c >= 500:
		o.after = retryAfter(res.Header.Get("Retry-After"), time.Now())
	default:
		o.refused = true
		if c >= 300 && c < 400 {
			o.reason += "; redirects are not followed"
		}
	}
	return o
}

// status names a status by number and words: the words of the other side are not trusted.
func status(code int) string {
	if text := http.StatusText(code); text != "" {
		return fmt.Sprintf("%d %s", code, text)
	}
	return strconv.Itoa(code)
}

// plain describes an error without the URL that net/http puts into it.
func plain(err error, timeout time.Duration) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("no answer within %v", timeout)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}

// retryAfter reads seconds or a date; 0 when there is neither.
func retryAfter(header string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(strings.TrimSpace(header), 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(header); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}

// giveUp ends a request that was tried for too long, as on_failure says.
func (s *poster) giveUp(attempts int, o outcome) verdict {
	if !s.failing {
		return verdict{code: "unreachable", reason: fmt.Sprintf("given up after %d attempts: %s", attempts, o.reason), detail: o.detail}
	}
	e := diag.New("http/unreachable", "sink %s gave up a request after %d attempts: %s", s.name, attempts, o.reason).
		WithHint("give the receiver more time with retry_for, or keep the job going with on_failure: dead_letter")
	if o.detail != "" {
		e = e.WithCause(errors.New(clip(o.detail)))
	}
	return verdict{err: e}
}
