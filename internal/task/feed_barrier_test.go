package task

import (
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/exchange"
	"github.com/gorge-stream/gorge/internal/watermark"
)

// barrierFeed is a feed over a script whose barriers are written down.
func barrierFeed(s *script, tasks int) (f *Feed, cuts *[]string) {
	splits, _ := s.Splits(context.Background())
	cuts = &[]string{}
	f = NewFeed(FeedConfig{Source: s, Splits: splits, Now: func() int64 { return time.Now().UnixMicro() }, Tasks: tasks,
		OnEnd: func() { *cuts = append(*cuts, "ended") },
		OnBarrier: func(epoch uint64, at checkpoint.Source) {
			*cuts = append(*cuts, fmt.Sprintf("%d: %d blocks, watermark %d", epoch, at.Blocks, at.Watermark))
		}})
	return f, cuts
}

// TestEveryTaskPassesABarrierOnce: one of them with a number of the sequence, which
// all blocks leased before it are below.
func TestEveryTaskPassesABarrierOnce(t *testing.T) {
	f, cuts := barrierFeed(newScript([]any{10, 20, 30}), 3)
	var b connector.Block
	next := func(task int) Lease {
		l, err := f.Next(t.Context(), task, &b)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	fold := func(l Lease) {
		if _, _, err := f.Fold(l, b.Line); err != nil {
			t.Fatal(err)
		}
	}
	fold(next(0))
	f.Inject(exchange.Barrier{Epoch: 5})
	first := next(1)
	if first.Kind != LeaseBarrier || !first.Numbered || first.Seq != 1 || first.Barrier.Epoch != 5 {
		t.Fatalf("the first task got %+v", first)
	}
	block := next(1)
	if block.Kind != LeaseBlock || block.Seq != 2 || block.Block != 1 {
		t.Fatalf("behind the barrier: %+v", block)
	}
	for _, task := range []int{2, 0} {
		if l := next(task); l.Kind != LeaseBarrier || l.Numbered {
			t.Fatalf("task %d got %+v", task, l)
		}
	}
	if len(*cuts) != 0 {
		t.Fatalf("cut before the barrier was folded: %q", *cuts)
	}
	fold(first)
	fold(block)
	if l := next(0); l.Kind != LeaseBlock || l.Seq != 3 {
		t.Fatalf("behind the barrier: %+v", l)
	}
	if want := "[5: 1 blocks, watermark 10]"; fmt.Sprint(*cuts) != want {
		t.Errorf("cuts %v, want %s", *cuts, want)
	}
	_ = f.Close()
}

// TestABarrierReachesATaskThatWaitsToRead although the one that reads comes back
// first and goes on waiting: for the next barrier, which comes when all have passed this one.
func TestABarrierReachesATaskThatWaitsToRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := barrierFeed(newScript([]any{io.EOF}), 2)
		var b connector.Block
		if l, err := f.Next(t.Context(), 0, &b); err != nil || l.Kind != LeaseEnd {
			t.Fatalf("%+v, %v", l, err)
		}
		<-f.token // task 0 reads, and is quick enough to do so again before task 1 has the token
		waited := make(chan Lease)
		go func() {
			var b connector.Block
			l, _ := f.Next(t.Context(), 1, &b)
			waited <- l
		}()
		synctest.Wait()
		f.Inject(exchange.Barrier{Epoch: 7})
		if l, err := f.read(t.Context(), 0, &b); err != nil || l.Kind != LeaseBarrier || !l.Numbered {
			t.Fatalf("%+v, %v", l, err)
		}
		synctest.Wait()
		select {
		case l := <-waited:
			if l.Kind != LeaseBarrier || l.Barrier.Epoch != 7 || l.Numbered {
				t.Errorf("%+v", l)
			}
		default:
			t.Error("the task waits for the right to read, and never passes the barrier")
			f.token <- struct{}{}
			<-waited
			<-f.token
		}
		f.token <- struct{}{}
		_ = f.Close()
	})
}

