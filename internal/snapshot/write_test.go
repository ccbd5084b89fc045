package snapshot

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/state"
)

// evenly returns n pieces of one row in each of the key groups 0 to groups-1.
func evenly(groups, n int) []piece {
	var out []piece
	for g := range groups {
		for i := range n {
			out = append(out, piece{pane: int64(i), group: keygroup.Group(g), keys: []string{fmt.Sprint("key ", g, " ", i)}, words: []uint64{uint64(g)}})
		}
	}
	return out
}

var everyPane = func(int64) (uint64, bool) { return 0, true }

func smallSegments(t *testing.T) {
	before := target
	target = 300
	t.Cleanup(func() { target = before })
}

func TestSegmentsCoverEveryGroupAlsoWithoutRecords(t *testing.T) {
	smallSegments(t)
	s := newShelf()
	shard := keygroup.Range{First: 100, End: 200}
	pieces := evenly(150, 9)[110*9:] // a group has more than a segment takes
	segs := written(t, s, Header{Epoch: 1, Step: "s", Groups: shard, Base: keygroup.All, Words: 1}, pieces)
	next, rows := shard.First, int64(0)
	for _, seg := range segs {
		if seg.Groups.First != next && seg.Groups.First+1 != next || seg.Base != seg.Groups || seg.BaseRows != seg.Rows {
			t.Errorf("behind group %d comes %+v", next, seg)
		}
		next, rows = seg.Groups.End, rows+seg.Rows
	}
	if next != shard.End || rows != int64(len(pieces)) || len(segs) < 40 {
		t.Errorf("%d segments have %d rows up to group %d", len(segs), rows, next)
	}
	var got []piece
	if err := Read(ctx, s, segs, shard, everyPane, 1, func(c *state.Chunk) error { got = append(got, plain(c)); return nil }); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(dump(pieces), dump(got)); d != "" {
		t.Error(d)
	}
}

func TestReadFetchesOnlyWhatItNeeds(t *testing.T) {
	smallSegments(t)
	s := newShelf()
	old := written(t, s, Header{Epoch: 1, Step: "s", Groups: keygroup.All, Base: keygroup.All, Words: 1}, evenly(40, 1))
	segs := append(old, written(t, s, Header{Epoch: 2, Step: "s", Groups: keygroup.All, Base: keygroup.Range{First: 0, End: 20}, Words: 1}, evenly(20, 1))...)
	for _, seg := range segs {
		if seg.Epoch == 1 && seg.Groups.End <= 20 || seg.Groups.First > 25 {
			delete(s.objects, seg.Object)
		}
	}
	rows := map[keygroup.Group]int{}
	count := func(c *state.Chunk) error { rows[c.Group]++; return nil }
	if err := Read(ctx, s, segs, keygroup.Range{First: 15, End: 25}, everyPane, 1, count); err != nil {
		t.Fatal(err)
	}
	for g := range keygroup.Group(40) {
		want := 0
		if g >= 15 && g < 25 {
			want = 1
		}
		if rows[g] != want {
			t.Errorf("group %d was read %d times", g, rows[g])
		}
	}
	if err := Read(ctx, s, segs, keygroup.All, everyPane, 1, count); !errors.Is(err, checkpoint.ErrNotFound) {
		t.Errorf("objects are missing, and it says %v", err)
	}
}

func TestACutWithoutPanesIsNotWritten(t *testing.T) {
	s := newShelf()
	segs, err := Write(ctx, s, &fakeCut{}, Header{Epoch: 1, Step: "s", Groups: keygroup.All, Base: keygroup.All})
	if err != nil || segs != nil || len(s.objects) > 0 {
		t.Errorf("%v, %v", segs, err)
	}
	c := NewChain(keygroup.All)
	c.Append(1, nil, nil, c.Base(false))
	if got := c.Shard(); len(got.Segments) > 0 || len(got.Panes) > 0 {
		t.Errorf("the chain has %+v", got)
	}
}

func TestAnIdleShardWritesNothing(t *testing.T) {
	s, c, b := newShelf(), NewChain(keygroup.All), newBook(keygroup.All)
	b.put(0, "key", row{})
	for epoch := uint64(1); epoch < 6; epoch++ {
		base := c.Base(false)
		cut := b.cut(base)
		c.Append(epoch, cut.panes, wrote(t, s, cut, Header{Epoch: epoch, Step: "s", Groups: keygroup.All, Base: base, Words: 2}), base)
	}
	if len(s.objects) != 1 {
		t.Errorf("%d objects were written", len(s.objects))
	}
}

func TestAFailedPutIsReportedAndTheOthersAreNamed(t *testing.T) {
	smallSegments(t)
	s := newShelf()
	full := errors.New("no space left on device")
	var puts atomic.Int32
	s.put = func(string) error {
		if puts.Add(1) > 4 {
			return full
		}
		return nil
	}
	segs, err := Write(ctx, s, &fakeCut{[]state.PaneInfo{{}}, evenly(200, 1)}, Header{Epoch: 1, Step: "counts", Groups: keygroup.All, Words: 1})
	if !errors.Is(err, full) || !strings.Contains(err.Error(), "counts") {
		t.Error(err)
	}
	if len(segs) != 4 || len(s.objects) != 4 {
		t.Errorf("%d segments are named, %d are there", len(segs), len(s.objects))
	}
}

func TestCancelledWritesAndReadsEnd(t *testing.T) {
	smallSegments(t)
	s := newShelf()
	segs := written(t, s, Header{Epoch: 1, Step: "s", Groups: keygroup.All, Words: 1}, evenly(200, 1))
	ended, cancel := context.WithCancel(ctx)
	cancel()
	s.put = func(string) error { return ended.Err() }
	if _, err := Write(ended, s, &fakeCut{[]state.PaneInfo{{}}, evenly(200, 1)}, Header{Epoch: 2, Step: "s", Groups: keygroup.All, Words: 1}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	stop := errors.New("enough")
	if err := Read(ctx, s, segs, keygroup.All, everyPane, 1, func(*state.Chunk) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}

func TestCutsThatAreNoCutsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		pieces []piece
		h      Header
	}{
		"out of order":   {[]piece{{group: 5}, {group: 4}}, Header{Groups: keygroup.All}},
		"another shard":  {[]piece{{group: 5}}, Header{Groups: keygroup.Range{First: 6, End: 9}}},
		"other words":    {[]piece{{group: 5, keys: []string{"a"}, words: []uint64{1}}}, Header{Groups: keygroup.All, Words: 2}},
		"long name":      {nil, Header{Step: strings.Repeat("x", maxStep+1)}},
		"enormous words": {nil, Header{Words: maxWords + 1}},
	} {
		s := newShelf()
		if _, err := Write(ctx, s, &fakeCut{[]state.PaneInfo{{}}, c.pieces}, c.h); err == nil || len(s.objects) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestARowCostsNoAllocation(t *testing.T) {
	cut := benchCut(20_000)
	var buf []byte
	d := decoder{words: 5}
	round := func() {
		for _, c := range cut.chunks {
			var err error
			if buf, err = appendChunk(buf[:0], c, 5); err != nil {
				t.Fatal(err)
			}
			if _, err := d.decode(buf); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := testing.AllocsPerRun(5, round); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
