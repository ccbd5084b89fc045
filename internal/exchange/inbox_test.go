package exchange

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/gorge-stream/gorge/internal/batch"
)

var pool = batch.NewPool(&batch.Schema{Time: -1, Fields: []batch.Field{{Name: "v", Kind: batch.Int64}}}, 16)

func row(v int64) *batch.Batch {
	b := pool.Get()
	b.Col(0).Int64s()[0] = v
	b.SetLen(1)
	return b
}

func push(t *testing.T, in *Inbox, input, sender int, m Message) {
	t.Helper()
	if _, err := in.Push(input, sender, m); err != nil {
		t.Fatal(err)
	}
}

// drain pops to the end and tells what came: "7" for a row, "|seq:watermark" for a mark.
func drain(t *testing.T, in *Inbox) string {
	t.Helper()
	var out []string
	for ended := 0; ended < len(in.inputs); {
		_, m, _, err := in.Pop()
		if err != nil {
			t.Fatal(err)
		}
		if m.Kind == Data {
			out = append(out, fmt.Sprint(m.Batch.Col(0).Int64s()[0]))
			m.Batch.Release()
			continue
		}
		w := fmt.Sprint(m.Watermark)
		if m.Watermark == batch.MaxTime {
			w = "end"
			ended++
		}
		out = append(out, fmt.Sprintf("|%d:%s", m.Seq, w))
	}
	return strings.Join(out, " ")
}

func TestGatherOneFollowsTheSequence(t *testing.T) {
	in := NewInbox([]Input{{One, 2}}, DefaultLimits)
	// Sender 1 is ahead with blocks 1 and 2; sender 0 has 0 and 3.
	push(t, in, 0, 1, Message{Kind: Data, Seq: 1, Batch: row(10)})
	push(t, in, 0, 1, Message{Kind: Mark, Seq: 1, Watermark: 1})
	push(t, in, 0, 1, Message{Kind: Mark, Seq: 2, Watermark: 2})
	push(t, in, 0, 0, Message{Kind: Data, Seq: 0, Batch: row(1)})
	push(t, in, 0, 0, Message{Kind: Data, Seq: 0, Batch: row(2)})
	push(t, in, 0, 0, Message{Kind: Mark, Seq: 0, Watermark: 0})
	push(t, in, 0, 0, Message{Kind: Data, Seq: 3, Batch: row(30)})
	push(t, in, 0, 0, Message{Kind: Mark, Seq: 3, Watermark: batch.MaxTime})
	if got, want := drain(t, in), "1 2 |0:0 10 |1:1 |2:2 30 |3:end"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestGatherAllTakesSendersInOrderAndTheLowestWatermark(t *testing.T) {
	in := NewInbox([]Input{{All, 2}}, DefaultLimits)
	push(t, in, 0, 1, Message{Kind: Data, Seq: 0, Batch: row(2)})
	push(t, in, 0, 1, Message{Kind: Mark, Seq: 0, Watermark: 5})
	push(t, in, 0, 1, Message{Kind: Mark, Seq: 1, Watermark: batch.MaxTime})
	push(t, in, 0, 0, Message{Kind: Data, Seq: 0, Batch: row(1)})
	push(t, in, 0, 0, Message{Kind: Mark, Seq: 0, Watermark: 7})
	push(t, in, 0, 0, Message{Kind: Mark, Seq: 1, Watermark: batch.MaxTime})
	if got, want := drain(t, in), "1 2 |0:5 |1:end"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAFullSenderWaitsAndAnotherDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := NewInbox([]Input{{One, 2}}, Limits{Messages: 2, Bytes: 1 << 20})
		pushed := make(chan int, 10)
		go func() {
			for seq := range 4 {
				if _, err := in.Push(0, 0, Message{Kind: Mark, Seq: uint64(2 * seq)}); err != nil {
					return
				}
				pushed <- seq
			}
			close(pushed)
		}()
		synctest.Wait()
		if len(pushed) != 2 {
			t.Errorf("%d messages went into a queue of 2", len(pushed))
		}
		// Sender 1 brings what the receiver needs although sender 0 is stuck.
		if _, err := in.Push(0, 1, Message{Kind: Mark, Seq: 1}); err != nil {
			t.Error(err)
		}
		for want := range uint64(3) {
			_, m, _, err := in.Pop()
			if err != nil || m.Seq != want {
				t.Errorf("got %d, %v, want %d", m.Seq, err, want)
			}
		}
		synctest.Wait()
		if len(pushed) != 4 {
			t.Errorf("room was made for 2, and %d went in", len(pushed)-2)
		}
		in.Close(errors.New("over"))
	})
}

func TestBytesBoundTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := NewInbox([]Input{{One, 1}}, Limits{Messages: 100, Bytes: 16})
		n := make(chan struct{}, 10)
		go func() {
			for range 5 {
				if _, err := in.Push(0, 0, Message{Kind: Data, Batch: row(1)}); err != nil {
					return
				}
				n <- struct{}{}
			}
		}()
		synctest.Wait()
		if len(n) != 2 || in.Bytes() != 16 {
			t.Errorf("%d batches of 8 bytes, %d bytes wait under a limit of 16", len(n), in.Bytes())
		}
		in.Close(errors.New("over"))
	})
	if batch.Live() != 0 {
		t.Errorf("%d batches leaked", batch.Live())
	}
}

func TestCloseEndsBothSidesAndReleases(t *testing.T) {
	boom := errors.New("boom")
	in := NewInbox([]Input{{One, 1}}, Limits{Messages: 1, Bytes: 1})
	push(t, in, 0, 0, Message{Kind: Data, Seq: 9, Batch: row(1)})
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := in.Push(0, 0, Message{Kind: Data, Seq: 9, Batch: row(2)}); !errors.Is(err, boom) {
			t.Errorf("push: %v", err)
		}
	})
	wg.Go(func() {
		if _, _, _, err := in.Pop(); !errors.Is(err, boom) {
			t.Errorf("pop: %v", err)
		}
	})
	in.Close(boom)
	wg.Wait()
	if batch.Live() != 0 {
		t.Errorf("%d batches leaked", batch.Live())
	}
}

// TestTwoStagesUnderLoad sends blocks through 3 senders, 2 middle tasks and one
// receiver with tiny queues: everything arrives, in the order of the blocks.
func TestTwoStagesUnderLoad(t *testing.T) {
	const blocks = 500
	tiny := Limits{Messages: 2, Bytes: 64}
	mid := []*Inbox{NewInbox([]Input{{One, 3}}, tiny), NewInbox([]Input{{One, 3}}, tiny)}
	last := NewInbox([]Input{{All, 2}}, tiny)
	var wg sync.WaitGroup
	lease := make(chan uint64)
	go func() {
		for s := range uint64(blocks) {
			lease <- s
		}
		close(lease)
	}()
	for s := range 3 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(s), 1))
			for seq := range lease {
				mark := batch.Time(seq)
				if seq == blocks-1 {
					mark = batch.MaxTime
				}
				for i := range r.IntN(4) {
					_, _ = mid[i%2].Push(0, s, Message{Kind: Data, Seq: seq, Batch: row(int64(seq))})
				}
				for _, m := range mid {
					_, _ = m.Push(0, s, Message{Kind: Mark, Seq: seq, Watermark: mark})
				}
			}
		})
	}
	for i, m := range mid {
		wg.Go(func() {
			for {
				_, msg, _, err := m.Pop()
				if err != nil {
					return
				}
				_, _ = last.Push(0, i, msg)
				if msg.Kind == Mark && msg.Watermark == batch.MaxTime {
					return
				}
			}
		})
	}
	seen, marks := int64(-1), 0
	for marks < blocks {
		_, m, _, err := last.Pop()
		if err != nil {
			t.Fatal(err)
		}
		if m.Kind == Mark {
			marks++
			continue
		}
		v := m.Batch.Col(0).Int64s()[0]
		m.Batch.Release()
		if v < seen || v != int64(m.Seq) {
			t.Fatalf("row of block %d in message %d after block %d", v, m.Seq, seen)
		}
		seen = v
	}
	wg.Wait()
	if marks != blocks {
		t.Errorf("%d marks of %d blocks", marks, blocks)
	}
	if batch.Live() != 0 {
		t.Errorf("%d batches leaked", batch.Live())
	}
}
