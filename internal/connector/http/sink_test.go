package httpio

import (
	"context"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec/codectest"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/connectortest"
	"github.com/gorge-stream/gorge/internal/delivery"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

var alerts = &batch.Schema{Time: -1, Fields: []batch.Field{{Name: "n", Kind: batch.Int64}, {Name: "who", Kind: batch.String}}}

func alertRow(i int) []any { return []any{int64(i), fmt.Sprintf("device number %d", i)} }

func alertBatch(from, to int) *batch.Batch {
	b := batch.NewPool(alerts, max(to-from, 1)).Get()
	for i := from; i < to; i++ {
		codectest.SetRow(b, i-from, alertRow(i))
	}
	b.SetLen(to - from)
	return b
}

func alertJSON(i int) string { return fmt.Sprintf(`{"n":%d,"who":"device number %d"}`, i, i) }

// other is the other side: it answers by a function and keeps what it got.
type other struct {
	answer func(n int, r *http.Request) (status int, header, body string)

	mu      sync.Mutex
	got     []call
	running int
	most    int
}

type call struct {
	at     time.Time
	header http.Header
	host   string
	method string
	body   string
}

// RoundTrip makes the other side a transport, so that synctest owns the clock.
func (o *other) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	o.mu.Lock()
	n := len(o.got)
	o.got = append(o.got, call{time.Now(), r.Header.Clone(), r.Host, r.Method, string(body)})
	o.running++
	o.most = max(o.most, o.running)
	o.mu.Unlock()
	status, header, answer := o.answer(n, r)
	o.mu.Lock()
	o.running--
	o.mu.Unlock()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if status == 0 {
		return nil, errors.New(answer)
	}
	res := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: r}
	if name, value, ok := strings.Cut(header, ": "); ok {
		res.Header.Set(name, value)
	}
	return res, nil
}

func (o *other) bodies() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []string
	for _, c := range o.got {
		out = append(out, c.body)
	}
	return out
}

type letter struct{ code, reason, detail, row string }

type sinkUnderTest struct {
	*sink
	letters []letter
}

func sinkEnv(s *sinkUnderTest) connector.SinkEnv {
	return connector.SinkEnv{
		Name: "alerts", Schema: alerts, Format: jsonFormat, FormatValues: values(jsonFormat.Decl, nil),
		Dead: func(code, reason, detail string, row []byte) {
			s.letters = append(s.letters, letter{code, reason, detail, string(row)})
		},
	}
}

func newTestSink(t testing.TB, o *other, set map[string]any) *sinkUnderTest {
	t.Helper()
	all := map[string]any{"url": "http://alerts.example/secret?token=7"}
	for k, v := range set {
		all[k] = v
	}
	s := &sinkUnderTest{}
	w, err := newWriter(values(Registration.Sink, all), sinkEnv(s), o)
	if err != nil {
		t.Fatal(err)
	}
	s.sink = w
	s.jitter = func() float64 { return 1 } // the longest pauses
	return s
}

