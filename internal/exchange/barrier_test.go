package exchange

import (
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/state"
)

// pop takes the next message and tells what it is.
func pop(t *testing.T, in *Inbox) (input int, m Message) {
	t.Helper()
	input, m, _, err := in.Pop()
	if err != nil {
		t.Fatal(err)
	}
	if m.Batch != nil {
		m.Batch.Release()
		m.Batch = nil
	}
	return input, m
}

// TestABarrierWaitsForEveryInput: what follows the barrier in one input waits
// until the others have come to theirs.
func TestABarrierWaitsForEveryInput(t *testing.T) {
	in := NewInbox([]Input{{One, 1}, {All, 2}}, DefaultLimits)
	b := Barrier{Epoch: 7, Full: true}
	push(t, in, 0, 0, Message{Kind: Cut, Seq: 0, Barrier: b})
	push(t, in, 0, 0, Message{Kind: Data, Seq: 1, Batch: row(1)}) // of the next epoch
	push(t, in, 0, 0, Message{Kind: Mark, Seq: 1, Watermark: 10})
	push(t, in, 1, 0, Message{Kind: Mark, Seq: 0, Watermark: 5})
	push(t, in, 1, 0, Message{Kind: Cut, Seq: 1, Barrier: b})
	push(t, in, 1, 1, Message{Kind: Data, Seq: 0, Batch: row(2)})
	push(t, in, 1, 1, Message{Kind: Mark, Seq: 0, Watermark: 4})
	push(t, in, 1, 1, Message{Kind: Cut, Seq: 1, Barrier: b})
	push(t, in, 1, 1, Message{Kind: Mark, Seq: 2, Watermark: 6})
	for i, want := range []struct {
		input int
		kind  Kind
		mark  batch.Time
	}{{1, Data, 0}, {1, Mark, 4}, {-1, Cut, 0}, {0, Data, 0}, {0, Mark, 10}} {
		input, m := pop(t, in)
		if input != want.input || m.Kind != want.kind || m.Watermark != want.mark {
			t.Fatalf("message %d: input %d, kind %d, watermark %d; want %+v", i, input, m.Kind, m.Watermark, want)
		}
		if m.Kind == Cut && m.Barrier != b {
			t.Errorf("barrier %+v", m.Barrier)
		}
	}
	push(t, in, 1, 0, Message{Kind: Mark, Seq: 2, Watermark: 8})
	if _, m := pop(t, in); m.Seq != 2 || m.Watermark != 6 {
		t.Errorf("the block behind the barrier: %+v", m)
	}
}

// TestABarrierKeepsItsPlaceAmongTheBlocks: of a source stage it comes from one of
// the senders.
func TestABarrierKeepsItsPlaceAmongTheBlocks(t *testing.T) {
	in := NewInbox([]Input{{One, 2}}, DefaultLimits)
	push(t, in, 0, 1, Message{Kind: Cut, Seq: 1, Barrier: Barrier{Epoch: 1}})
	push(t, in, 0, 1, Message{Kind: Mark, Seq: 3, Watermark: 30})
	push(t, in, 0, 0, Message{Kind: Mark, Seq: 0, Watermark: 10})
	push(t, in, 0, 0, Message{Kind: Mark, Seq: 2, Watermark: 20})
	for i, want := range []Message{{Kind: Mark, Seq: 0}, {Kind: Cut, Seq: 1}, {Kind: Mark, Seq: 2}, {Kind: Mark, Seq: 3}} {
		if input, m := pop(t, in); input != 0 || m.Kind != want.Kind || m.Seq != want.Seq {
			t.Fatalf("message %d: %+v from %d", i, m, input)
		}
	}
}

// TestABarrierComesBehindTheRowsUnderWay: what a sink refuses when it cuts its
// output belongs to the epoch before the barrier, however few rows it is.
func TestABarrierComesBehindTheRowsUnderWay(t *testing.T) {
	for _, parts := range []bool{false, true} {
		boxes := []*Inbox{NewInbox([]Input{{All, 1}}, DefaultLimits), NewInbox([]Input{{All, 1}}, DefaultLimits)}
		e := NewEdge(Target{Inboxes: boxes, Parts: parts}, state.NewKeyEncoder(partPool.Schema(), []int{0}), partPool)
		for epoch := range uint64(2) {
			e.Begin(epoch)
			b := partPool.Get()
			b.Before = 7
			b.Col(0).Int64s()[0], b.Col(1).Int64s()[0] = int64(epoch), 1
			b.SetLen(1)
			if err := e.Send(b); err != nil {
				t.Fatal(err)
			}
			if err := e.Barrier(Barrier{Epoch: epoch + 1}); err != nil {
				t.Fatal(err)
			}
			rows := 0
			for _, in := range boxes {
				for {
					_, m := pop(t, in)
					if m.Kind == Cut {
						break
					}
					rows++
				}
			}
			if rows != 1 {
				t.Errorf("parts %v: %d rows before barrier %d, want 1", parts, rows, epoch+1)
			}
		}
		e.Close()
	}
}
