// Package server is the one HTTP address of an engine: health, metrics, the API
// description, and whatever routes the connectors of the pipeline register.
//
// It knows net/http and nothing of pipelines: routes come in through
// connector.Mux, readiness through SetReady. Invariants:
//
//	S1  It binds to loopback unless the caller says AllowRemote: there is no
//	    authentication yet, and who reaches the address can read tables and
//	    post rows.
//	S2  Everything a client can make grow is bounded: connections, header
//	    bytes, the time a request or an idle connection may take.
//	S3  Every answer that is not a success is JSON {code, message, hint}.
//
// One goroutine serves (net/http starts one more per connection); it ends in Shutdown.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gorge-stream/gorge/api"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
)

// DefaultAddr is where an engine serves when nobody says otherwise.
const DefaultAddr = "127.0.0.1:8080"

// The limits on a client. Handlers that stream for long move their own deadlines
// through http.ResponseController.
const (
	headerTimeout  = 5 * time.Second
	requestTimeout = 60 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
	maxConns       = 1024
)

// Options are what a server is made from.
type Options struct {
	// Addr is host:port; DefaultAddr when empty, port 0 takes a free one.
	Addr string
	// AllowRemote permits an address that other machines can reach.
	AllowRemote bool
	// Registry holds the metrics; nil serves none.
	Registry *prometheus.Registry
	// Log takes what net/http has to say about broken clients; nil discards it.
	Log *slog.Logger
	// Savepoint makes a savepoint of what the engine runs; nil serves no such route.
	Savepoint func(context.Context, SavepointRequest) (Savepoint, error)
}

// Server serves the engine's HTTP address.
type Server struct {
	addr     string
	loopback bool
	log      *slog.Logger
	mux      *http.ServeMux
	http     *http.Server

	mu       sync.Mutex
	patterns []string      // guarded by mu
	reason   string        // guarded by mu: why the engine is not ready, "" when it is
	draining bool          // guarded by mu
	done     chan struct{} // guarded by mu: closed when serving has ended, nil before Start
}

var _ connector.Mux = (*Server)(nil)

// New checks the options and makes a server that does not listen yet.
func New(o Options) (*Server, error) {
	if o.Addr == "" {
		o.Addr = DefaultAddr
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	loopback, err := checkAddr(o.Addr, o.AllowRemote)
	if err != nil {
		return nil, err
	}
	s := &Server{addr: o.Addr, loopback: loopback, log: o.Log, mux: http.NewServeMux(), reason: "starting"}
	s.http = &http.Server{
		Handler:           sameOrigin(http.HandlerFunc(s.serve)),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	s.Handle("GET /{$}", http.HandlerFunc(s.index))
	s.Handle("GET /healthz", http.HandlerFunc(healthz))
	s.Handle("GET /readyz", http.HandlerFunc(s.readyz))
	s.Handle("GET /openapi.json", http.HandlerFunc(openapi))
	if o.Registry != nil {
		s.Handle("GET /metrics", promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{}))
	}
	if o.Savepoint != nil {
		s.Handle("POST /v1/savepoints", s.savepoints(o.Savepoint))
	}
	return s, nil
}

// checkAddr reports whether addr is loopback only and refuses what is not unless remote is allowed.
func checkAddr(addr string, remote bool) (loopback bool, err error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false, diag.New("server/bad-address", "%q is not an address to listen on", addr).WithCause(err).
			WithHint("write host:port, for example %s", DefaultAddr)
	}
	ip := net.ParseIP(host)
	loopback = host == "localhost" || ip != nil && ip.IsLoopback()
	if !loopback && !remote {
		return false, diag.New("server/remote-address", "listening on %s would let other machines read tables and post rows without a password", addr).
			WithHint("keep to %s, or say --http-allow-remote if the network is trusted", DefaultAddr)
	}
	return loopback, nil
}

// Handle registers a handler for a pattern of net/http.ServeMux, at any time; it panics on a conflict.
func (s *Server) Handle(pattern string, handler http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mux.Handle(pattern, handler)
	s.patterns = append(s.patterns, pattern)
	slices.Sort(s.patterns)
}

// Patterns returns the registered patterns, sorted.
func (s *Server) Patterns() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.patterns)
}

