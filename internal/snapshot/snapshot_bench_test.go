package snapshot

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/state"
)

// benchCut is a cut of n records of 5 words, count, sum, compensation, least and
// greatest of readings with one decimal, with keys of 11 bytes.
func benchCut(n int) *heldCut {
	r := rand.New(rand.NewPCG(1, 2))
	byGroup := make([][]string, keygroup.Count)
	for i := range n {
		k := fmt.Sprintf("dev-%07d", i)
		byGroup[group(k)] = append(byGroup[group(k)], k)
	}
	c := &heldCut{}
	for g, list := range byGroup {
		p := piece{pane: 1_700_000_000_000_000, group: keygroup.Group(g), keys: list}
		for range list {
			count := uint64(r.IntN(50) + 1)
			p.words = append(p.words, count, math.Float64bits(float64(count)*20.3+r.Float64()), math.Float64bits(r.Float64()*1e-15),
				math.Float64bits(float64(r.IntN(400))/10), math.Float64bits(float64(r.IntN(400))/10))
		}
		if len(list) > 0 {
			c.chunks = append(c.chunks, p.chunk())
		}
	}
	return c
}

// heldCut is a cut of chunks that are there already.
type heldCut struct{ chunks []*state.Chunk }

func (c *heldCut) Panes() []state.PaneInfo { return []state.PaneInfo{{ID: 1_700_000_000_000_000}} }
func (c *heldCut) Release()                {}
func (c *heldCut) Chunks(f func(*state.Chunk) error) error {
	for _, p := range c.chunks {
		if err := f(p); err != nil {
			return err
		}
	}
	return nil
}

// sink takes objects and keeps the first copy of each, so that the benchmark is not one of memory.
type sink struct{ *shelf }

func (s sink) Put(_ context.Context, name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.objects[name]; !ok {
		s.objects[name] = slices.Clone(data)
	}
	return nil
}

const benchRows = 500_000

func BenchmarkWrite(b *testing.B) {
	cut, s := benchCut(benchRows), sink{newShelf()}
	h := Header{Epoch: 1, Step: "s", Groups: keygroup.All, Base: keygroup.All, Words: 5}
	b.ReportAllocs()
	var segs []checkpoint.Segment
	for b.Loop() {
		var err error
		if segs, err = Write(ctx, s, cut, h); err != nil {
			b.Fatal(err)
		}
	}
	size := int64(0)
	for _, x := range segs {
		size += x.Size
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRows, "ns/row")
	b.ReportMetric(float64(size)/benchRows, "bytes/row")
}

// BenchmarkEncode is Write without the store and checksums by name.
func BenchmarkEncode(b *testing.B) {
	cut := benchCut(benchRows)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		for _, c := range cut.chunks {
			var err error
			if buf, err = appendChunk(buf[:0], c, 5); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRows, "ns/row")
}

func BenchmarkRead(b *testing.B) {
	cut, s := benchCut(benchRows), sink{newShelf()}
	segs, err := Write(ctx, s, cut, Header{Epoch: 1, Step: "s", Groups: keygroup.All, Base: keygroup.All, Words: 5})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		rows := 0
		if err := Read(ctx, s, segs, keygroup.All, func(int64) (uint64, bool) { return 1, true }, 5, func(c *state.Chunk) error {
			rows += len(c.Keys.Views)
			return nil
		}); err != nil || rows != benchRows {
			b.Fatal(rows, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRows, "ns/row")
}

func BenchmarkSHA256(b *testing.B) {
	data := make([]byte, 8<<20)
	b.SetBytes(8 << 20)
	for b.Loop() {
		sha256.Sum256(data)
	}
}
