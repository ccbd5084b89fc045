// Package checkpointtest is the suite that every checkpoint store must pass, and a
// store in memory with faults for the tests of those who use stores.
//
// The suite holds what checkpoint.Store promises to one process and to several that
// run at the same time; power cuts are the business of the stores' own tests.
package checkpointtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorge-stream/gorge/internal/checkpoint"
)

// Open makes an empty store.
type Open func(t *testing.T) checkpoint.Store

// Run runs the suite.
func Run(t *testing.T, open Open) {
	t.Run("what was put is read again", func(t *testing.T) { readsAgain(t, open(t)) })
	t.Run("putting the same again does no harm", func(t *testing.T) { putsTwice(t, open(t)) })
	t.Run("the bytes are the store's own copy", func(t *testing.T) { copies(t, open(t)) })
	t.Run("a name that is not there", func(t *testing.T) { notFound(t, open(t)) })
	t.Run("of 50 claims one wins", func(t *testing.T) { oneWins(t, open(t)) })
	t.Run("a claimed name stays with its first bytes", func(t *testing.T) { staysClaimed(t, open(t)) })
	t.Run("a list is sorted and has the prefix", func(t *testing.T) { lists(t, open(t)) })
	t.Run("a list is complete with many objects", func(t *testing.T) { manyObjects(t, open(t)) })
	t.Run("deleting is idempotent", func(t *testing.T) { deletes(t, open(t)) })
	t.Run("objects of 32 MiB", func(t *testing.T) { large(t, open(t)) })
	t.Run("many goroutines at once", func(t *testing.T) { concurrent(t, open(t)) })
	t.Run("odd names are refused", func(t *testing.T) { oddNames(t, open(t)) })
	t.Run("a cancelled context has no effect", func(t *testing.T) { cancelled(t, open(t)) })
}