// Start listens and serves in a goroutine of its own; it returns the address
// with the real port. The engine is not ready until SetReady says so.
func (s *Server) Start() (string, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", s.addr)
	if err != nil {
		return "", listenError(s.addr, err)
	}
	done := make(chan struct{})
	s.mu.Lock()
	s.done = done
	s.mu.Unlock()
	go func() {
		defer close(done)
		if err := s.http.Serve(newLimitListener(l, maxConns)); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the HTTP server stopped", "error", err)
		}
	}()
	return l.Addr().String(), nil
}

func listenError(addr string, err error) error {
	e := diag.New("server/listen", "cannot listen on %s", addr).WithCause(err)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		e.Code, e.Sentence = "server/address-in-use", fmt.Sprintf("another program already listens on %s", addr)
		return e.WithHint("stop it, or choose another address with --http 127.0.0.1:0 (any free port)")
	case errors.Is(err, syscall.EACCES):
		return e.WithHint("ports below 1024 need privileges: choose a higher one")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return e.WithHint("this machine has no such address: use %s", DefaultAddr)
	}
	return e.WithHint("use --http %s", DefaultAddr)
}

// SetReady says whether the engine takes work and, when it does not, why. During
// and after Shutdown it stays not ready.
func (s *Server) SetReady(ready bool, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return
	}
	if ready {
		reason = ""
	} else if reason == "" {
		reason = "not ready"
	}
	s.reason = reason
}

// Drain makes the engine not ready for good while requests are still served, so
// that a load balancer turns away before Shutdown closes the address.
func (s *Server) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reason, s.draining = "draining", true
}

// Shutdown stops accepting, waits for running requests until ctx ends, then
// closes what is left. It may be called without Start and more than once.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were cut off: %w", err), s.http.Close())
	}
	s.mu.Lock()
	done := s.done
	s.mu.Unlock()
	if done != nil {
		<-done
	}
	return err
}

// sameOrigin keeps web pages of other origins from changing anything.
func sameOrigin(h http.Handler) http.Handler {
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		connector.Refuse(w, http.StatusForbidden, diag.New("server/cross-origin", "a web page of another origin may not do this"))
	}))
	return guard.Handler(h)
}

// serve routes a request. Requests without a route are answered by net/http in
// plain text; their status is kept and the body replaced (S3).
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if s.loopback && !localHost(r.Host) {
		connector.Refuse(w, http.StatusForbidden, diag.New("server/foreign-host", "this address serves %q only under a local name", r.Host).
			WithHint("use http://%s, or --http-allow-remote if other names are to work", s.addr))
		return
	}
	h, pattern := s.mux.Handler(r)
	if pattern != "" {
		s.mux.ServeHTTP(w, r)
		return
	}
	rec := &statusOnly{header: w.Header(), status: http.StatusOK}
	h.ServeHTTP(rec, r)
	switch rec.status {
	case http.StatusMethodNotAllowed:
		connector.Refuse(w, rec.status, diag.New("server/method", "%s is not allowed here", r.Method).
			WithHint("allowed: %s", w.Header().Get("Allow")))
	case http.StatusNotFound:
		connector.Refuse(w, rec.status, diag.New("server/not-found", "nothing is served at %s", clip(r.URL.Path)).
			WithHint("GET / lists what is served"))
	default:
		w.WriteHeader(rec.status)
	}
}

// localHost reports whether the Host of a request cannot come from a web page
// that had its own name resolve to this machine (DNS rebinding).
func localHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	return name == "" || name == "localhost" || strings.HasSuffix(name, ".localhost") || net.ParseIP(name) != nil
}

// clip bounds what of a request is repeated in an answer.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// statusOnly keeps header and status of an answer and drops the body.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) Write(p []byte) (int, error) { return len(p), nil }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }

func healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte("{\"status\":\"alive\"}\n"))
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	reason := s.reason
	s.mu.Unlock()
	if reason != "" {
		connector.Refuse(w, http.StatusServiceUnavailable, diag.New("server/not-ready", "the engine is not ready: %s", reason))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte("{\"status\":\"ready\"}\n"))
}

func openapi(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(api.OpenAPI)
}

func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	var b strings.Builder
	b.WriteString("Gorge engine. Served here:\n\n")
	for _, p := range s.Patterns() {
		if p != "GET /{$}" {
			fmt.Fprintf(&b, "  %s\n", p)
		}
	}
	b.WriteString("\nAPI description: /openapi.json\n")
	_, _ = w.Write([]byte(b.String()))
}
