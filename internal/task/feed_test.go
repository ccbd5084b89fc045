package task

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/watermark"
)

func newFeed(s connector.Source, cfg watermark.Config) *Feed {
	splits, _ := s.Splits(context.Background())
	return NewFeed(FeedConfig{Source: s, Splits: splits, Time: cfg, Now: func() int64 { return time.Now().UnixMicro() }, Tasks: 4,
		OnEnd: func() {}, OnBarrier: func(uint64, checkpoint.Source) {}})
}

// lease takes the next lease and folds it; it writes down the number, what it
// is, and the watermark behind it.
func lease(t *testing.T, f *Feed) string {
	t.Helper()
	var b connector.Block
	l, err := f.Next(t.Context(), 0, &b)
	if err != nil {
		return err.Error()
	}
	largest := batch.MinTime
	what := [...]string{b.Place, fmt.Sprintf("end %d", l.Split), "tick"}[l.Kind]
	if l.Kind == LeaseBlock {
		largest = b.Line
	}
	if l.Dry {
		what = "dry"
	}
	_, after, err := f.Fold(l, largest)
	if err != nil {
		return err.Error()
	}
	mark := fmt.Sprint(after)
	switch after {
	case batch.MinTime:
		mark = "-"
	case batch.MaxTime:
		mark = "max"
	}
	return fmt.Sprintf("%d %s %s", l.Seq, what, mark)
}

func expect(t *testing.T, f *Feed, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := lease(t, f); got != w {
			t.Fatalf("got %q, want %q", got, w)
		}
	}
}

// TestTheEndComesOnce: the last split that ends is the end of the source, in one
// lease, because a watermark of MaxTime must reach every task the same number of times.
func TestTheEndComesOnce(t *testing.T) {
	f := newFeed(newScript([]any{10, 20, io.EOF}, []any{5, io.EOF}), watermark.Config{})
	expect(t, f, "0 0@10 -", "1 1@5 5", "2 0@20 5", "3 end 0 5", "4 end -1 max")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSplitsThatEndAtOnce is a source of empty files.
func TestSplitsThatEndAtOnce(t *testing.T) {
	f := newFeed(newScript([]any{io.EOF}, []any{io.EOF}), watermark.Config{})
	expect(t, f, "0 end 0 -", "1 end -1 max")
	_ = f.Close()
}

// TestMoreSplitsThanAreReadAtATime opens the rest as others end.
func TestMoreSplitsThanAreReadAtATime(t *testing.T) {
	s := newScript()
	for i := range maxOpen + 3 {
		s.splits = append(s.splits, []any{i, io.EOF})
	}
	f := newFeed(s, watermark.Config{})
	var ends, marks int
	for marks == 0 {
		got := lease(t, f)
		if strings.Contains(got, "end") {
			ends++
		}
		if strings.HasSuffix(got, "max") {
			marks++
		}
	}
	if len(s.opened) != maxOpen+3 || ends != maxOpen+3 || marks != 1 {
		t.Errorf("%d splits opened, %d ends, %d last marks", len(s.opened), ends, marks)
	}
	_ = f.Close()
}

// TestTheSplitFurthestBehindIsReadFirst once what was folded alignLag blocks ago is known.
func TestTheSplitFurthestBehindIsReadFirst(t *testing.T) {
	var ahead, behind []any
	for i := range 200 {
		ahead, behind = append(ahead, 1000+i), append(behind, i)
	}
	s := newScript(append(ahead, io.EOF), append(behind, io.EOF))
	f := newFeed(s, watermark.Config{})
	for range 300 {
		lease(t, f)
	}
	n := 0
	for _, i := range s.polls[alignLag+2 : 232] {
		n += i
	}
	if n < 195 {
		t.Errorf("the split behind was read %d times of 200", n)
	}
	_ = f.Close()
}

// TestFoldsComeInTheOrderOfTheNumbers folds leases of many tasks that arrive in
// any order.
func TestFoldsComeInTheOrderOfTheNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(newScript([]any{10, 20, 30, io.EOF}), watermark.Config{})
		var b connector.Block
		var leases []Lease
		for range 4 {
			l, err := f.Next(t.Context(), 0, &b)
			if err != nil {
				t.Fatal(err)
			}
			leases = append(leases, l)
		}
		slices.Reverse(leases)
		var mu sync.Mutex
		var order []string
		for _, l := range leases {
			go func() {
				before, after, err := f.Fold(l, batch.Time(10+10*l.Seq))
				mu.Lock()
				order = append(order, fmt.Sprintf("%d:%d-%d %v", l.Seq, before, after, err))
				mu.Unlock()
			}()
			synctest.Wait()
		}
		slices.Sort(order) // who waits for its turn is woken with the others
		want := fmt.Sprintf("[0:%d-10 <nil> 1:10-20 <nil> 2:20-30 <nil> 3:30-%d <nil>]", batch.MinTime, batch.MaxTime)
		if fmt.Sprint(order) != want {
			t.Errorf("got %v, want %s", order, want)
		}
		_ = f.Close()
	})
}