// TestABarrierWakesTasksThatWait for input, and behind the end of the input.
func TestABarrierWakesTasksThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript([]any{10})
		f, cuts := barrierFeed(s, 2)
		got := make(chan string, 10)
		for task := range 2 {
			go func() {
				var b connector.Block
				for {
					l, err := f.Next(t.Context(), task, &b)
					if err != nil {
						return
					}
					if l.Kind != LeaseBarrier || l.Numbered {
						_, _, _ = f.Fold(l, b.Line)
					}
					if l.Kind == LeaseBarrier {
						got <- fmt.Sprintf("%d passed %d", task, l.Barrier.Epoch)
						if l.Barrier.Last {
							return
						}
					}
				}
			}()
		}
		synctest.Wait() // both wait: one for input, one to read
		f.Inject(exchange.Barrier{Epoch: 1})
		synctest.Wait()
		s.put(0, io.EOF)
		synctest.Wait()
		f.Inject(exchange.Barrier{Epoch: 2})
		synctest.Wait()
		f.Inject(exchange.Barrier{Epoch: 3, Last: true, Final: true})
		synctest.Wait()
		if len(got) != 6 {
			t.Errorf("%d passages, want 6", len(got))
		}
		want := fmt.Sprintf("[1: 1 blocks, watermark 10 ended 2: 1 blocks, watermark %d 3: 1 blocks, watermark %d]", batch.MaxTime, batch.MaxTime)
		if fmt.Sprint(*cuts) != want {
			t.Errorf("cuts %v, want %s", *cuts, want)
		}
		_ = f.Close()
	})
}

// counting is a source of n splits of blocks whose times differ, with positions.
type counting struct{ splits, blocks int }

func (c counting) Splits(ctx context.Context) ([]connector.Split, error) {
	var out []connector.Split
	for i := range c.splits {
		out = append(out, connector.Split{ID: fmt.Sprint("s", i), Bounded: true})
	}
	return out, nil
}

func (c counting) Open(_ context.Context, s connector.Split, at connector.Position) (connector.SplitReader, error) {
	r := &countingReader{of: c}
	_, err := fmt.Sscanf(s.ID, "s%d", &r.split)
	if len(at) > 0 {
		r.next = int(at[0])
	}
	return r, err
}
func (c counting) Wait(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
func (c counting) Close() error                   { return nil }

type countingReader struct {
	of          counting
	split, next int
}

func (r *countingReader) Poll(_ context.Context, b *connector.Block) error {
	if r.next == r.of.blocks {
		return io.EOF
	}
	b.Line = int64(r.next*10*(r.split+1)) + int64(r.next*7919%13)
	r.next++
	return nil
}
func (r *countingReader) Position() connector.Position { return connector.Position{byte(r.next)} }
func (r *countingReader) Close() error                 { return nil }

// TestARestoredFeedGoesOnAsIfNothingHadHappened: from a barrier at any place the
// order of blocks and every watermark are those of an undisturbed feed.
func TestARestoredFeedGoesOnAsIfNothingHadHappened(t *testing.T) {
	src := counting{splits: 3, blocks: 40}
	open := func(at *checkpoint.Source) (*Feed, *checkpoint.Source) {
		splits, _ := src.Splits(t.Context())
		var cut checkpoint.Source
		f := NewFeed(FeedConfig{Source: src, Splits: splits, Time: watermark.Config{MaxDisorder: 5}, Now: func() int64 { return 0 }, Tasks: 1,
			OnEnd: func() {}, OnBarrier: func(_ uint64, at checkpoint.Source) { cut = at }})
		if at != nil {
			if err := f.Restore(*at); err != nil {
				t.Fatal(err)
			}
		}
		return f, &cut
	}
	// run reads to the end, or to a barrier behind n leases.
	run := func(f *Feed, n int) (out []string) {
		defer f.Close()
		var b connector.Block
		for {
			if n == len(out) {
				f.Inject(exchange.Barrier{Epoch: 1})
			}
			l, err := f.Next(t.Context(), 0, &b)
			if err != nil {
				t.Fatal(err)
			}
			largest := batch.MinTime
			if l.Kind == LeaseBlock {
				largest = b.Line
			}
			before, after, err := f.Fold(l, largest)
			if err != nil {
				t.Fatal(err)
			}
			if l.Kind == LeaseBarrier {
				return out
			}
			out = append(out, fmt.Sprintf("%d %d of %d: %d-%d", l.Kind, largest, l.Split, before, after))
			if after == batch.MaxTime {
				return out
			}
		}
	}
	f, _ := open(nil)
	want := run(f, -1)
	for at := range want {
		f, cut := open(nil)
		got := run(f, at)
		f, _ = open(cut)
		got = append(got, run(f, -1)...)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("restored behind %d leases:\ngot  %q\nwant %q", at, got[at:], want[at:])
		}
	}
}

