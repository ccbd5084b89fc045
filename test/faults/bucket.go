package faults

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// bucketCase is the window case with its checkpoints in a bucket. The server stays
// while engines come and go; now and then it refuses a request, or its answer is lost.
func bucketCase(r *Round) (*Case, error) {
	backend := s3mem.New()
	if err := backend.CreateBucket("states"); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: moody(gofakes3.New(backend).Server(), r.Seed), ReadHeaderTimeout: time.Minute}
	go server.Serve(listener) //nolint:errcheck // it ends with ErrServerClosed
	store := "s3://states/job?region=us-east-1&path_style=true&endpoint=" + url.QueryEscape("http://"+listener.Addr().String())
	c, err := windowCase(r, fmt.Sprintf("checkpoint: {store: %q}\n", store), fixed(r))
	if err != nil {
		return nil, err
	}
	c.Env = []string{"AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret", "AWS_EC2_METADATA_DISABLED=true"}
	c.Close = func() { _ = server.Close() }
	return c, nil
}

// moody lets some requests fail before and some behind their effect.
func moody(inner http.Handler, seed uint64) http.Handler {
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(seed, 3))
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		lot := rng.IntN(200)
		mu.Unlock()
		switch lot {
		case 0:
			http.Error(w, "try again", http.StatusServiceUnavailable)
		case 1:
			inner.ServeHTTP(httptest.NewRecorder(), req)
			panic(http.ErrAbortHandler)
		default:
			inner.ServeHTTP(w, req)
		}
	})
}
