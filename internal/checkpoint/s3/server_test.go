package s3

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	bucket     = "states"
	testKey    = "GORGETESTKEY"
	testSecret = "a-secret-that-nobody-may-read"
)

// fate is what becomes of one request.
type fate int

const (
	served      fate = iota
	failed           // 500, without an effect
	busy             // 503 SlowDown, without an effect
	cut              // the connection ends, without an effect
	lost             // the effect happens, the answer is lost
	brokenOff        // the effect happens, half of the answer comes
	stuck            // no answer until the client gives up, without an effect
	conflicting      // 409, without an effect
	late             // the connection ends, the effect happens when the next put comes
)

// server is an S3 server with faults in front of it.
type server struct {
	*httptest.Server
	backend *s3mem.Backend

	mu       sync.Mutex
	decide   func(*http.Request) fate        // nil: all are served
	rewrite  func(http.Handler) http.Handler // nil: nothing
	requests []string                        // method and path
	delayed  []*http.Request                 // their effects are still to happen
}

func serve(t *testing.T) *server {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", testKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", testSecret)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	v := &server{backend: s3mem.New()}
	if err := v.backend.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	inner := gofakes3.New(v.backend).Server()
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { v.handle(inner, w, r) }))
	t.Cleanup(v.Close)
	return v
}

func (v *server) handle(inner http.Handler, w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	v.requests = append(v.requests, r.Method+" "+r.URL.Path)
	f := served
	if v.decide != nil {
		f = v.decide(r)
	}
	if v.rewrite != nil {
		inner = v.rewrite(inner)
	}
	var overdue []*http.Request
	if r.Method == http.MethodPut {
		overdue, v.delayed = v.delayed, nil
	}
	v.mu.Unlock()
	for _, r := range overdue {
		inner.ServeHTTP(httptest.NewRecorder(), r)
	}
	switch f {
	case late:
		body, _ := io.ReadAll(r.Body)
		again := r.Clone(context.Background())
		again.Body = io.NopCloser(bytes.NewReader(body))
		v.mu.Lock()
		v.delayed = append(v.delayed, again)
		v.mu.Unlock()
		panic(http.ErrAbortHandler)
	case served:
		inner.ServeHTTP(w, r)
	case failed:
		refuse(w, http.StatusInternalServerError, "InternalError")
	case busy:
		refuse(w, http.StatusServiceUnavailable, "SlowDown")
	case conflicting:
		refuse(w, http.StatusConflict, "ConditionalRequestConflict")
	case cut:
		panic(http.ErrAbortHandler)
	case lost:
		inner.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case brokenOff:
		answer := httptest.NewRecorder()
		inner.ServeHTTP(answer, r)
		for k, values := range answer.Header() {
			w.Header()[k] = values
		}
		w.Header().Set("Content-Length", fmt.Sprint(answer.Body.Len()+1))
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
		panic(http.ErrAbortHandler)
	case stuck:
		_, _ = io.Copy(io.Discard, r.Body) // the end of the client is seen only behind the body
		<-r.Context().Done()
	}
}

// refuse answers as S3 does.
func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>the test says %s</Message></Error>`, code, code)
}

// faults sets what becomes of later requests and forgets the earlier ones.
func (v *server) faults(decide func(*http.Request) fate) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.decide, v.requests = decide, nil
}

// first gives the next requests of a method these fates, and serves all others.
func (v *server) first(method string, fates ...fate) {
	v.faults(func(r *http.Request) fate {
		if r.Method != method || len(fates) == 0 {
			return served
		}
		f := fates[0]
		fates = fates[1:]
		return f
	})
}

func (v *server) seen(method string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := 0
	for _, r := range v.requests {
		if strings.HasPrefix(r, method+" ") {
			n++
		}
	}
	return n
}

func (v *server) url(folder string) string {
	return "s3://" + bucket + folder + "?region=us-east-1&path_style=true&endpoint=" + url.QueryEscape(v.URL)
}

// open opens a store that does not wait between attempts.
func (v *server) open(t *testing.T, folder string) *Store {
	t.Helper()
	s, err := Open(t.Context(), v.url(folder))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	s.pause = func(ctx context.Context, _ int) error { return ctx.Err() }
	return s
}

// keys returns what is in the bucket.
func (v *server) keys(t *testing.T) []string {
	t.Helper()
	list, err := v.backend.ListBucket(bucket, nil, gofakes3.ListBucketPage{})
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, o := range list.Contents {
		out = append(out, o.Key)
	}
	return out
}

// bytesOf returns an object as the server has it.
func (v *server) bytesOf(t *testing.T, key string) []byte {
	t.Helper()
	o, err := v.backend.GetObject(bucket, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Contents.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(o.Contents); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