// TestReadingWaitsForFolding: reading is at most alignLag blocks ahead.
func TestReadingWaitsForFolding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var blocks []any
		for i := range 100 {
			blocks = append(blocks, i)
		}
		f := newFeed(newScript(blocks), watermark.Config{})
		var b connector.Block
		var first Lease
		for i := range alignLag {
			l, err := f.Next(t.Context(), 0, &b)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = l
			}
		}
		done := make(chan error, 1)
		go func() {
			_, err := f.Next(t.Context(), 0, &b)
			done <- err
		}()
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("a block was leased while the one alignLag before it is not folded")
		default:
		}
		if _, _, err := f.Fold(first, 0); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	})
}

// TestFailWakesEverybody: one task reads, one waits for its turn to read, one
// for its turn to fold, one for the fold of an old block.
func TestFailWakesEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newScript([]any{10, 20})
		f := newFeed(s, watermark.Config{})
		var b connector.Block
		for range 2 {
			if _, err := f.Next(ctx, 0, &b); err != nil {
				t.Fatal(err)
			}
		}
		errs := make(chan error, 4)
		go func() { _, _, err := f.Fold(Lease{Seq: 1, Split: 0}, 20); errs <- err }()
		for range 2 {
			go func() {
				var b connector.Block
				l, err := f.Next(ctx, 0, &b) // the first one gets the tick of the dry input
				if err == nil {
					_, _, err = f.Fold(l, batch.MinTime)
				}
				errs <- err
			}()
		}
		synctest.Wait()
		cancel()
		f.Fail(ErrStopped)
		for range 3 {
			if err := <-errs; !errors.Is(err, ErrStopped) {
				t.Errorf("got %v", err)
			}
		}
		_ = f.Close()
	})
}

// TestADryInputSaysSoOnce, and then only waits; a block ends the drought.
func TestADryInputSaysSoOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript([]any{10})
		f := newFeed(s, watermark.Config{})
		expect(t, f, "0 0@10 10", "1 dry 10")
		got := make(chan string)
		go func() { got <- lease(t, f) }()
		synctest.Wait()
		if s.waits != 1 {
			t.Fatalf("%d waits", s.waits)
		}
		s.put(0, 20)
		if g := <-got; g != "2 0@20 20" {
			t.Errorf("got %q", g)
		}
		expect(t, f, "3 dry 20")
		_ = f.Close()
	})
}

// TestIdleSplitsTick: without new data the time that passes moves the watermark.
func TestIdleSplitsTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript([]any{100}, []any{40})
		f := newFeed(s, watermark.Config{IdleAfter: time.Minute.Microseconds()})
		expect(t, f, "0 0@100 -", "1 1@40 40", "2 dry 40")
		start := time.Now()
		expect(t, f, "3 tick 100")
		if d := time.Since(start); d != time.Minute {
			t.Errorf("the tick came after %v", d)
		}
		s.put(1, 150)
		expect(t, f, "4 1@150 150", "5 dry 150") // split 0 is still idle
		_ = f.Close()
	})
}

// TestStopEndsTheInput of a source that has nothing in hand, also while it waits.
func TestStopEndsTheInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript([]any{10}, []any{20, 30})
		f := newFeed(s, watermark.Config{})
		expect(t, f, "0 0@10 -", "1 1@20 10", "2 1@30 10", "3 dry 10")
		got := make(chan string)
		go func() { got <- lease(t, f) }()
		synctest.Wait()
		f.Stop()
		if g := <-got; g != "4 end -1 max" {
			t.Errorf("got %q", g)
		}
		expect(t, f)
		_ = f.Close()
		if !s.closed {
			t.Error("the source was not closed")
		}
	})
}

