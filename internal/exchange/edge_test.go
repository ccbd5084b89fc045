package exchange

import (
	"fmt"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/state"
)

func TestEveryRowReachesTheOwnerOfItsKeyInOrder(t *testing.T) {
	schema := &batch.Schema{Time: -1, Fields: []batch.Field{{Name: "k", Kind: batch.String}, {Name: "n", Kind: batch.Int64}}}
	for _, receivers := range []int{1, 2, 3, 7} {
		p := batch.NewPool(schema, 32)
		var boxes []*Inbox
		for range receivers {
			boxes = append(boxes, NewInbox([]Input{{One, 1}}, Limits{Messages: 1000, Bytes: 1 << 30}))
		}
		keys := state.NewKeyEncoder(schema, []int{0})
		e := NewEdge(Target{Inboxes: boxes}, keys, p)
		n := int64(0)
		for seq := range uint64(5) {
			e.Begin(seq)
			for range 10 {
				b := p.Get()
				b.Before = batch.Time(seq)
				for i := range 20 {
					b.Col(0).SetText(i, fmt.Sprintf("a key that is long or not %d", n%37)[n%25:])
					b.Col(1).Int64s()[i] = n
					n++
				}
				b.SetLen(20)
				if err := e.Send(b); err != nil {
					t.Fatal(err)
				}
			}
			mark := batch.Time(seq)
			if seq == 4 {
				mark = batch.MaxTime
			}
			if err := e.Mark(mark, false); err != nil {
				t.Fatal(err)
			}
		}
		got := 0
		for r, box := range boxes {
			last := int64(-1)
			for {
				_, m, _, err := box.Pop()
				if err != nil {
					t.Fatal(err)
				}
				if m.Kind == Mark && m.Watermark == batch.MaxTime {
					break
				}
				if m.Kind == Mark {
					continue
				}
				if m.Batch.Before != batch.Time(m.Seq) {
					t.Fatalf("batch of block %d is judged by the watermark of %d", m.Seq, m.Batch.Before)
				}
				hashes := state.NewKeyEncoder(schema, []int{0}).Encode(m.Batch).Hashes
				for i, h := range hashes {
					if keygroup.Owner(h, receivers) != r {
						t.Fatalf("a key of owner %d came to %d", keygroup.Owner(h, receivers), r)
					}
					if v := m.Batch.Col(1).Int64s()[i]; v <= last {
						t.Fatalf("row %d after %d", v, last)
					} else {
						last = v
					}
				}
				got += m.Batch.Len()
				m.Batch.Release()
			}
		}
		if got != 1000 {
			t.Errorf("%d receivers got %d of 1000 rows", receivers, got)
		}
		if batch.Live() != 0 {
			t.Fatalf("%d batches leaked", batch.Live())
		}
	}
}
