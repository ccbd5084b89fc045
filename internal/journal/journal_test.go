package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

func TestRecordsComeBackInOrderFromEveryPlace(t *testing.T) {
	for _, memory := range []int64{0, 1000, 1 << 20} {
		fs := vfs.NewMem()
		o := options(fs)
		o.Memory = memory
		j := mustOpen(t, o)
		for seq := uint64(1); seq <= 60; {
			for range 1 + seq%4 {
				got, err := j.Place(record(seq))
				if err != nil || got != seq {
					t.Fatalf("record %d got the number %d: %v", seq, got, err)
				}
				seq++
			}
			if err := j.Wait(seq - 1); err != nil {
				t.Fatal(err)
			}
			if next, err := readAll(j, max(seq, 9)-8); err != nil || next != seq {
				t.Fatalf("memory %d: read up to %d, want %d: %v", memory, next, seq, err)
			}
		}
		for from := uint64(1); from <= j.next; from++ {
			if next, err := readAll(j, from); err != nil || next != j.next {
				t.Fatalf("memory %d, from %d: read up to %d, want %d: %v", memory, from, next, j.next, err)
			}
		}
		if n := len(filesOf(t, fs)); n < 5 {
			t.Errorf("%d files: the test wants more", n)
		}
	}
}

func TestAReaderFollowsManySenders(t *testing.T) {
	for _, memory := range []int64{0, 4 << 10} {
		j := mustOpen(t, Options{FS: vfs.NewMem(), Dir: dir, Limit: 1 << 30, Segment: 20 << 10, Memory: memory})
		const senders, each = 8, 400
		var group sync.WaitGroup
		sent := make([][]uint64, senders)
		for s := range senders {
			group.Go(func() {
				for i := range each {
					seq, err := j.Append(&Record{Payload: fmt.Appendf(nil, "%d %d", s, i)})
					if err != nil {
						t.Error(err)
						return
					}
					sent[s] = append(sent[s], seq)
				}
			})
		}
		r, err := j.Read(1)
		if err != nil {
			t.Fatal(err)
		}
		var next [senders]int
		for at := uint64(1); at <= senders*each; {
			g, err := r.Next()
			if errors.Is(err, ErrNone) {
				err = j.Await(t.Context(), at)
				if err == nil {
					continue
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			for seq, rec, ok := g.Next(); ok; seq, rec, ok = g.Next() {
				var s, i int
				if _, err := fmt.Sscan(string(rec.Payload), &s, &i); err != nil || seq != at || i != next[s] {
					t.Fatalf("record %d is %q, want number %d of sender %d", seq, rec.Payload, next[s], s)
				}
				next[s]++
				at++
			}
		}
		group.Wait()
		var all []uint64
		for _, s := range sent {
			if !slices.IsSorted(s) {
				t.Error("the numbers of a sender do not ascend")
			}
			all = append(all, s...)
		}
		slices.Sort(all)
		if len(slices.Compact(all)) != senders*each {
			t.Error("two records have the same number")
		}
		if err := errors.Join(r.Close(), r.Close()); err != nil {
			t.Error(err)
		}
	}
}

func TestAGroupWaitsForAboutAsManyAsTheLastOneBrought(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var syncs atomic.Int64
		o := options(observed(vfs.NewMem(), func(op errorfs.Op) error {
			if op.Kind == errorfs.OpFileSyncData {
				syncs.Add(1)
			}
			return nil
		}))
		o.Segment = 1 << 20
		j, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = j.Close() }()
		// send places n records at once and returns how long it took until they were durable.
		send := func(n int) time.Duration {
			begin := time.Now()
			var seq uint64
			for range n {
				if seq, err = j.Place(record(3)); err != nil {
					t.Error(err)
				}
			}
			if err := j.Wait(seq); err != nil {
				t.Error(err)
			}
			return time.Since(begin)
		}
		if d := send(1); d != 0 {
			t.Errorf("one sender waited %v", d)
		}
		j.mu.Lock()
		j.target = 16
		j.mu.Unlock()
		if d := send(14); d != 0 {
			t.Errorf("14 of about 16 waited %v", d)
		}
		j.mu.Lock()
		j.target = 16
		j.mu.Unlock()
		if d := send(10); d != defaultLinger {
			t.Errorf("10 of 16 waited %v, want %v", d, defaultLinger)
		}
		if d := send(9); d != 0 { // the last one brought 10
			t.Errorf("9 of about 10 waited %v", d)
		}
		if n := syncs.Load(); n != 4 {
			t.Errorf("%d syncs for 4 groups", n)
		}
	})
}

