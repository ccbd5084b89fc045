package snapshot

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/checkpoint/dir"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
	"github.com/gorge-stream/gorge/internal/state/memory"
)

const (
	manyKeys    = 10_000_000
	manyChanged = manyKeys / 20 // from cut to cut
)

// bump adds one to the first word of the records of keys that next returns, n of them.
func bump(b *testing.B, s *memory.Backend, n int, next func() int) {
	p, err := s.Pane(60)
	if err != nil {
		b.Fatal(err)
	}
	var refs [1024]record.Ref
	k := state.Keys{Views: make([]batch.View, 0, len(refs)), Hashes: make([]uint64, 0, len(refs))}
	key := []byte("dev-0000000")
	for left := n; left > 0; {
		rows := min(left, len(refs))
		left -= rows
		k.Views, k.Hashes = k.Views[:0], k.Hashes[:0]
		for range rows {
			for v, at := next(), len(key)-1; at >= len("dev-"); at-- {
				key[at] = byte('0' + v%10)
				v /= 10
			}
			v := batch.InlineView(key)
			k.Views = append(k.Views, v)
			k.Hashes = append(k.Hashes, state.HashKey(&v, nil))
		}
		if err := p.Locate(&k, refs[:rows]); err != nil {
			b.Fatal(err)
		}
		for _, r := range refs[:rows] {
			*p.Block().Int(r, 0)++
		}
	}
}

// contents adds up a backend: what is there, in no order.
func contents(b *testing.B, s *memory.Backend) (rows int, sum uint64) {
	p, err := s.Pane(60)
	if err != nil {
		b.Fatal(err)
	}
	var refs [1024]record.Ref
	var k state.Keys
	for cursor := uint64(0); ; {
		var n int
		if n, cursor = p.Scan(cursor, refs[:]); n == 0 {
			return rows, sum
		}
		k.Reset()
		p.Keys(refs[:n], &k)
		for i, r := range refs[:n] {
			sum += state.HashKey(&k.Views[i], k.Arena) * uint64(*p.Block().Int(r, 0))
		}
		rows += n
	}
}

// BenchmarkDelta cuts 10 million keys of which 5 % change from cut to cut, each one
// once, and reports the bytes that a checkpoint writes over those of the changed
// records with their keys, rotating bases among them. At the end all of it is
// restored and compared.
func BenchmarkDelta(b *testing.B) {
	const words = 3
	layout := state.Layout{Init: make([]uint64, words)}
	store, err := dir.Open(vfs.Default, filepath.Join(b.TempDir(), "checkpoints"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	s, c := memory.New(layout, keygroup.All), NewChain(keygroup.All)
	defer func() { s.Close() }()
	i := -1
	bump(b, s, manyKeys, func() int { i++; return i })
	order := rand.New(rand.NewPCG(1, 2)).Perm(manyKeys)
	change := func() { bump(b, s, manyChanged, func() int { i = (i + 1) % manyKeys; return order[i] }) }
	whole, _, _ := timedCut(b, store, s, c, 1)
	change() // the first one behind a whole cut has no base yet
	timedCut(b, store, s, c, 2)
	epoch, delta := uint64(2), int64(0)
	var pauses, writes []time.Duration
	for b.Loop() {
		b.StopTimer()
		change()
		b.StartTimer()
		epoch++
		n, pause, write := timedCut(b, store, s, c, epoch)
		delta += n
		pauses, writes = append(pauses, pause), append(writes, write)
	}
	b.StopTimer()
	slices.Sort(pauses)
	slices.Sort(writes)
	b.ReportMetric(float64(delta)/float64(b.N)/(manyChanged*(float64(len("dev-0000000"))+8*words)), "x-changed-bytes")
	b.ReportMetric(float64(delta)/float64(b.N)/1e6, "MB-written")
	b.ReportMetric(float64(whole)/1e6, "MB-whole")
	b.ReportMetric(float64(pauses[len(pauses)/2].Microseconds())/1e3, "ms-pause")
	b.ReportMetric(float64(writes[len(writes)/2].Microseconds())/1e3, "ms-write")
	rows, sum := contents(b, s)
	s.Close()
	s = memory.New(layout, keygroup.All)
	begin := time.Now()
	if err := Restore(b.Context(), store, checkpoint.Step{Shards: []checkpoint.Shard{c.Shard()}}, keygroup.All, words, s.Load); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(time.Since(begin).Seconds(), "s-restore")
	if gotRows, got := contents(b, s); gotRows != rows || got != sum || rows != manyKeys {
		b.Fatalf("%d records were restored, of %d, or not with what they had", gotRows, rows)
	}
	reportSyncs(b)
}

// timedCut takes one cut into the store and returns the bytes written and the times.
func timedCut(b *testing.B, store checkpoint.Store, s *memory.Backend, c *Chain, epoch uint64) (bytes int64, pause, write time.Duration) {
	base := c.Base(false)
	begin := time.Now()
	cut, err := s.Cut(base)
	if err != nil {
		b.Fatal(err)
	}
	defer cut.Release()
	pause = time.Since(begin)
	segs, err := Write(b.Context(), store, cut, Header{Epoch: epoch, Step: "s", Groups: keygroup.All, Base: base, Words: 3})
	if err != nil {
		b.Fatal(err)
	}
	write = time.Since(begin) - pause
	c.Append(epoch, cut.Panes(), segs, base)
	for _, s := range segs {
		bytes += s.Size
	}
	return bytes, pause, write
}

// reportSyncs measures this disk: 4 KiB appended and synced.
func reportSyncs(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "probe"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	took := make([]time.Duration, 500)
	page := make([]byte, 4096)
	for i := range took {
		if _, err := f.Write(page); err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		took[i] = time.Since(begin)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "p50-fsync-us")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, "p99-fsync-us")
}
