package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/gorge-stream/gorge/internal/diag"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) (*Server, string) {
	t.Helper()
	reg := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "gorge_test_total", Help: "test"})
	reg.MustRegister(c)
	c.Add(7)
	s, err := New(Options{Addr: "127.0.0.1:0", Registry: reg})
	if err != nil {
		t.Fatal(err)
	}
	addr, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s, "http://" + addr
}

func do(t *testing.T, req *http.Request) (int, string, http.Header) {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body), res.Header
}

func get(t *testing.T, url string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, req)
}

// wantRefusal checks that a body is a refusal with the code.
func wantRefusal(t *testing.T, body string, code diag.Code) {
	t.Helper()
	var r struct{ Code, Message, Hint string }
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		t.Fatalf("%q is not JSON: %v", body, err)
	}
	if r.Code != string(code) || r.Message == "" {
		t.Fatalf("got %+v, want code %s", r, code)
	}
}

func TestEveryBuiltInRouteAnswers(t *testing.T) {
	s, base := start(t)
	s.Handle("GET /v1/hello", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	for _, c := range []struct{ path, want string }{
		{"/", "GET /v1/hello"},
		{"/healthz", "alive"},
		{"/metrics", "gorge_test_total 7"},
		{"/openapi.json", `"openapi"`},
		{"/v1/hello", "hello"},
	} {
		status, body, _ := get(t, base+c.path)
		if status != 200 || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %q, want %q", c.path, status, body, c.want)
		}
	}
}

func TestReadinessFollowsTheEngineAndEndsWithDraining(t *testing.T) {
	s, base := start(t)
	step := func(want int, text string) {
		t.Helper()
		status, body, _ := get(t, base+"/readyz")
		if status != want || !strings.Contains(body, text) {
			t.Fatalf("%d %q, want %d %q", status, body, want, text)
		}
		if want != 200 {
			wantRefusal(t, body, "server/not-ready")
		}
	}
	step(503, "starting")
	s.SetReady(true, "")
	step(200, "ready")
	s.SetReady(false, "restoring state")
	step(503, "restoring state")
	s.Drain()
	step(503, "draining")
	s.SetReady(true, "")
	step(503, "draining")
}

func TestRefusalsAreJSON(t *testing.T) {
	_, base := start(t)
	status, body, _ := get(t, base+"/nothing/here")
	if status != 404 {
		t.Fatal(status)
	}
	wantRefusal(t, body, "server/not-found")

	req, _ := http.NewRequestWithContext(t.Context(), http.MethodDelete, base+"/healthz", nil)
	status, body, header := do(t, req)
	if status != 405 || !strings.Contains(header.Get("Allow"), "GET") {
		t.Fatal(status, header)
	}
	wantRefusal(t, body, "server/method")

	req, _ = http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/healthz", nil)
	req.Host = "attacker.example"
	status, body, _ = do(t, req)
	if status != 403 {
		t.Fatal(status)
	}
	wantRefusal(t, body, "server/foreign-host")
}

func TestAWebPageOfAnotherOriginCannotPost(t *testing.T) {
	s, base := start(t)
	s.Handle("POST /ingest", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }))
	for _, c := range []struct {
		site string
		want int
	}{{"", 202}, {"same-origin", 202}, {"cross-site", 403}} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/ingest", strings.NewReader("{}"))
		if c.site != "" {
			req.Header.Set("Sec-Fetch-Site", c.site)
		}
		status, body, _ := do(t, req)
		if status != c.want {
			t.Errorf("%q: %d, want %d", c.site, status, c.want)
		}
		if status == 403 {
			wantRefusal(t, body, "server/cross-origin")
		}
	}
}

func TestAddressesAreChecked(t *testing.T) {
	for _, c := range []struct {
		addr   string
		remote bool
		code   diag.Code
	}{
		{"127.0.0.1:0", false, ""}, {"[::1]:0", false, ""}, {"localhost:0", false, ""}, {"", false, ""},
		{":8080", false, "server/remote-address"}, {"0.0.0.0:1", false, "server/remote-address"},
		{"example.org:1", false, "server/remote-address"}, {"0.0.0.0:0", true, ""},
		{"8080", false, "server/bad-address"},
	} {
		_, err := New(Options{Addr: c.addr, AllowRemote: c.remote})
		var e *diag.Error
		switch {
		case c.code == "" && err != nil:
			t.Errorf("%q: %v", c.addr, err)
		case c.code != "" && (!errors.As(err, &e) || e.Code != c.code || e.Hint == ""):
			t.Errorf("%q: %v, want %s", c.addr, err, c.code)
		}
	}
}

func TestAnAddressInUseIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s, err := New(Options{Addr: l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Start()
	var e *diag.Error
	if !errors.As(err, &e) || e.Code != "server/address-in-use" || e.Hint == "" {
		t.Fatal(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestShutdownWaitsForARunningRequestAndCutsItOffWhenTimeIsUp(t *testing.T) {
	for _, finish := range []bool{true, false} {
		s, err := New(Options{Addr: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		entered, leave := make(chan struct{}), make(chan struct{})
		s.Handle("GET /slow", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			select {
			case <-leave:
			case <-r.Context().Done():
			}
			fmt.Fprint(w, "done")
		}))
		addr, err := s.Start()
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 1)
		go func() {
			res, err := http.Get("http://" + addr + "/slow")
			if err != nil {
				got <- "cut"
				return
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			got <- string(body)
		}()
		<-entered
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Shutdown(ctx) }()
		want := "done"
		if finish {
			close(leave)
		} else {
			cancel()
			want = "cut"
		}
		err = <-ended
		if g := <-got; g != want || finish != (err == nil) {
			t.Errorf("finish %v: %q, %v", finish, g, err)
		}
		cancel()
		http.DefaultClient.CloseIdleConnections()
	}
}

func TestTheLimitHoldsAConnectionBackUntilAnotherCloses(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newLimitListener(inner, 1)
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b := dial(), dial()
	first := <-accepted
	if len(l.slots) != 1 {
		t.Fatal("the slot of the first connection is not taken")
	}
	select {
	case <-accepted:
		t.Fatal("two connections at a limit of one")
	default:
	}
	first.Close()
	first.Close() // gives the slot back once only
	second := <-accepted
	if _, err := fmt.Fprintln(b, "x"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(second).ReadString('\n'); err != nil || line != "x\n" {
		t.Fatalf("%q %v", line, err)
	}
	l.Close() // while Accept waits for a slot
	if _, open := <-accepted; open {
		t.Fatal("accepted after Close")
	}
	for _, c := range []net.Conn{a, b, second} {
		c.Close()
	}
}