func TestTheLimitHoldsAndTrimMakesRoom(t *testing.T) {
	fs := vfs.NewMem()
	j := mustOpen(t, Options{FS: fs, Dir: dir, Limit: 20 << 10, Segment: 2 << 10, Memory: 1 << 10})
	payload := make([]byte, 500)
	fill := func() (last uint64) {
		for {
			seq, err := j.Append(&Record{Payload: payload})
			if errors.Is(err, ErrFull) {
				return last
			}
			if err != nil {
				t.Fatal(err)
			}
			last = seq
		}
	}
	first := fill()
	if first < 30 || first > 40 {
		t.Errorf("%d records of 506 bytes fit into 20 KiB", first)
	}
	if _, err := j.Append(&Record{Payload: make([]byte, 20<<10)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a record that can never fit: %v", err)
	}
	if err := j.Trim(first/2, 1); err != nil {
		t.Fatal(err)
	}
	second := fill()
	if n := second - first; n < first/2-8 || n > first/2+1 {
		t.Errorf("half of %d were let go of, and %d fit in", first, n)
	}
	// When all is let go of the segment in use counts no more.
	for range 5 {
		if err := j.Trim(j.next, 1); err != nil {
			t.Fatal(err)
		}
		j.mu.Lock()
		if j.used != 0 {
			t.Errorf("%d bytes count although all was let go of", j.used)
		}
		j.mu.Unlock()
		before := j.next - 1
		if n := fill() - before; n < first-2 {
			t.Errorf("%d records fit into an empty journal, at first %d", n, first)
		}
	}
	var size int
	for _, name := range filesOf(t, fs) {
		size += len(fileOf(t, fs, j.path(name)))
	}
	if size > 24<<10 {
		t.Errorf("the files have %d bytes", size)
	}
}

func TestTrimNeverTakesWhatAReaderNeeds(t *testing.T) {
	j := mustOpen(t, options(vfs.NewMem()))
	for seq := uint64(1); seq <= 40; seq++ {
		if _, err := j.Append(record(seq)); err != nil {
			t.Fatal(err)
		}
	}
	for before := uint64(1); before <= 41; before += 3 {
		if err := j.Trim(before, 41); err != nil {
			t.Fatal(err)
		}
		if next, err := readAll(j, before); err != nil || next != 41 {
			t.Errorf("before %d was let go of: %d, %v", before, next, err)
		}
		if j.First() != before {
			t.Errorf("it begins with %d, want %d", j.First(), before)
		}
	}
	_, err := j.Read(1)
	wantCode(t, err, "journal/gone")
	_, err = j.Read(50)
	wantCode(t, err, "journal/lost")
}

func TestTheStartWithoutACheckpointIsWhatWasNotReleased(t *testing.T) {
	fs := vfs.NewMem()
	j := mustOpen(t, options(fs))
	for seq := uint64(1); seq <= 9; seq++ {
		if _, err := j.Append(record(seq)); err != nil {
			t.Fatal(err)
		}
		if seq == 6 {
			if err := j.Trim(5, 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	id := j.ID()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = mustOpen(t, options(fs))
	if j.First() != 5 || j.ID() != id {
		t.Errorf("it begins with %d as %x, want 5 as %x", j.First(), j.ID(), id)
	}
}

func TestOneEngineAtATime(t *testing.T) {
	fs := vfs.NewMem()
	mustOpen(t, options(fs))
	_, err := Open(options(fs))
	wantCode(t, err, "journal/in-use")
}

func TestRecordsAreRefusedAfterClose(t *testing.T) {
	j := mustOpen(t, options(vfs.NewMem()))
	seq, err := j.Place(record(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Wait(seq); err != nil {
		t.Errorf("what was placed before Close: %v", err)
	}
	if _, err := j.Append(record(2)); !errors.Is(err, ErrClosed) {
		t.Errorf("behind Close: %v", err)
	}
	if err := j.Wait(7); err == nil {
		t.Error("a record that was never placed became durable")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.Await(ctx, 7); !errors.Is(err, context.Canceled) {
		t.Errorf("Await: %v", err)
	}
}

// TestRealFiles does what the simulations do on the disk of this machine.
func TestRealFiles(t *testing.T) {
	o := options(vfs.Default)
	o.Dir = t.TempDir() + "/data/journal/readings"
	for start := range uint64(3) {
		j, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		for i := range uint64(20) {
			if _, err := j.Append(record(start*20 + i + 1)); err != nil {
				t.Fatal(err)
			}
		}
		if next, err := readAll(j, max(start*20, 10)-9); err != nil || next != start*20+21 {
			t.Errorf("start %d: read up to %d: %v", start, next, err)
		}
		if err := errors.Join(j.Trim(start*20+1, start*20), j.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