func always(status int) *other {
	return &other{answer: func(int, *http.Request) (int, string, string) { return status, "", "" }}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestBodiesAndHeaders(t *testing.T) {
	for _, tc := range []struct {
		set         map[string]any
		bodies      []string
		contentType string
	}{
		{nil, []string{alertJSON(0), alertJSON(1), alertJSON(2)}, "application/json"},
		{map[string]any{"batch": int64(2)}, []string{"[" + alertJSON(0) + "," + alertJSON(1) + "]", "[" + alertJSON(2) + "]"}, "application/json"},
		{map[string]any{"body": "array"}, []string{"[" + alertJSON(0) + "]", "[" + alertJSON(1) + "]", "[" + alertJSON(2) + "]"}, "application/json"},
		{map[string]any{"batch": int64(9), "body": "lines"}, []string{alertJSON(0) + "\n" + alertJSON(1) + "\n" + alertJSON(2) + "\n"}, "application/x-ndjson"},
	} {
		o := always(204)
		set := map[string]any{"in_flight": int64(1), "method": "PUT", "headers": []spec.Pair{{Key: "authorization", Value: "Bearer x"}, {Key: "host", Value: "inner"}}}
		for k, v := range tc.set {
			set[k] = v
		}
		s := newTestSink(t, o, set)
		must(t, s.Write(t.Context(), alertBatch(0, 3)))
		must(t, s.Flush(t.Context()))
		must(t, s.Close(t.Context(), true))
		if got := o.bodies(); !slices.Equal(got, tc.bodies) {
			t.Errorf("%v: bodies %q, want %q", tc.set, got, tc.bodies)
		}
		c := o.got[0]
		if c.header.Get("Content-Type") != tc.contentType || c.header.Get("Authorization") != "Bearer x" || c.host != "inner" || c.method != "PUT" || c.header.Get("User-Agent") != "gorge" {
			t.Errorf("%v: %+v", tc.set, c)
		}
	}
}

func TestRetriesFollowTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &other{answer: func(n int, _ *http.Request) (int, string, string) {
			switch {
			case n == 0:
				return 0, "", "connection refused"
			case n == 4:
				return 429, "Retry-After: 7", ""
			case n == 5:
				return 503, "Retry-After: " + time.Now().Add(9*time.Second).UTC().Format(http.TimeFormat), ""
			case n < 9:
				return 500 + n, "", ""
			}
			return 200, "", "thanks"
		}}
		s := newTestSink(t, o, nil)
		must(t, s.Write(t.Context(), alertBatch(0, 1)))
		must(t, s.Flush(t.Context()))
		must(t, s.Close(t.Context(), true))
		const ms = time.Millisecond
		want := []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 7100 * ms, 9100 * ms, 6400 * ms, maxPause, maxPause}
		if len(o.got) != len(want)+1 {
			t.Fatalf("%d attempts", len(o.got))
		}
		for i, w := range want {
			d := o.got[i+1].at.Sub(o.got[i].at)
			if i == 5 { // a date has whole seconds
				d = d.Truncate(time.Second) + 1100*ms
			}
			if d != w {
				t.Errorf("pause %d is %v, want %v", i, d, w)
			}
			if o.got[i+1].body != o.got[0].body || o.got[i+1].header.Get("Idempotency-Key") != o.got[0].header.Get("Idempotency-Key") {
				t.Errorf("attempt %d has another body or key", i+1)
			}
		}
		if len(s.letters) != 0 {
			t.Errorf("letters %v", s.letters)
		}
	})
}

func TestPausesAreHalfFixedAndHalfChance(t *testing.T) {
	for attempt, want := range map[int]time.Duration{0: firstPause, 3: 800 * time.Millisecond, 6: 6400 * time.Millisecond, 7: maxPause, 1000: maxPause} {
		if lo, hi := pause(attempt, 0, 0), pause(attempt, 0, 1); lo != want/2 || hi != want {
			t.Errorf("attempt %d: from %v to %v, want half of %v to all", attempt, lo, hi, want)
		}
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "x": 0, "-3": 0, "5": 5 * time.Second, "99999999999": 0, "Thu, 01 Jan 2026 00:00:09 GMT": 9 * time.Second, "Wed, 31 Dec 2025 00:00:00 GMT": 0,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("Retry-After %q is %v, want %v", header, got, want)
		}
	}
}

func TestRunningOutOfRetriesFailsTheJobOrMakesDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := func() *other {
			return &other{answer: func(int, *http.Request) (int, string, string) { return 503, "", "down for repairs" }}
		}
		o := down()
		begin := time.Now()
		s := newTestSink(t, o, map[string]any{"retry_for": 5 * time.Second})
		must(t, s.Write(t.Context(), alertBatch(0, 1)))
		err := s.Flush(t.Context())
		var d *diag.Error
		if !errors.As(err, &d) || d.Code != "http/unreachable" || !strings.Contains(err.Error(), "http://alerts.example answered 503 Service Unavailable") || !strings.Contains(err.Error(), "repairs") {
			t.Errorf("got %v", err)
		}
		if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "token") {
			t.Errorf("a secret in %v", err)
		}
		if d := time.Since(begin); d > 5*time.Second || d < 2*time.Second {
			t.Errorf("given up after %v", d)
		}
		if err := s.Write(t.Context(), alertBatch(1, 2)); err == nil {
			t.Error("Write after a failure")
		}
		must(t, s.Close(t.Context(), false))

		o = down()
		s = newTestSink(t, o, map[string]any{"retry_for": time.Duration(0), "on_failure": "dead_letter", "batch": int64(2)})
		must(t, s.Write(t.Context(), alertBatch(0, 2)))
		must(t, s.Flush(t.Context()))
		must(t, s.Close(t.Context(), true))
		if len(o.got) != 1 || len(s.letters) != 2 || s.letters[1].code != "unreachable" || s.letters[1].row != alertJSON(1) || s.letters[1].detail != "down for repairs" {
			t.Errorf("%d attempts, letters %+v", len(o.got), s.letters)
		}
	})
}