// Text returns size bytes that differ from those of other seeds.
func Text(seed, size int) []byte {
	out := make([]byte, size)
	x := uint64(seed)*0x9e3779b97f4a7c15 + 1
	for i := range out {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		out[i] = byte(x >> 24)
	}
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// holds fails unless the store has the object with these bytes.
func holds(t *testing.T, s checkpoint.Store, name string, want []byte) {
	t.Helper()
	got, err := s.Get(t.Context(), name)
	if err != nil {
		t.Fatalf("get %s: %v", name, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s has %d bytes, want %d bytes, or others", name, len(got), len(want))
	}
}

// names returns the names of a list and fails if a size or time is missing.
func names(t *testing.T, s checkpoint.Store, prefix string) []string {
	t.Helper()
	all, err := s.List(t.Context(), prefix)
	must(t, err)
	out := []string{}
	for _, o := range all {
		out = append(out, o.Name)
		// Clocks of servers may differ from ours, but not by a day.
		if age := time.Since(o.Written); age < -24*time.Hour || age > 24*time.Hour {
			t.Errorf("%s was written at %s", o.Name, o.Written)
		}
	}
	return out
}

func readsAgain(t *testing.T, s checkpoint.Store) {
	for i, size := range []int{0, 1, 4095, 4096, 4097, 300_000} {
		name := fmt.Sprintf("chunks/%02x", i)
		must(t, s.Put(t.Context(), name, Text(i, size)))
		holds(t, s, name, Text(i, size))
	}
	for i, size := range []int{0, 1, 100_000} {
		name := fmt.Sprintf("manifests/%02x", i)
		must(t, s.Claim(t.Context(), name, Text(i, size)))
		holds(t, s, name, Text(i, size))
	}
}

func putsTwice(t *testing.T, s checkpoint.Store) {
	for range 3 {
		must(t, s.Put(t.Context(), "chunks/ab", Text(1, 5000)))
	}
	holds(t, s, "chunks/ab", Text(1, 5000))
	if got := names(t, s, ""); len(got) != 1 {
		t.Errorf("the store has %q", got)
	}
}

func copies(t *testing.T, s checkpoint.Store) {
	data := Text(1, 100)
	must(t, s.Put(t.Context(), "chunks/ab", data))
	must(t, s.Claim(t.Context(), "manifests/1", data))
	if !bytes.Equal(data, Text(1, 100)) {
		t.Error("the store changed the caller's bytes")
	}
	clear(data)
	for _, name := range []string{"chunks/ab", "manifests/1"} {
		got, err := s.Get(t.Context(), name)
		must(t, err)
		clear(got)
		holds(t, s, name, Text(1, 100))
	}
}

func notFound(t *testing.T, s checkpoint.Store) {
	must(t, s.Put(t.Context(), "chunks/abc", nil))
	for _, name := range []string{"chunks/ab", "chunks/abcd", "manifests/abc"} {
		if _, err := s.Get(t.Context(), name); !errors.Is(err, checkpoint.ErrNotFound) {
			t.Errorf("get %s: %v, want ErrNotFound", name, err)
		}
	}
}

func oneWins(t *testing.T, s checkpoint.Store) {
	const claimers = 50
	for _, name := range []string{"manifests/1", "manifests/2"} {
		results := make([]error, claimers)
		start := make(chan struct{})
		var all sync.WaitGroup
		for i := range claimers {
			all.Go(func() {
				<-start
				results[i] = s.Claim(t.Context(), name, Text(i, 2000+i))
			})
		}
		close(start)
		all.Wait()
		winner := -1
		for i, err := range results {
			switch {
			case err == nil && winner >= 0:
				t.Fatalf("%s: claimers %d and %d both won", name, winner, i)
			case err == nil:
				winner = i
			case !errors.Is(err, checkpoint.ErrExists):
				t.Fatalf("%s: claimer %d: %v", name, i, err)
			}
		}
		if winner < 0 {
			t.Fatalf("%s: nobody won", name)
		}
		holds(t, s, name, Text(winner, 2000+winner))
	}
}

func staysClaimed(t *testing.T, s checkpoint.Store) {
	must(t, s.Claim(t.Context(), "manifests/1", []byte("first")))
	for _, data := range []string{"second", "first", ""} {
		if err := s.Claim(t.Context(), "manifests/1", []byte(data)); !errors.Is(err, checkpoint.ErrExists) {
			t.Errorf("claim with %q: %v, want ErrExists", data, err)
		}
	}
	holds(t, s, "manifests/1", []byte("first"))
	must(t, s.Put(t.Context(), "chunks/1", []byte("put")))
	if err := s.Claim(t.Context(), "chunks/1", []byte("claimed")); !errors.Is(err, checkpoint.ErrExists) {
		t.Errorf("claim of an object that was put: %v, want ErrExists", err)
	}
	holds(t, s, "chunks/1", []byte("put"))
}

func lists(t *testing.T, s checkpoint.Store) {
	if got := names(t, s, ""); len(got) != 0 {
		t.Fatalf("the new store has %q", got)
	}
	var want []string
	for _, name := range []string{"manifests/10", "chunks/b", "manifests/02", "chunks/ab", "chunks/a", "manifests/01"} {
		must(t, s.Put(t.Context(), name, Text(1, len(name))))
		want = append(want, name)
	}
	slices.Sort(want)
	for _, prefix := range []string{"", "chunks/", "manifests/", "chunks/a", "manifests/0", "manifests/02", "manifests", "man", "x", "chunks/abc"} {
		expect := []string{}
		for _, name := range want {
			if strings.HasPrefix(name, prefix) {
				expect = append(expect, name)
			}
		}
		if got := names(t, s, prefix); !slices.Equal(got, expect) {
			t.Errorf("list %q: %q, want %q", prefix, got, expect)
		}
	}
	all, err := s.List(t.Context(), "")
	must(t, err)
	for _, o := range all {
		if o.Size != int64(len(o.Name)) {
			t.Errorf("%s has %d bytes in the list, want %d", o.Name, o.Size, len(o.Name))
		}
	}
}

func manyObjects(t *testing.T, s checkpoint.Store) {
	const n = 1100 // a page of S3 has 1,000
	var want []string
	var all sync.WaitGroup
	failures := make([]error, 8)
	for w := range failures {
		all.Go(func() {
			for i := w; i < n && failures[w] == nil; i += len(failures) {
				failures[w] = s.Put(t.Context(), fmt.Sprintf("chunks/%04x", i), []byte{byte(i)})
			}
		})
	}
	all.Wait()
	must(t, errors.Join(failures...))
	for i := range n {
		want = append(want, fmt.Sprintf("chunks/%04x", i))
	}
	if got := names(t, s, "chunks/"); !slices.Equal(got, want) {
		t.Fatalf("the list has %d objects, want %d", len(got), n)
	}
	must(t, s.Delete(t.Context(), want[1:]))
	if got := names(t, s, ""); !slices.Equal(got, want[:1]) {
		t.Errorf("%d objects are left, want one", len(got))
	}
}

func deletes(t *testing.T, s checkpoint.Store) {
	for _, name := range []string{"chunks/a", "chunks/b", "manifests/1"} {
		must(t, s.Put(t.Context(), name, []byte(name)))
	}
	for range 2 {
		must(t, s.Delete(t.Context(), []string{"chunks/a", "chunks/none", "manifests/1"}))
		if got := names(t, s, ""); !slices.Equal(got, []string{"chunks/b"}) {
			t.Fatalf("left are %q", got)
		}
	}
	must(t, s.Delete(t.Context(), nil))
	must(t, s.Claim(t.Context(), "manifests/1", []byte("again")))
	holds(t, s, "manifests/1", []byte("again"))
}

func large(t *testing.T, s checkpoint.Store) {
	const size = 32 << 20
	must(t, s.Put(t.Context(), "chunks/large", Text(1, size)))
	holds(t, s, "chunks/large", Text(1, size))
	must(t, s.Claim(t.Context(), "manifests/large", Text(2, size)))
	if err := s.Claim(t.Context(), "manifests/large", Text(3, size)); !errors.Is(err, checkpoint.ErrExists) {
		t.Fatalf("the second claim: %v", err)
	}
	holds(t, s, "manifests/large", Text(2, size))
}

func concurrent(t *testing.T, s checkpoint.Store) {
	const workers, each = 16, 8
	failures := make([]error, workers)
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := range each {
				own, shared := fmt.Sprintf("chunks/own-%d-%d", w, i), fmt.Sprintf("chunks/shared-%d", i)
				err := errors.Join(s.Put(t.Context(), own, Text(w*each+i, 1000)), s.Put(t.Context(), shared, Text(i, 9000)))
				got, getErr := s.Get(t.Context(), shared)
				if err = errors.Join(err, getErr); err == nil && !bytes.Equal(got, Text(i, 9000)) {
					err = fmt.Errorf("%s has other bytes", shared)
				}
				if err == nil && i%2 == 0 {
					err = s.Delete(t.Context(), []string{own})
				}
				failures[w] = errors.Join(failures[w], err)
			}
		})
	}
	all.Wait()
	must(t, errors.Join(failures...))
	if got := names(t, s, "chunks/"); len(got) != workers*each/2+each {
		t.Errorf("the store has %d objects, want %d", len(got), workers*each/2+each)
	}
}

