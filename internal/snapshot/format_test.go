package snapshot

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/state"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var ctx = context.Background()

const long = "a key of more than twelve bytes"

// samples are pieces with something of everything, by ascending group.
func samples() []piece {
	out := []piece{
		{pane: 60_000_000, keys: []string{"dev-1"}, words: []uint64{1, 2}},
		{pane: -60_000_000, keys: []string{"dev-2"}, words: []uint64{1<<64 - 1, 0}, texts: "texts\x00", deleted: []string{"dev-2"}},
		{pane: 7, deleted: []string{long}},
		{pane: 7, keys: []string{long}, words: []uint64{5, 6}},
		{pane: 7, keys: []string{""}, words: []uint64{7, 8}},
		{pane: 7, keys: []string{null}, words: []uint64{9, 10}, texts: strings.Repeat("x", 20)},
	}
	for i, p := range out {
		out[i].group = group(append(p.keys, p.deleted...)[0])
	}
	slices.SortStableFunc(out, func(a, b piece) int { return int(a.group) - int(b.group) })
	return out
}

var sampleHeader = Header{Epoch: 42, Run: 40, Step: "per_minute", Groups: keygroup.All, Base: keygroup.Range{First: 100, End: 700}, Words: 2}

// written writes pieces as one cut.
func written(t testing.TB, s checkpoint.Store, h Header, pieces []piece) []checkpoint.Segment {
	t.Helper()
	segs, err := Write(ctx, s, &fakeCut{[]state.PaneInfo{{ID: 7}}, pieces}, h)
	if err != nil {
		t.Fatal(err)
	}
	return segs
}

func sample(t testing.TB) (*shelf, checkpoint.Segment) {
	t.Helper()
	s := newShelf()
	return s, written(t, s, sampleHeader, samples())[0]
}

func TestSegmentsOnDiskDoNotChange(t *testing.T) {
	const path = "testdata/segment.golden"
	s, seg := sample(t)
	got := hex.Dump(s.objects[seg.Object])
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test ./internal/snapshot -update writes it)", err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("the format has changed, so that its version must:\n%s", d)
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	s, seg := sample(t)
	o, err := open(s.objects[seg.Object])
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sampleHeader, o.header); d != "" {
		t.Error(d)
	}
	var got []piece
	all, base, err := o.walk(func(c *state.Chunk) error { got = append(got, plain(c)); return nil })
	if err != nil || all != seg.Rows || base != seg.BaseRows || all != 7 {
		t.Errorf("%d rows, %d in the base, of %d and %d: %v", all, base, seg.Rows, seg.BaseRows, err)
	}
	if d := cmp.Diff(dump(samples()), dump(got)); d != "" {
		t.Error(d)
	}
}

func TestKeysOfEveryLengthTogether(t *testing.T) {
	for _, list := range [][]string{
		{"", null, "a", "twelve bytes", "thirteen byte", strings.Repeat("long", 5000)},
		{null}, {null, null}, {null, "a"}, {"abc", "def"}, {strings.Repeat("x", 13), strings.Repeat("y", 13)}, {"abcdefghijkl", "123456789012"},
	} {
		p := piece{pane: 1, group: 3, keys: list, words: make([]uint64, len(list)), deleted: list}
		data, err := appendChunk(nil, p.chunk(), 1)
		if err != nil {
			t.Fatal(err)
		}
		d := decoder{words: 1}
		c, err := d.decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if got := plain(c); !slices.Equal(got.keys, list) || !slices.Equal(got.deleted, list) {
			t.Errorf("%.60q became %.60q and %.60q", list, got.keys, got.deleted)
		}
	}
}

// TestEveryChangedOrMissingByteOfASegmentIsFound looks at the segment alone, without
// what the manifest knows of it.
func TestEveryChangedOrMissingByteOfASegmentIsFound(t *testing.T) {
	s, seg := sample(t)
	good := s.objects[seg.Object]
	decode := func(data []byte) error {
		o, err := open(data)
		if err == nil {
			_, _, err = o.walk(func(*state.Chunk) error { return nil })
		}
		return err
	}
	if err := decode(good); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			if decode(bad) == nil {
				t.Fatalf("byte %d with bit %d changed was taken", i, bit)
			}
		}
		if decode(good[:i]) == nil || decode(good[i:]) == nil && i > 0 {
			t.Fatalf("a segment cut at byte %d was taken", i)
		}
	}
}