// TestStopDrainsWhatWasAccepted by a source that has input of its own in hand.
func TestStopDrainsWhatWasAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &drainer{script: newScript([]any{10})}
		f := newFeed(d, watermark.Config{})
		expect(t, f, "0 0@10 10", "1 dry 10")
		got := make(chan string)
		go func() { got <- lease(t, f) }()
		synctest.Wait()
		d.mu.Lock()
		d.splits[0] = append(d.splits[0], 20, 30) // accepted, and nobody was woken yet
		d.mu.Unlock()
		f.Stop()
		if g := <-got; g != "2 0@20 20" {
			t.Errorf("got %q", g)
		}
		expect(t, f, "3 0@30 30", "4 end -1 max")
		if d.drained != 1 {
			t.Errorf("drained %d times", d.drained)
		}
		_ = f.Close()
	})
}

// TestABusySplitDoesNotHideAnother: a split that was dry once is looked at again
// although another one always has data.
func TestABusySplitDoesNotHideAnother(t *testing.T) {
	s := newScript(nil, nil)
	for i := range 200 {
		s.splits[0] = append(s.splits[0], i)
	}
	f := newFeed(s, watermark.Config{})
	for range 3 {
		lease(t, f)
	}
	s.put(1, 7)
	for i := range 2 * alignLag {
		if got := lease(t, f); strings.Contains(got, "1@7") {
			return
		} else if i == 2*alignLag-1 {
			t.Errorf("after %d blocks of the other split still unread: %s", i, got)
		}
	}
}

// TestAReadErrorNamesTheSplit and leaves no hole in the numbers.
func TestAReadErrorNamesTheSplit(t *testing.T) {
	boom := errors.New("boom")
	f := newFeed(newScript([]any{10, boom, 20}), watermark.Config{})
	expect(t, f, "0 0@10 10", "read 0: boom", "1 0@20 20")
	_ = f.Close()
}

// counted is a context that counts who is registered with it.
type counted struct {
	context.Context
	mu   sync.Mutex
	kids int
}

// Value hides that package context made the context.
func (c *counted) Value(any) any { return nil }

// AfterFunc is what package context calls to follow a context that is not its own.
func (c *counted) AfterFunc(f func()) func() bool {
	c.mu.Lock()
	c.kids++
	c.mu.Unlock()
	stop := context.AfterFunc(c.Context, f)
	return func() bool {
		first := stop()
		if first {
			c.mu.Lock()
			c.kids--
			c.mu.Unlock()
		}
		return first
	}
}

// TestWaitingLeavesNothingBehind: a live source waits a million times a day.
func TestWaitingLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, cancel := context.WithCancel(t.Context())
		defer cancel()
		ctx := &counted{Context: base}
		s := newScript([]any{10})
		f := newFeed(s, watermark.Config{IdleAfter: 1000})
		var b connector.Block
		for range 100 {
			l, err := f.Next(ctx, 0, &b)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := f.Fold(l, batch.MinTime); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		ctx.mu.Lock()
		defer ctx.mu.Unlock()
		if ctx.kids != 0 {
			t.Errorf("%d contexts hang on that of the job", ctx.kids)
		}
		_ = f.Close()
	})
}

// TestTheTimeOfWaitingIsTold to the task, so that it does not count as work.
func TestTheTimeOfWaitingIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript([]any{10})
		f := newFeed(s, watermark.Config{})
		expect(t, f, "0 0@10 10", "1 dry 10")
		time.AfterFunc(time.Hour, func() { s.put(0, 20) })
		var b connector.Block
		l, err := f.Next(t.Context(), 0, &b)
		if err != nil || l.Waited != time.Hour {
			t.Errorf("waited %v (%v)", l.Waited, err)
		}
		_ = f.Close()
	})
}

// TestTheFirstErrorInTheOrderOfTheInputWins whichever task meets its own first.
func TestTheFirstErrorInTheOrderOfTheInputWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(newScript([]any{10, 20}), watermark.Config{})
		var b connector.Block
		first, err1 := f.Next(t.Context(), 0, &b)
		second, err2 := f.Next(t.Context(), 0, &b)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		later := make(chan error)
		go func() { later <- f.Refuse(second, errors.New("second")) }()
		synctest.Wait()
		if err := f.Refuse(first, errors.New("first")); err == nil || err.Error() != "first" {
			t.Errorf("got %v", err)
		}
		f.Fail(ErrStopped) // as the job does with the error
		if err := <-later; !errors.Is(err, ErrStopped) {
			t.Errorf("got %v", err)
		}
		_ = f.Close()
	})
}
