package httpio

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

// sink posts rows. The task owns current and shape; what senders tell is guarded
// by mu; the rest is constant after construction.
type sink struct {
	*poster
	*shape
	dead   func(code, reason, detail string, row []byte)
	start  func(*request) // sends in a goroutine of its own
	cancel context.CancelFunc
	// slots holds the requests that are not in flight: their number bounds both
	// concurrency and memory, and who has them all knows that nothing is under way.
	slots  chan *request
	closed bool

	current *request // being filled; nil when no row is waiting

	mu      sync.Mutex
	failure error     // guarded by mu: the first one
	refused []refusal // guarded by mu: for the task to hand on
}

// refusal is one row for the dead letters.
type refusal struct {
	code, reason, detail string
	row                  []byte
}

var _ connector.SinkWriter = (*sink)(nil)

// newSink makes a writer that takes no part in epochs.
func newSink(set *spec.Values, env connector.SinkEnv) (connector.SinkWriter, error) {
	return newWriter(set, env, nil)
}

func newWriter(set *spec.Values, env connector.SinkEnv, rt http.RoundTripper) (*sink, error) {
	out, err := newPoster(set, env.Name, rt)
	if err != nil {
		return nil, err
	}
	form, err := newShape(set, &env, out.header)
	if err != nil {
		return nil, err
	}
	s := &sink{poster: out, shape: form, dead: env.Dead, slots: make(chan *request, set.Int("in_flight"))}
	for range cap(s.slots) {
		s.slots <- &request{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.start = func(r *request) {
		go func() {
			s.settle(r, s.deliver(ctx, r))
			r.reset()
			s.slots <- r
		}()
	}
	return s, nil
}

// Write puts the rows into requests and sends those that are full. It blocks
// while in_flight requests are under way.
func (s *sink) Write(ctx context.Context, b *batch.Batch) error {
	defer b.Release()
	for i := range b.Len() {
		if s.current == nil {
			if err := s.next(ctx); err != nil {
				return err
			}
		}
		if err := s.current.add(s.encoder, b, i); err != nil {
			return err
		}
		if len(s.current.ends) == s.rows {
			s.send()
		}
	}
	return s.tell()
}

// next takes a free request.
func (s *sink) next(ctx context.Context) error {
	if err := s.tell(); err != nil {
		return err
	}
	select {
	case s.current = <-s.slots:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// send lets the current request go.
func (s *sink) send() {
	if s.current != nil {
		s.current.seal(s.shape)
		s.current.key = keyOf(s.name, s.current.text)
		s.start(s.current)
		s.current = nil
	}
}

// tell hands refused rows to the dead letters and returns what failed. Senders
// leave both for the task, whose goroutine the dead letters belong to.
func (s *sink) tell() error {
	s.mu.Lock()
	refused, err := s.refused, s.failure
	s.refused = nil
	s.mu.Unlock()
	for _, r := range refused {
		s.dead(r.code, r.reason, r.detail, r.row)
	}
	return err
}

// settle keeps for the task what became of a request.
func (s *sink) settle(r *request, v verdict) {
	if v.taken || v.cancelled {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.err != nil {
		if s.failure == nil {
			s.failure = v.err
		}
		return
	}
	for i := range r.ends {
		s.refused = append(s.refused, refusal{v.code, v.reason, v.detail, bytes.Clone(r.row(i))})
	}
}

// Flush sends what is waiting and returns when everything was answered.
func (s *sink) Flush(ctx context.Context) error {
	s.send()
	idle := make([]*request, 0, cap(s.slots))
	defer func() {
		for _, r := range idle {
			s.slots <- r
		}
	}()
	for range cap(s.slots) {
		select {
		case r := <-s.slots:
			idle = append(idle, r)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return s.tell()
}

// Prepare flushes: an HTTP request cannot be taken back, so there is nothing to commit.
func (s *sink) Prepare(ctx context.Context, _ connector.Epoch) (connector.Prepared, error) {
	return nil, s.Flush(ctx)
}

// Close sends the rest when the input ended well, and cancels what is under way otherwise.
func (s *sink) Close(ctx context.Context, complete bool) error {
	if s.closed {
		return nil
	}
	s.closed = true
	var err error
	if complete {
		err = s.Flush(ctx)
	}
	s.cancel()
	n := cap(s.slots)
	if s.current != nil {
		n-- // it never left
	}
	for range n {
		<-s.slots
	}
	s.disconnect()
	return err
}

// target is where requests go.
type target struct {
	url    string
	shown  string // scheme and host: paths and queries of web hooks are secrets
	method string
	host   string // for the Host header, when it is set
	header http.Header
}

// checkSink reports what is wrong with the settings before anything starts.
func checkSink(set *spec.Values, _ *batch.Schema) error {
	_, err := parseTarget(set)
	return err
}

// reserved headers are the sink's or the connection's.
var reserved = []string{"Content-Length", "Transfer-Encoding", "Connection", "Idempotency-Key", "Trailer", "Upgrade"}

func parseTarget(set *spec.Values) (*target, error) {
	u, shown, err := parseURL(set.String("url"))
	if err != nil {
		return nil, err.At(set.PlaceOf("url"))
	}
	t := &target{url: u, shown: shown, method: set.String("method"), header: http.Header{"User-Agent": {"gorge"}}}
	for _, p := range set.Pairs("headers") {
		name := http.CanonicalHeaderKey(p.Key)
		switch {
		case !token(p.Key):
			return nil, diag.New("http/header", "%q is no name of a header", p.Key).At(p.KeyPlace)
		case strings.ContainsFunc(p.Value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7F }):
			return nil, diag.New("http/header", "the value of the header %s holds a control character", name).At(p.ValuePlace).
				WithHint("a line break often comes from a secret read from a file")
		case slices.Contains(reserved, name):
			return nil, diag.New("http/header", "the header %s is set by the sink", name).At(p.KeyPlace)
		case name == "Host":
			t.host = p.Value
		default:
			t.header.Set(name, p.Value)
		}
	}
	if set.String("body") == "object" && set.Int("batch") > 1 {
		return nil, diag.New("http/body", "one object cannot hold %d rows", set.Int("batch")).At(set.PlaceOf("body")).
			WithHint("write body: array or body: lines, or batch: 1")
	}
	return t, nil
}

// token reports whether s is a token of RFC 9110.
func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c >= 0x7F || c <= ' ' || strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) >= 0 {
			return false
		}
	}
	return s != ""
}