func oddNames(t *testing.T, s checkpoint.Store) {
	for _, name := range []string{"", "a", "chunks", "chunks/", "chunks/../x", "../x", "/etc/passwd", "chunks/a/b", "chunks/A", "chunks/.x", "chunks/a\x00b", "chunks/" + strings.Repeat("a", 300)} {
		_, getErr := s.Get(t.Context(), name)
		for what, err := range map[string]error{
			"put": s.Put(t.Context(), name, nil), "claim": s.Claim(t.Context(), name, nil), "get": getErr, "delete": s.Delete(t.Context(), []string{name}),
		} {
			if err == nil || errors.Is(err, checkpoint.ErrNotFound) || errors.Is(err, checkpoint.ErrExists) {
				t.Errorf("%s %q: %v, want a refusal", what, name, err)
			}
		}
	}
	if got := names(t, s, ""); len(got) != 0 {
		t.Errorf("the store has %q", got)
	}
}

func cancelled(t *testing.T, s checkpoint.Store) {
	must(t, s.Put(t.Context(), "chunks/kept", []byte("kept")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, getErr := s.Get(ctx, "chunks/kept")
	_, listErr := s.List(ctx, "")
	for what, err := range map[string]error{
		"put": s.Put(ctx, "chunks/new", nil), "claim": s.Claim(ctx, "manifests/new", nil), "get": getErr, "list": listErr, "delete": s.Delete(ctx, []string{"chunks/kept"}),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want the cancellation", what, err)
		}
	}
	if got := names(t, s, ""); !slices.Equal(got, []string{"chunks/kept"}) {
		t.Errorf("the store has %q", got)
	}
}
