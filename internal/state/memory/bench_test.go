package memory

import (
	"fmt"
	"testing"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
)

// encoded is batches of random keys below n, ready for Locate.
func encoded(batches, n int) []*state.Keys {
	pool := batch.NewPool(schema, 1024)
	x := uint64(1)
	var out []*state.Keys
	for range batches {
		b := pool.Get()
		for i := range 1024 {
			x = x*6364136223846793005 + 1442695040888963407
			b.Col(0).SetText(i, fmt.Sprintf("dev-%07d", x>>33%uint64(n)))
		}
		b.SetLen(1024)
		k := *state.NewKeyEncoder(schema, []int{0}).Encode(b)
		k.Views = append([]batch.View(nil), k.Views...)
		out = append(out, &k)
		b.Release()
	}
	return out
}

// BenchmarkTracking reports the time per row to locate and update records of
// 500,000 keys without marks, and with them: in turn, so that the ratio holds.
func BenchmarkTracking(b *testing.B) {
	const keys = 500_000
	s := New(state.Layout{Init: []uint64{0, 0, 0}}, keygroup.All)
	defer s.Close()
	located(b, s, keys)
	p, err := s.pane(0)
	if err != nil {
		b.Fatal(err)
	}
	batches := encoded(200, keys)
	var refs [1024]record.Ref
	var took [2]time.Duration
	rows := 0
	for i := 0; b.Loop(); i++ {
		if i%2 == 0 {
			p.refresh()
		} else {
			p.track()
		}
		start := time.Now()
		for _, k := range batches {
			if err := p.Locate(k, refs[:]); err != nil {
				b.Fatal(err)
			}
			for _, r := range refs {
				*p.Block().Int(r, 0)++
			}
		}
		took[i%2] += time.Since(start)
		rows += 1024 * len(batches)
	}
	off, on := float64(took[0].Nanoseconds())/float64(rows)*2, float64(took[1].Nanoseconds())/float64(rows)*2
	b.ReportMetric(off, "ns/row-off")
	b.ReportMetric(on, "ns/row-on")
	b.ReportMetric(on/off, "on/off")
}

// BenchmarkCut reports how long a cut of 500,000 records of 5 and 7 words holds up the
// task, with all of them and with 5 % changed, and how long reading it takes.
func BenchmarkCut(b *testing.B) {
	const keys = 500_000
	for _, words := range []int{3, 5} {
		for _, changed := range []int{keys, keys / 20} {
			b.Run(fmt.Sprintf("%d bytes, %d changed", (keyWords+words)*8, changed), func(b *testing.B) {
				s := New(state.Layout{Init: make([]uint64, words)}, keygroup.All)
				defer s.Close()
				located(b, s, keys)
				cutOnce(b, s)
				batches := encoded(changed/1024, keys)
				var refs [1024]record.Ref
				var least, reading time.Duration
				for b.Loop() {
					p, err := s.pane(0)
					if err != nil {
						b.Fatal(err)
					}
					if changed == keys {
						p.refresh()
					}
					for _, k := range batches {
						if err := p.Locate(k, refs[:]); err != nil {
							b.Fatal(err)
						}
					}
					pause, read := cutOnce(b, s)
					if least == 0 || pause < least {
						least = pause
					}
					reading += read
				}
				b.ReportMetric(float64(least.Microseconds()), "us-pause-least")
				b.ReportMetric(float64(reading.Microseconds())/float64(b.N), "us-read")
			})
		}
	}
}

// cutOnce returns how long the cut and how long reading it took.
func cutOnce(b *testing.B, s *Backend) (pause, read time.Duration) {
	start := time.Now()
	c, err := s.Cut(keygroup.Range{})
	if err != nil {
		b.Fatal(err)
	}
	pause = time.Since(start)
	if err := c.Chunks(func(*state.Chunk) error { return nil }); err != nil {
		b.Fatal(err)
	}
	read = time.Since(start) - pause
	c.Release()
	return pause, read
}

// BenchmarkLoad reports the time to load 500,000 records.
func BenchmarkLoad(b *testing.B) {
	s := New(state.Layout{Init: []uint64{0, 0, 0}}, keygroup.All)
	defer s.Close()
	located(b, s, 500_000)
	c, err := s.Cut(keygroup.All)
	if err != nil {
		b.Fatal(err)
	}
	var chunks []state.Chunk
	if err := c.Chunks(func(c *state.Chunk) error {
		own := state.Chunk{Pane: c.Pane, Group: c.Group, Words: append([]uint64(nil), c.Words...)}
		own.Keys.Views = append([]batch.View(nil), c.Keys.Views...)
		chunks = append(chunks, own)
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		to := New(state.Layout{Init: []uint64{0, 0, 0}}, keygroup.All)
		for i := range chunks {
			if err := to.Load(&chunks[i]); err != nil {
				b.Fatal(err)
			}
		}
		to.Close()
	}
}
