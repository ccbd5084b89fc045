package checkpoint

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/keygroup"
)

var ctx = context.Background()

func open(t *testing.T, s Store) *History {
	t.Helper()
	h, err := OpenHistory(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// opened opens a history and claims the opening manifest behind the latest.
func opened(t *testing.T, s Store) (*History, *Manifest) {
	t.Helper()
	h := open(t, s)
	latest, err := h.Latest()
	if err != nil {
		t.Fatal(err)
	}
	m := h.Opening(latest, "p", "test", time.Unix(1, 0))
	if err := h.Claim(ctx, m); err != nil {
		t.Fatal(err)
	}
	return h, m
}

// behind returns a manifest of an epoch behind m with one segment, which it puts.
func behind(t *testing.T, s Store, m *Manifest, epoch uint64) *Manifest {
	t.Helper()
	data := []byte{byte(epoch)}
	seg := Segment{Object: object(int(epoch)), Size: 1, CRC: Checksum(data), Epoch: epoch, Groups: keygroup.All}
	if err := s.Put(ctx, seg.Object, data); err != nil {
		t.Fatal(err)
	}
	n := *m
	n.Epoch, n.Kind, n.Repeats = epoch, Periodic, 0
	n.Steps = []Step{{Name: "s", Shards: []Shard{{Groups: keygroup.All, Segments: []Segment{seg}}}}}
	return &n
}

func wantCode(t *testing.T, err error, code diag.Code) {
	t.Helper()
	var e *diag.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("got %v, want an error %s", err, code)
	}
}

func TestAnOpeningManifestRepeatsTheLatest(t *testing.T) {
	s := newShelf()
	h, m := opened(t, s)
	if m.Epoch != 1 || m.Kind != Opening || m.Origin() != 1 || m.Line != 1 {
		t.Errorf("the first is %+v", m)
	}
	two := behind(t, s, m, 2)
	two.Finished = true
	if err := h.Claim(ctx, two); err != nil {
		t.Fatal(err)
	}
	for want := uint64(3); want < 5; want++ {
		_, m = opened(t, s)
		if m.Epoch != want || m.Kind != Opening || m.Origin() != 2 || !m.Finished || m.Line != 1 || m.Segments()[0].Object != object(2) {
			t.Errorf("it is %+v", m)
		}
	}
	h = open(t, s)
	m, err := h.Load(2)
	if err != nil {
		t.Fatal(err)
	}
	if m = h.Opening(m, "p", "test", time.Unix(1, 0)); m.Epoch != 5 || m.Line != 5 {
		t.Errorf("from an older one it is %+v", m)
	}
}

// TestAnEngineThatGaveAnEpochUpMeetsOneThatHasTakenOver holds the numbers without
// gaps: with them the old engine needs the name that the new one has.
func TestAnEngineThatGaveAnEpochUpMeetsOneThatHasTakenOver(t *testing.T) {
	s := newShelf()
	older, m := opened(t, s)
	_, _ = opened(t, s) // epoch 2
	err := older.Claim(ctx, behind(t, s, m, 3))
	wantCode(t, err, "checkpoint/fenced")
	if !errors.Is(err, ErrExists) {
		t.Errorf("%v does not wrap ErrExists", err)
	}
	if got := s.names(manifestFolder); len(got) != 2 {
		t.Errorf("there are %q", got)
	}
}

func TestTheNumbersOfEpochsThatWereGivenUpAreUsedUp(t *testing.T) {
	s := newShelf()
	h, m := opened(t, s)
	two := behind(t, s, m, 2)
	if err := h.Claim(ctx, two); err != nil {
		t.Fatal(err)
	}
	if err := h.Claim(ctx, behind(t, s, two, 5)); err != nil {
		t.Fatal(err)
	}
	for epoch, origin := range map[uint64]uint64{1: 1, 2: 2, 3: 2, 4: 2, 5: 5} {
		m, err := open(t, s).Load(epoch)
		if err != nil || m.Origin() != origin || (m.Kind == Abandoned) != (epoch != origin) {
			t.Errorf("epoch %d is %+v, %v", epoch, m, err)
		}
	}
}

// TestAnEngineThatSleptGivesWay finds its next number free again, because it was deleted.
func TestAnEngineThatSleptGivesWay(t *testing.T) {
	s := newShelf()
	older, first := opened(t, s)
	h, m := opened(t, s)
	for range 4 {
		m = behind(t, s, m, m.Epoch+1)
		if err := h.Claim(ctx, m); err != nil {
			t.Fatal(err)
		}
		if err := h.Collect(ctx, 2); err != nil {
			t.Fatal(err)
		}
	}
	before := s.names("")
	wantCode(t, older.Claim(ctx, behind(t, s, first, 2)), "checkpoint/fenced")
	s.cut(func(string) bool { return true })
	if got := open(t, s).List(); len(got) != 2 || got[1].Epoch != 6 {
		t.Errorf("behind it there are %+v, before %q", got, before)
	}
}

func TestALatestManifestThatCannotBeReadIsNotSkipped(t *testing.T) {
	s := newShelf()
	h, m := opened(t, s)
	if err := h.Claim(ctx, behind(t, s, m, 2)); err != nil {
		t.Fatal(err)
	}
	s.objects[manifestName(2)].data[30] ^= 1
	h = open(t, s)
	_, err := h.Latest()
	wantCode(t, err, "checkpoint/latest")
	if !strings.Contains(err.Error(), manifestName(2)) {
		t.Errorf("%v does not name it", err)
	}
	if _, err := h.CollectOrphans(ctx, s.now.Add(time.Hour)); err == nil {
		t.Error("orphans were deleted although a manifest cannot be read")
	}
	// Both ways out that the hint names.
	one, err := h.Load(1)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Claim(ctx, h.Opening(one, "p", "test", s.now)); err != nil {
		t.Error(err)
	}
	if err := h.RemoveAll(ctx, h.Opening(nil, "p", "test", s.now)); err != nil {
		t.Error(err)
	}
	if m, err := open(t, s).Latest(); err != nil || m.Epoch != 4 || len(m.Steps) > 0 {
		t.Errorf("the latest is %+v, %v", m, err)
	}
	_, err = open(t, s).Load(77)
	wantCode(t, err, "checkpoint/unknown")
}

func TestAManifestUnderAnotherNameIsDamaged(t *testing.T) {
	s := newShelf()
	_, m := opened(t, s)
	if err := s.Put(ctx, manifestName(9), m.Encode()); err != nil {
		t.Fatal(err)
	}
	_, err := open(t, s).Latest()
	wantCode(t, err, "checkpoint/latest")
}

// TestARunThatBeganAnewNeverGoesOnFromBefore cuts the power at once, and every deletion comes back.
func TestARunThatBeganAnewNeverGoesOnFromBefore(t *testing.T) {
	s := newShelf()
	h, m := opened(t, s)
	if err := h.Claim(ctx, behind(t, s, m, 2)); err != nil {
		t.Fatal(err)
	}
	if err := h.RemoveAll(ctx, h.Opening(nil, "p", "test", s.now)); err != nil {
		t.Fatal(err)
	}
	if got := s.names(manifestFolder); !slices.Equal(got, []string{manifestName(3)}) {
		t.Errorf("there are %q", got)
	}
	s.cut(func(string) bool { return true })
	if m, err := open(t, s).Latest(); err != nil || m.Epoch != 3 || len(m.Steps) > 0 {
		t.Errorf("the latest is %+v, %v", m, err)
	}
}

func TestOrphansAreOldAndUnnamed(t *testing.T) {
	s := newShelf()
	h, m := opened(t, s)
	if err := h.Claim(ctx, behind(t, s, m, 2)); err != nil {
		t.Fatal(err)
	}
	behind(t, s, m, 7) // never decided
	s.now = s.now.Add(2 * time.Hour)
	behind(t, s, m, 8) // never decided, but young
	if n, err := h.CollectOrphans(ctx, s.now.Add(-time.Hour)); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if got := s.names(chunkFolder); !slices.Equal(got, []string{object(2), object(8)}) {
		t.Errorf("there are %q", got)
	}
}

func TestObjectsOfAnEpochThatWasGivenUpGoBehindTheNextDecision(t *testing.T) {
	s := newShelf()
	h, m := opened(t, s)
	h.Discard(behind(t, s, m, 2).Segments())
	three := behind(t, s, m, 3)
	h.Discard(three.Segments()) // wrongly: it is named after all
	if err := h.Claim(ctx, three); err != nil {
		t.Fatal(err)
	}
	if err := h.Collect(ctx, 3); err != nil {
		t.Fatal(err)
	}
	if got := s.names(chunkFolder); !slices.Equal(got, []string{object(3)}) {
		t.Errorf("there are %q", got)
	}
}

func TestASavepointIsACompleteCopy(t *testing.T) {
	s := newShelf()
	_, m := opened(t, s)
	m = behind(t, s, m, 2)
	to := newShelf()
	if err := CopyTo(ctx, s, m, to); err != nil {
		t.Fatal(err)
	}
	h := open(t, to)
	got, err := h.Latest()
	if err != nil || got.Epoch != 2 {
		t.Fatalf("the copy is %+v, %v", got, err)
	}
	if _, err := GetSegment(ctx, to, got.Segments()[0]); err != nil {
		t.Error(err)
	}
	if o := open(t, newShelf()).Opening(got, "p", "test", s.now); o.Epoch != 3 || o.Line != 3 {
		t.Errorf("a new store begins with %+v", o)
	}
	wantCode(t, CopyTo(ctx, s, m, to), "checkpoint/occupied")

	s.objects[object(2)].data[0]++
	wantCode(t, CopyTo(ctx, s, m, newShelf()), "checkpoint/object")
	delete(s.objects, object(2))
	empty := newShelf()
	wantCode(t, CopyTo(ctx, s, m, empty), "checkpoint/object")
	if len(empty.objects) > 0 {
		t.Errorf("a copy that failed left %v", empty.names(""))
	}
}

func TestReadErrorsOfTheStoreAreNotDamage(t *testing.T) {
	s := newShelf()
	_, m := opened(t, s)
	m = behind(t, s, m, 2)
	broken := errors.New("the network is gone")
	s.get = func(string) error { return broken }
	_, err := GetSegment(ctx, s, m.Segments()[0])
	var e *diag.Error
	if !errors.Is(err, broken) || errors.As(err, &e) {
		t.Error(err)
	}
	if _, err := open(t, s).Latest(); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestClaimsThatCannotBeReadAgainAreRefused(t *testing.T) {
	s := newShelf()
	h, m := opened(t, s)
	wrong := behind(t, s, m, 2)
	wrong.Steps[0].Shards[0].Groups.End = 7
	for _, m := range []*Manifest{wrong, behind(t, s, m, 1), behind(t, s, m, 5000)} {
		if err := h.Claim(ctx, m); err == nil {
			t.Errorf("epoch %d was taken", m.Epoch)
		}
	}
	if err := open(t, newShelf()).Claim(ctx, behind(t, s, m, 1)); err == nil {
		t.Error("an epoch without an opening manifest was taken")
	}
	if got := s.names(manifestFolder); len(got) != 1 {
		t.Errorf("there are %q", got)
	}
}