func TestRefusedRowsBecomeDeadLetters(t *testing.T) {
	long := strings.Repeat("x", 5000)
	o := &other{answer: func(_ int, r *http.Request) (int, string, string) {
		return 400, "", "no such device \xff" + long
	}}
	s := newTestSink(t, o, nil)
	must(t, s.Write(t.Context(), alertBatch(0, 3)))
	must(t, s.Flush(t.Context()))
	must(t, s.Close(t.Context(), true))
	slices.SortFunc(s.letters, func(a, b letter) int { return strings.Compare(a.row, b.row) })
	if len(o.got) != 3 || len(s.letters) != 3 {
		t.Fatalf("%d attempts, %d letters", len(o.got), len(s.letters))
	}
	l := s.letters[2]
	if l.code != "refused" || l.reason != "http://alerts.example answered 400 Bad Request" || l.row != alertJSON(2) ||
		!strings.HasPrefix(l.detail, "no such device \uFFFD") || len(l.detail) > keptAnswer+2 {
		t.Errorf("letter %+v", l)
	}
}

func TestRedirectsAreRefused(t *testing.T) {
	target := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target <- r.URL.Path
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	s := &sinkUnderTest{}
	w, err := Registration.NewSink(values(Registration.Sink, map[string]any{"url": server.URL + "/here"}), sinkEnv(s))
	must(t, err)
	must(t, w.Write(t.Context(), alertBatch(0, 1)))
	must(t, w.Flush(t.Context()))
	must(t, w.Close(t.Context(), true))
	if len(target) != 1 || len(s.letters) != 1 || !strings.Contains(s.letters[0].reason, "307 Temporary Redirect; redirects are not followed") {
		t.Errorf("%d requests, letters %+v", len(target), s.letters)
	}
}

func TestTheIdempotencyKeyFollowsFromTheRowsAlone(t *testing.T) {
	keys := func(size int, name string) map[string]string {
		o := always(200)
		s := newTestSink(t, o, nil)
		s.name = name
		for i := 0; i < 6; i += size {
			must(t, s.Write(t.Context(), alertBatch(i, i+size)))
		}
		must(t, s.Flush(t.Context()))
		must(t, s.Close(t.Context(), true))
		out := map[string]string{}
		for _, c := range o.got {
			out[c.body] = c.header.Get("Idempotency-Key")
		}
		return out
	}
	first := keys(1, "alerts")
	seen := map[string]bool{}
	for body, k := range first {
		if len(k) != 32 || seen[k] || keys(3, "alerts")[body] != k {
			t.Errorf("%s has the key %s", body, k)
		}
		seen[k] = true
		if keys(2, "other")[body] == k {
			t.Error("another sink has the same key")
		}
	}
	if got := keyOf("alerts", []byte("row\n")); got != "bb933e108fe89151ddb2d0df8c4951e3" {
		t.Errorf("the key of a known row is %s: receivers that remember keys would see every row twice after an upgrade", got)
	}
	if keyOf("ab", []byte("c")) == keyOf("a", []byte("bc")) {
		t.Error("name and rows run together")
	}
}

func TestRequestsInFlightAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &other{answer: func(_ int, r *http.Request) (int, string, string) {
			<-time.After(time.Second)
			return 200, "", ""
		}}
		s := newTestSink(t, o, map[string]any{"in_flight": int64(3)})
		begin := time.Now()
		must(t, s.Write(t.Context(), alertBatch(0, 12)))
		if d := time.Since(begin); d != 3*time.Second {
			t.Errorf("Write came back after %v, want 3s: nine rows answered, three under way", d)
		}
		must(t, s.Flush(t.Context()))
		if d := time.Since(begin); d != 4*time.Second || o.most != 3 || len(o.got) != 12 {
			t.Errorf("%d requests, %d at once, in %v", len(o.got), o.most, d)
		}
		must(t, s.Close(t.Context(), true))
	})
}

func TestAnAttemptThatTakesTooLongIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &other{answer: func(n int, r *http.Request) (int, string, string) {
			if n == 0 {
				<-r.Context().Done()
			}
			return 200, "", ""
		}}
		s := newTestSink(t, o, map[string]any{"timeout": 2 * time.Second})
		begin := time.Now()
		must(t, s.Write(t.Context(), alertBatch(0, 1)))
		must(t, s.Flush(t.Context()))
		if d := time.Since(begin); d != 2*time.Second+firstPause || len(o.got) != 2 {
			t.Errorf("%d attempts in %v", len(o.got), d)
		}
		must(t, s.Close(t.Context(), true))
	})
}

func TestCloseCancelsWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &other{answer: func(_ int, r *http.Request) (int, string, string) {
			<-r.Context().Done()
			return 0, "", "cancelled"
		}}
		s := newTestSink(t, o, map[string]any{"timeout": time.Hour, "in_flight": int64(2)})
		begin := time.Now()
		must(t, s.Write(t.Context(), alertBatch(0, 2)))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Write(ctx, alertBatch(2, 3)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Write with all requests under way: %v", err)
		}
		if err := s.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Flush: %v", err)
		}
		must(t, s.Close(t.Context(), false))
		must(t, s.Close(t.Context(), false))
		if d := time.Since(begin); d != time.Second || len(s.letters) != 0 {
			t.Errorf("closed after %v, letters %v", d, s.letters)
		}
	})
}

func TestSettingsOfTheSinkAreChecked(t *testing.T) {
	pair := func(k, v string) map[string]any {
		return map[string]any{"headers": []spec.Pair{{Key: k, Value: v}}}
	}
	for name, set := range map[string]map[string]any{
		"no url":         {"url": ""},
		"scheme":         {"url": "ftp://x/y"},
		"no host":        {"url": "http:///y"},
		"opaque":         {"url": "http:localhost:9000"},
		"broken":         {"url": "http://a b/%zz"},
		"header name":    pair("a b", "x"),
		"empty name":     pair("", "x"),
		"header value":   pair("X-Token", "secret\r\nX-Evil: 1"),
		"reserved":       pair("idempotency-key", "x"),
		"one of several": {"batch": int64(2), "body": "object"},
	} {
		all := map[string]any{"url": "http://x/"}
		for k, v := range set {
			all[k] = v
		}
		err := Registration.CheckSink(values(Registration.Sink, all), alerts)
		var d *diag.Error
		if !errors.As(err, &d) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, Registration.CheckSink(values(Registration.Sink, map[string]any{"url": "https://user:pw@x:1/y?z"}), alerts))
	env := sinkEnv(&sinkUnderTest{})
	env.Format = preambled()
	if _, err := Registration.NewSink(values(Registration.Sink, map[string]any{"url": "http://x/"}), env); err == nil {
		t.Error("a format that cannot be written was accepted")
	}
}

func TestPromises(t *testing.T) {
	for required, want := range map[bool]delivery.Guarantee{false: delivery.AtLeastOnce, true: delivery.ExactlyOnce} {
		if p := Registration.SourcePromise(values(Registration.Source, map[string]any{"require_key": required})); p.Guarantee != want || p.Why == "" {
			t.Errorf("source with require_key %v: %v", required, p)
		}
	}
	if p := Registration.SinkPromise(values(Registration.Sink, map[string]any{"batch": int64(2)})); p.Guarantee != delivery.Idempotent || p.Why == "" {
		t.Errorf("sink: %v", p)
	}
}

func TestTheSinkFollowsTheContract(t *testing.T) {
	for name, set := range map[string]map[string]any{
		"a row a request": {},
		"many rows":       {"batch": int64(1000), "body": "lines"},
	} {
		t.Run(name, func(t *testing.T) {
			connectortest.Sink(t, connectortest.SinkCase{
				Schema: alerts, Row: alertRow,
				New: func(t testing.TB) (connector.SinkWriter, func() string) {
					var mu sync.Mutex
					var rows []string
					server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
						dec := stdjson.NewDecoder(r.Body)
						for {
							var row stdjson.RawMessage
							if dec.Decode(&row) != nil {
								return
							}
							mu.Lock()
							rows = append(rows, string(row))
							mu.Unlock()
						}
					}))
					all := map[string]any{"url": server.URL}
					for k, v := range set {
						all[k] = v
					}
					w, err := Registration.NewSink(values(Registration.Sink, all), sinkEnv(&sinkUnderTest{}))
					must(t, err)
					t.Cleanup(server.Close)
					return w, func() string {
						mu.Lock()
						defer mu.Unlock()
						slices.Sort(rows) // order is not promised
						return strings.Join(rows, "\n")
					}
				},
			})
		})
	}
}
