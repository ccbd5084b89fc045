package services

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/checkpoint/checkpointtest"
	"github.com/gorge-stream/gorge/internal/checkpoint/s3"
)

const (
	// s3Variable names a bucket: s3://bucket/folder?endpoint=...
	s3Variable = "GORGE_TEST_S3"
	// startedVariable is set where servers were started for these tests.
	startedVariable = "GORGE_TEST_SERVICES"
)

// bucket returns the URL of an empty folder in the bucket of a real server.
func bucket(t *testing.T) string {
	t.Helper()
	raw := os.Getenv(s3Variable)
	if raw == "" {
		const advice = s3Variable + " names no bucket: run make test-services"
		if os.Getenv(startedVariable) != "" {
			t.Fatal(advice)
		}
		t.Skip("SKIPPED: " + advice)
	}
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatalf("%s is no URL", s3Variable)
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + "/" + strings.ToLower(rand.Text())
	return u.String()
}

func open(t *testing.T, at string) *s3.Store {
	t.Helper()
	s, err := s3.Open(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		all, err := s.List(ctx, "")
		if err != nil {
			t.Error(err)
		}
		names := []string{}
		for _, o := range all {
			names = append(names, o.Name)
		}
		if err := errors.Join(s.Delete(ctx, names), s.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestABucketOfARealServerIsAStore(t *testing.T) {
	checkpointtest.Run(t, func(t *testing.T) checkpoint.Store { return open(t, bucket(t)) })
}

func TestLargeChunksInPartsOnARealServer(t *testing.T) {
	s := open(t, bucket(t))
	data := checkpointtest.Text(1, 65<<20)
	if err := s.Put(t.Context(), "chunks/large", data); err != nil {
		t.Fatal(err)
	}
	got, err := s.Get(t.Context(), "chunks/large")
	if err != nil || string(got) != string(data) {
		t.Errorf("got %d bytes of %d, or others: %v", len(got), len(data), err)
	}
}

// claimVariable makes the test binary a claimer: what it holds goes into the manifests.
const claimVariable = "GORGE_TEST_CLAIMER"

const manifests = 20

// TestClaimersInSeveralProcesses lets four processes claim the same names: each name is
// won once, and holds what its winner wrote.
func TestClaimersInSeveralProcesses(t *testing.T) {
	if claimer := os.Getenv(claimVariable); claimer != "" {
		s, err := s3.Open(t.Context(), os.Getenv(s3Variable))
		if err != nil {
			t.Fatal(err)
		}
		for i := range manifests {
			switch err := s.Claim(t.Context(), fmt.Sprintf("manifests/%02d", i), []byte(claimer)); {
			case err == nil:
				fmt.Printf("won %02d\n", i)
			case !errors.Is(err, checkpoint.ErrExists):
				t.Fatal(err)
			}
		}
		return
	}
	at := bucket(t)
	s := open(t, at)
	outputs, failures := make([][]byte, 4), make([]error, 4)
	var all sync.WaitGroup
	for p := range outputs {
		all.Go(func() {
			c := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
			c.Env = append(os.Environ(), s3Variable+"="+at, fmt.Sprintf("%s=%d", claimVariable, p))
			outputs[p], failures[p] = c.CombinedOutput()
		})
	}
	all.Wait()
	winner := map[string]string{}
	for p, out := range outputs {
		if failures[p] != nil {
			t.Fatalf("process %d: %v\n%s", p, failures[p], out)
		}
		for line := range strings.Lines(string(out)) {
			if name, won := strings.CutPrefix(strings.TrimSpace(line), "won "); won {
				if other, twice := winner[name]; twice {
					t.Errorf("%s was won by %s and by %d", name, other, p)
				}
				winner[name] = fmt.Sprint(p)
			}
		}
	}
	for i := range manifests {
		name := fmt.Sprintf("%02d", i)
		if got, err := s.Get(t.Context(), "manifests/"+name); err != nil || string(got) != winner[name] {
			t.Errorf("manifest %s was won by process %q and holds %q, %v", name, winner[name], got, err)
		}
	}
}