// TestDamageIsNamed restores and verifies after each kind of damage.
func TestDamageIsNamed(t *testing.T) {
	for name, damage := range map[string]func(s *shelf, seg *checkpoint.Segment){
		"a byte":         func(s *shelf, seg *checkpoint.Segment) { s.objects[seg.Object][60] ^= 4 },
		"cut short":      func(s *shelf, seg *checkpoint.Segment) { s.objects[seg.Object] = s.objects[seg.Object][:99] },
		"gone":           func(s *shelf, seg *checkpoint.Segment) { delete(s.objects, seg.Object) },
		"other epoch":    func(_ *shelf, seg *checkpoint.Segment) { seg.Epoch++ },
		"other groups":   func(_ *shelf, seg *checkpoint.Segment) { seg.Groups.End-- },
		"other base":     func(_ *shelf, seg *checkpoint.Segment) { seg.Base.End++ },
		"other size":     func(_ *shelf, seg *checkpoint.Segment) { seg.Size++ },
		"other checksum": func(_ *shelf, seg *checkpoint.Segment) { seg.CRC++ },
		"another's bytes": func(s *shelf, seg *checkpoint.Segment) {
			s.objects[seg.Object] = []byte("GORGESEG and no more")
			resum(s, seg)
		},
	} {
		s, seg := sample(t)
		damage(s, &seg)
		step := checkpoint.Step{Name: "per_minute", Shards: []checkpoint.Shard{{Groups: keygroup.All, Panes: []checkpoint.Pane{{ID: 7, Born: 1}}, Segments: []checkpoint.Segment{seg}}}}
		err := Restore(ctx, s, step, keygroup.All, 2, func(*state.Chunk) error { return nil })
		problems := Verify(ctx, s, &checkpoint.Manifest{Steps: []checkpoint.Step{step}})
		if len(problems) != 1 {
			t.Errorf("%s: verify reports %v", name, problems)
			continue
		}
		for _, err := range []error{err, problems[0]} {
			var e *diag.Error
			if !errors.As(err, &e) || e.Code != "checkpoint/object" || !strings.Contains(err.Error(), seg.Object) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// resum makes size and checksum those of the bytes in the store.
func resum(s *shelf, seg *checkpoint.Segment) {
	seg.Size, seg.CRC = int64(len(s.objects[seg.Object])), checkpoint.Checksum(s.objects[seg.Object])
}

func TestVerifyFindsWhatChecksumsCannot(t *testing.T) {
	for want, change := range map[string]func(s *shelf, seg *checkpoint.Segment, step *string){
		"SHA-256": func(s *shelf, seg *checkpoint.Segment, _ *string) {
			s.objects["chunks/other"] = s.objects[seg.Object]
			seg.Object = "chunks/other"
		},
		"it is of step": func(_ *shelf, _ *checkpoint.Segment, step *string) { *step = "per_hour" },
		"it has 7 rows": func(_ *shelf, seg *checkpoint.Segment, _ *string) { seg.Rows++ },
		"belongs to the key group": func(s *shelf, seg *checkpoint.Segment, _ *string) {
			p := samples()
			p[0].group = 0
			*seg = written(t, s, sampleHeader, p)[0]
		},
	} {
		s, seg := sample(t)
		name := "per_minute"
		change(s, &seg, &name)
		m := &checkpoint.Manifest{Steps: []checkpoint.Step{{Name: name, Shards: []checkpoint.Shard{{Groups: keygroup.All, Segments: []checkpoint.Segment{seg, seg}}}}}}
		if got := Verify(ctx, s, m); len(got) != 1 || !strings.Contains(got[0].Error(), want) {
			t.Errorf("want %q, got %v", want, got)
		}
	}
}

func TestRecordsOfAnotherLengthAreRefused(t *testing.T) {
	s, seg := sample(t)
	err := Read(ctx, s, []checkpoint.Segment{seg}, keygroup.All, func(int64) (uint64, bool) { return 0, true }, 3, func(*state.Chunk) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "2 words") {
		t.Error(err)
	}
}

func FuzzSegment(f *testing.F) {
	s, seg := sample(f)
	good := s.objects[seg.Object]
	f.Add(good, false)
	f.Add(good, true)
	f.Add(appendIndex(appendHeader(nil, &sampleHeader), nil), true)
	f.Fuzz(func(t *testing.T, data []byte, repair bool) {
		if repair {
			data = repaired(bytes.Clone(data))
		}
		o, err := open(data)
		if err != nil {
			return
		}
		_, _, _ = o.walk(func(c *state.Chunk) error {
			if len(c.Words) != len(c.Keys.Views)*o.header.Words {
				t.Fatal("another number of words than the records have")
			}
			_ = plain(c) // touches every byte
			return nil
		})
	})
}

// repaired makes the checksums of a segment right as far as it can be taken apart, so
// that fuzzing comes behind them.
func repaired(data []byte) []byte {
	put := func(at, from, to int) {
		if at >= 0 && at+4 <= len(data) && from >= 0 && from <= to && to <= len(data) {
			sum := checkpoint.Checksum(data[from:to])
			copy(data[at:], []byte{byte(sum), byte(sum >> 8), byte(sum >> 16), byte(sum >> 24)})
		}
	}
	if len(data) < headerBytes+trailerBytes {
		return data
	}
	n := headerBytes + (int(data[headerBytes-2]) | int(data[headerBytes-1])<<8)
	put(8, 12, n)
	end := len(data) - trailerBytes
	count := int(data[end+4]) | int(data[end+5])<<8
	put(end, end-count*entryBytes, end)
	for at := n; at+8 < end; {
		length := int(data[at]) | int(data[at+1])<<8
		put(at+4, at+8, at+8+length)
		at += 8 + length
	}
	return data
}
