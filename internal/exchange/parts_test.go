package exchange

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/state"
	"github.com/gorge-stream/gorge/internal/testkit"
)

// sent is one row that a sender sends: its block, its part of it, its key.
type sent struct{ seq, part, sender, key int64 }

func (s sent) value() int64 { return s.seq*1_000_000 + s.part*10_000 + s.sender*1000 + s.key }

// TestPartsComeInTheirOrder has several senders and receivers with queues of two
// messages and blocks of several parts, unevenly spread: every receiver gets its
// rows by block, part and sender, and nobody waits for ever (synctest would tell).
func TestPartsComeInTheirOrder(t *testing.T) {
	testkit.CheckLive(t)
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) { sendParts(t, rand.New(rand.NewPCG(seed, 9))) })
	}
}

func sendParts(t *testing.T, r *rand.Rand) {
	const blocks = 4
	senders, receivers := 1+r.IntN(4), 1+r.IntN(4)
	var boxes []*Inbox
	for range receivers {
		boxes = append(boxes, NewInbox([]Input{{All, senders}}, Limits{Messages: 2, Bytes: 1 << 20}))
	}
	var want []sent
	for s := range senders {
		var rows []sent
		for seq := range int64(blocks) {
			for part := range int64(4) {
				favourite := r.Int64N(50) // few keys a part, so that some receivers get nothing
				for range r.IntN(3) * r.IntN(12) {
					rows = append(rows, sent{seq, part, int64(s), favourite + r.Int64N(2)})
				}
			}
		}
		want = append(want, rows...)
		go func() {
			if err := send(boxes, s, rows, blocks); err != nil {
				t.Error(err)
			}
		}()
	}
	slices.SortStableFunc(want, func(a, b sent) int { return int(a.value()/1000 - b.value()/1000) })
	var wg sync.WaitGroup
	got := make([][]int64, receivers)
	for i, box := range boxes {
		wg.Go(func() { got[i] = receive(t, box, blocks) })
	}
	wg.Wait()
	total := 0
	for i := range got {
		var mine []int64
		for _, w := range want {
			if owner(w.key, receivers) == i {
				mine = append(mine, w.value())
			}
		}
		if !slices.Equal(got[i], mine) {
			t.Errorf("%d senders, receiver %d of %d: got %v, want %v", senders, i, receivers, got[i], mine)
		}
		total += len(got[i])
	}
	if total != len(want) {
		t.Errorf("%d rows of %d came", total, len(want))
	}
}

var partPool = batch.NewPool(&batch.Schema{Time: -1, Fields: []batch.Field{{Name: "k", Kind: batch.Int64}, {Name: "v", Kind: batch.Int64}}}, 3)

// owner returns the receiver that an edge chooses for a key.
func owner(key int64, receivers int) int {
	if receivers == 1 {
		return 0
	}
	b := partPool.Get()
	defer b.Release()
	b.Col(0).Int64s()[0] = key
	b.SetLen(1)
	return keygroup.Owner(state.NewKeyEncoder(partPool.Schema(), []int{0}).Encode(b).Hashes[0], receivers)
}

func send(boxes []*Inbox, s int, rows []sent, blocks int) error {
	e := NewEdge(Target{Inboxes: boxes, Sender: s, Parts: true}, state.NewKeyEncoder(partPool.Schema(), []int{0}), partPool)
	defer e.Close()
	at := 0
	for seq := range int64(blocks) {
		e.Begin(uint64(seq))
		for ; at < len(rows) && rows[at].seq == seq; at++ {
			b := partPool.Get()
			b.Before = rows[at].part
			b.Col(0).Int64s()[0], b.Col(1).Int64s()[0] = rows[at].key, rows[at].value()
			b.SetLen(1)
			if err := e.Send(b); err != nil {
				return err
			}
		}
		mark := seq
		if seq == int64(blocks)-1 {
			mark = batch.MaxTime
		}
		if err := e.Mark(mark, false); err != nil {
			return err
		}
	}
	return nil
}

func receive(t *testing.T, box *Inbox, blocks int) (values []int64) {
	marks := 0
	for {
		_, m, _, err := box.Pop()
		switch {
		case err != nil:
			t.Error(err)
			return nil
		case m.Kind == Mark:
			if want := fmt.Sprint(marks); fmt.Sprint(m.Seq) != want {
				t.Errorf("mark %d, want %s", m.Seq, want)
			}
			if marks++; marks == blocks {
				return values
			}
		case m.Kind == Data:
			values = append(values, m.Batch.Col(1).Int64s()[:m.Batch.Len()]...)
			m.Batch.Release()
		default:
			t.Errorf("a message of kind %d came out", m.Kind)
		}
	}
}