// TestASplitThatIsGone is an error, unless it had been read to its end.
func TestASplitThatIsGone(t *testing.T) {
	f, _ := barrierFeed(newScript([]any{10}), 1)
	if err := f.Restore(checkpoint.Source{Splits: []checkpoint.Split{{ID: "old", Ended: true}, {ID: "0"}}}); err != nil {
		t.Error(err)
	}
	if err := f.Restore(checkpoint.Source{Name: "in", Splits: []checkpoint.Split{{ID: "old"}}}); err == nil {
		t.Error("a split that is gone was taken")
	}
	_ = f.Close()
}

// TestBarriersDoNotHoldBackTime: they come more often than a split becomes idle, and
// the watermark must go on all the same.
func TestBarriersDoNotHoldBackTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript([]any{10, 20}, []any{5})
		f := newFeed(s, watermark.Config{IdleAfter: 30_000_000})
		var b connector.Block
		expect(t, f, "0 0@10 -", "1 1@5 5", "2 0@20 5", "3 dry 5")
		go func() {
			for epoch := range uint64(20) {
				<-time.After(5 * time.Second)
				f.Inject(exchange.Barrier{Epoch: epoch + 1})
			}
		}()
		for {
			l, err := f.Next(t.Context(), 0, &b)
			if err != nil {
				t.Fatal(err)
			}
			_, after, err := f.Fold(l, batch.MinTime)
			if err != nil {
				t.Fatal(err)
			}
			if l.Kind == LeaseTick {
				if after != 20 {
					t.Errorf("the watermark is %d, want 20", after)
				}
				break
			}
			if l.Barrier.Epoch == 20 {
				t.Fatal("100 s without rows, and nobody was told that splits have become idle after 30")
			}
			// The other tasks pass, too.
			for task := 1; task < 4; task++ {
				_, _ = f.Next(t.Context(), task, &b)
			}
		}
		_ = f.Close()
		<-time.After(5 * time.Minute) // the barriers that are left
	})
}

// TestNewSplitsOfASourceThatHadEndedAreNotLate: another source went on, so that the
// run did too, and there is a new file at the next start.
func TestNewSplitsOfASourceThatHadEndedAreNotLate(t *testing.T) {
	f := newFeed(newScript([]any{10, io.EOF}, []any{90, 95, io.EOF}), watermark.Config{MaxDisorder: 3})
	at := checkpoint.Source{Name: "in", Watermark: batch.MaxTime, Blocks: 2, Splits: []checkpoint.Split{
		{ID: "0", Ended: true, Blocks: 1, Largest: 10, Newest: 10}, {ID: "gone", Ended: true, Blocks: 1, Largest: 20, Newest: 20}}}
	if err := f.Restore(at); err != nil {
		t.Fatal(err)
	}
	expect(t, f, "0 1@90 87", "1 1@95 92", "2 end -1 max")
	_ = f.Close()
	f = newFeed(newScript([]any{10, io.EOF}), watermark.Config{MaxDisorder: 3})
	if err := f.Restore(at); err != nil {
		t.Fatal(err)
	}
	expect(t, f, "0 end -1 max")
	_ = f.Close()
}
