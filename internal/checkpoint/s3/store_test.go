package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/checkpoint/checkpointtest"
	"github.com/gorge-stream/gorge/internal/diag"
)

func TestABucketIsAStore(t *testing.T) {
	checkpointtest.Run(t, func(t *testing.T) checkpoint.Store { return serve(t).open(t, "/jobs/j1") })
}

func TestABucketIsAStoreWithoutAFolder(t *testing.T) {
	s := serve(t).open(t, "")
	if err := s.Claim(t.Context(), "manifests/1", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if all, err := s.List(t.Context(), ""); err != nil || len(all) != 1 || all[0].Name != "manifests/1" {
		t.Errorf("the list is %v, %v", all, err)
	}
}

func TestStoresInOneBucketAreApart(t *testing.T) {
	v := serve(t)
	one, two := v.open(t, "/a"), v.open(t, "/a/b")
	for _, s := range []*Store{one, two} {
		if err := s.Claim(t.Context(), "manifests/1", []byte(s.at.prefix)); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []*Store{one, two} {
		all, err := s.List(t.Context(), "")
		if err != nil || len(all) != 1 {
			t.Errorf("%s has %v, %v", s.at, all, err)
		}
		if got, err := s.Get(t.Context(), "manifests/1"); err != nil || string(got) != s.at.prefix {
			t.Errorf("%s has %q, %v", s.at, got, err)
		}
	}
	if got := v.keys(t); !slices.Equal(got, []string{"a/b/manifests/1", "a/manifests/1"}) {
		t.Errorf("the bucket has %q; the probe was to leave nothing", got)
	}
}

func TestLargeChunksGoInParts(t *testing.T) {
	v := serve(t)
	s := v.open(t, "/j")
	data := checkpointtest.Text(1, singlePutBytes+3)
	v.faults(nil)
	if err := s.Put(t.Context(), "chunks/large", data); err != nil {
		t.Fatal(err)
	}
	if v.seen(http.MethodPut) < 2 {
		t.Error("the upload had no parts")
	}
	v.faults(nil)
	if err := s.Claim(t.Context(), "manifests/large", data); err != nil {
		t.Fatal(err)
	}
	if n := v.seen(http.MethodPut) + v.seen(http.MethodPost); n != 1 {
		t.Errorf("the claim took %d requests, want one put", n)
	}
	for _, name := range []string{"chunks/large", "manifests/large"} {
		if got, err := s.Get(t.Context(), name); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

func TestFaultsThatPassAreRepeated(t *testing.T) {
	v := serve(t)
	s := v.open(t, "/j")
	s.patience = time.Second // as long as the last fault takes
	for _, f := range []fate{failed, busy, cut, lost, brokenOff, conflicting, stuck} {
		name, data := fmt.Sprintf("chunks/%d", f), checkpointtest.Text(int(f), 10_000)
		call := func(what, method string, call func() error) {
			t.Helper()
			v.first(method, f, served)
			if err := call(); err != nil {
				t.Errorf("%s, fault %d: %v", what, f, err)
			}
			if n := v.seen(method); n < 1 {
				t.Errorf("%s, fault %d: %d requests", what, f, n)
			}
		}
		call("put", http.MethodPut, func() error { return s.Put(t.Context(), name, data) })
		call("get", http.MethodGet, func() error {
			got, err := s.Get(t.Context(), name)
			if err == nil && !bytes.Equal(got, data) {
				err = errors.New("other bytes")
			}
			return err
		})
		call("list", http.MethodGet, func() error {
			all, err := s.List(t.Context(), "chunks/")
			if err == nil && (len(all) != 1 || all[0].Name != name) {
				err = fmt.Errorf("the list is %v", all)
			}
			return err
		})
		call("claim", http.MethodPut, func() error { return s.Claim(t.Context(), fmt.Sprintf("manifests/%d", f), data) })
		if got := v.bytesOf(t, fmt.Sprintf("j/manifests/%d", f)); !bytes.Equal(got, data) {
			t.Errorf("fault %d: the manifest has %d bytes", f, len(got))
		}
		call("delete", http.MethodDelete, func() error { return s.Delete(t.Context(), []string{name}) })
	}
}

func TestFaultsThatStayEndTheCall(t *testing.T) {
	v := serve(t)
	s := v.open(t, "/j")
	for f, code := range map[fate]diag.Code{failed: "checkpoint/store-failed", cut: "checkpoint/unreachable"} {
		v.faults(func(*http.Request) fate { return f })
		_, getErr := s.Get(t.Context(), "chunks/a")
		_, listErr := s.List(t.Context(), "")
		for what, err := range map[string]error{"put": s.Put(t.Context(), "chunks/a", nil), "get": getErr, "list": listErr, "delete": s.Delete(t.Context(), []string{"chunks/a"})} {
			wantCode(t, err, code, what)
		}
		if n := v.seen(http.MethodPut); n != attempts {
			t.Errorf("fault %d: %d puts, want %d", f, n, attempts)
		}
		wantCode(t, s.Claim(t.Context(), "manifests/1", nil), "checkpoint/claim-unknown", "manifests/1")
	}
}

// The answer of a claim is lost, and then it is found out who has the name.
func TestALostAnswerOfAClaim(t *testing.T) {
	v := serve(t)
	s, other := v.open(t, "/j"), v.open(t, "/j")
	claim := func(name string) error { return s.Claim(t.Context(), name, []byte("mine")) }

	v.first(http.MethodPut, lost)
	if err := claim("manifests/1"); err != nil {
		t.Errorf("the name was taken by the lost put: %v", err)
	}
	v.first(http.MethodPut, cut)
	if err := claim("manifests/2"); err != nil {
		t.Errorf("the put did not arrive and the name was free: %v", err)
	}
	v.first(http.MethodPut, late)
	if err := claim("manifests/late"); err != nil {
		t.Errorf("the put that got lost arrived after all, before the second: %v", err)
	}
	// The same bytes, but of somebody else.
	if err := other.Claim(t.Context(), "manifests/3", []byte("mine")); err != nil {
		t.Fatal(err)
	}
	v.first(http.MethodPut, cut)
	if err := claim("manifests/3"); !errors.Is(err, checkpoint.ErrExists) {
		t.Errorf("the name was another's: %v", err)
	}
	// The other comes between the lost put and the question.
	v.faults(func(r *http.Request) fate {
		if r.Method == http.MethodPut {
			v.decide = nil
			return cut
		}
		return served
	})
	stolen := false
	s.pause = func(context.Context, int) error {
		if !stolen {
			stolen = true
			return other.Claim(t.Context(), "manifests/4", []byte("theirs"))
		}
		return nil
	}
	if err := claim("manifests/4"); !errors.Is(err, checkpoint.ErrExists) {
		t.Errorf("the other was quicker: %v", err)
	}
	if !stolen {
		t.Error("the other was not asked")
	}
	if got := v.bytesOf(t, "j/manifests/4"); string(got) != "theirs" {
		t.Errorf("the object is %q", got)
	}
	// An object without a mark is not ours.
	if err := other.Put(t.Context(), "manifests/5", []byte("mine")); err != nil {
		t.Fatal(err)
	}
	v.first(http.MethodPut, failed)
	if err := claim("manifests/5"); !errors.Is(err, checkpoint.ErrExists) {
		t.Errorf("the name was put by another: %v", err)
	}
	// The server goes away for good.
	v.faults(func(r *http.Request) fate {
		if r.Method == http.MethodPut {
			return lost
		}
		return cut
	})
	err := claim("manifests/6")
	wantCode(t, err, "checkpoint/claim-unknown", "manifests/6")
	if errors.Is(err, checkpoint.ErrExists) {
		t.Error("nothing says that the name was taken")
	}
}

// Fifty engines claim while every third request meets a fault.
func TestClaimsAmongFaults(t *testing.T) {
	v := serve(t)
	s := v.open(t, "/j")
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		v.faults(func(*http.Request) fate {
			if rng.IntN(3) > 0 {
				return served
			}
			return []fate{failed, busy, cut, lost, brokenOff, conflicting, late}[rng.IntN(7)]
		})
		name := fmt.Sprintf("manifests/%d", seed)
		results := make([]error, 50)
		var all sync.WaitGroup
		for i := range results {
			all.Go(func() { results[i] = s.Claim(t.Context(), name, fmt.Appendf(nil, "%d", i)) })
		}
		all.Wait()
		v.faults(nil)
		holder := string(v.bytesOf(t, "j/"+name))
		known := 0
		for i, err := range results {
			mine := holder == fmt.Sprint(i)
			switch {
			case err == nil && !mine:
				t.Fatalf("seed %d: claimer %d was told that it won, but the object is of %s", seed, i, holder)
			case errors.Is(err, checkpoint.ErrExists) && mine:
				t.Fatalf("seed %d: claimer %d was told that it lost, but the object is its own", seed, i)
			case err == nil || errors.Is(err, checkpoint.ErrExists):
				known++
			default:
				wantCode(t, err, "checkpoint/claim-unknown", "")
			}
		}
		if known < 45 {
			t.Errorf("seed %d: only %d of 50 know what became of their claim", seed, known)
		}
	}
}

func TestARunningCallEndsWithItsContext(t *testing.T) {
	v := serve(t)
	s := v.open(t, "/j")
	for what, call := range map[string]func(context.Context) error{
		"put":   func(ctx context.Context) error { return s.Put(ctx, "chunks/a", []byte("a")) },
		"claim": func(ctx context.Context) error { return s.Claim(ctx, "manifests/1", []byte("a")) },
		"get":   func(ctx context.Context) error { _, err := s.Get(ctx, "chunks/a"); return err },
		"list":  func(ctx context.Context) error { _, err := s.List(ctx, ""); return err },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		v.faults(func(*http.Request) fate { cancel(); return stuck })
		if err := call(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// While it waits for another attempt, too.
	s.pause = pause
	ctx, cancel := context.WithCancel(t.Context())
	v.faults(func(*http.Request) fate { cancel(); return failed })
	if err := s.Put(ctx, "chunks/a", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("in a pause: %v", err)
	}
}

func TestAReaderDoesNotWrite(t *testing.T) {
	v := serve(t)
	if err := v.open(t, "/j").Put(t.Context(), "chunks/a", []byte("a")); err != nil {
		t.Fatal(err)
	}
	v.faults(func(r *http.Request) fate {
		if r.Method != http.MethodGet {
			t.Errorf("a reader sent %s %s", r.Method, r.URL)
		}
		return served
	})
	s, err := OpenReadOnly(t.Context(), v.url("/j"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, err := s.Get(t.Context(), "chunks/a"); err != nil || string(got) != "a" {
		t.Errorf("got %q, %v", got, err)
	}
	for what, err := range map[string]error{
		"put": s.Put(t.Context(), "chunks/b", nil), "claim": s.Claim(t.Context(), "manifests/1", nil), "delete": s.Delete(t.Context(), []string{"chunks/a"}),
	} {
		if err == nil || !strings.Contains(err.Error(), "read only") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
