package memory

import (
	"fmt"
	"os"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
	"github.com/gorge-stream/gorge/internal/state/statetest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if n := batch.Live(); n != 0 && code == 0 {
		fmt.Fprintf(os.Stderr, "%d batches leaked\n", n)
		code = 1
	}
	os.Exit(code)
}

func TestConformance(t *testing.T) {
	statetest.Run(t, func(l state.Layout, g keygroup.Range) state.Backend { return New(l, g) })
}

func TestDurable(t *testing.T) {
	statetest.RunDurable(t, func(l state.Layout, g keygroup.Range) statetest.DurableBackend { return New(l, g) })
}

var schema = &batch.Schema{Time: -1, Fields: []batch.Field{{Name: "k", Kind: batch.String}}}

// located fills a pane with n keys of 11 bytes in batches of 1,024.
func located(tb testing.TB, s *Backend, n int) {
	tb.Helper()
	pool := batch.NewPool(schema, 1024)
	enc := state.NewKeyEncoder(schema, []int{0})
	var refs [1024]record.Ref
	for from := 0; from < n; from += 1024 {
		p, err := s.Pane(0)
		if err != nil {
			tb.Fatal(err)
		}
		b := pool.Get()
		rows := min(1024, n-from)
		for i := range rows {
			b.Col(0).SetText(i, fmt.Sprintf("dev-%07d", from+i))
		}
		b.SetLen(rows)
		if err := p.Locate(enc.Encode(b), refs[:]); err != nil {
			tb.Fatal(err)
		}
		b.Release()
	}
}

func TestAnAverageTakesAtMost72BytesPerKey(t *testing.T) {
	const keys = 500_000
	s := New(state.Layout{Init: []uint64{0, 0, 0}}, keygroup.All) // count, sum, compensation
	defer s.Close()
	for round := range 2 { // grown, and made with the size of the one before
		located(t, s, keys)
		if per := float64(s.Bytes()) / keys; per > 72 {
			t.Errorf("round %d: %.1f bytes per key", round, per)
		}
		s.Drop(0)
	}
}

func TestLocateAllocatesNothingOnceTheTableIsThere(t *testing.T) {
	s := New(state.Layout{Init: []uint64{0, 0}}, keygroup.All)
	defer s.Close()
	located(t, s, 10_000)
	pool := batch.NewPool(schema, 1024)
	enc := state.NewKeyEncoder(schema, []int{0})
	b := pool.Get()
	defer b.Release()
	for i := range 1024 {
		b.Col(0).SetText(i, fmt.Sprintf("dev-%07d", i))
	}
	b.SetLen(1024)
	var refs [1024]record.Ref
	p, err := s.Pane(0)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(20, func() {
		if err := p.Locate(enc.Encode(b), refs[:]); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkLocate reports the time per row to find the records of 500,000 keys,
// beside a Go map of the same keys.
func BenchmarkLocate(b *testing.B) {
	const keys = 500_000
	s := New(state.Layout{Init: []uint64{0, 0, 0}}, keygroup.All)
	defer s.Close()
	located(b, s, keys)
	pool := batch.NewPool(schema, 1024)
	enc := state.NewKeyEncoder(schema, []int{0})
	var batches []*batch.Batch
	x := uint64(1)
	for range 512 {
		bt := pool.Get()
		for i := range 1024 {
			x = x*6364136223846793005 + 1442695040888963407
			bt.Col(0).SetText(i, fmt.Sprintf("dev-%07d", x>>33%keys))
		}
		bt.SetLen(1024)
		batches = append(batches, bt)
	}
	var refs [1024]record.Ref
	p, err := s.Pane(0)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("table", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if err := p.Locate(enc.Encode(batches[i%len(batches)]), refs[:]); err != nil {
				b.Fatal(err)
			}
			for _, r := range refs {
				*p.Block().Int(r, 0)++
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1024, "ns/row")
	})
	b.Run("go map", func(b *testing.B) {
		m := map[string]*[3]uint64{}
		for i := range keys {
			m[fmt.Sprintf("dev-%07d", i)] = new([3]uint64)
		}
		for i := 0; b.Loop(); i++ {
			bt := batches[i%len(batches)]
			for r := range 1024 {
				m[bt.Col(0).Text(r)][0]++
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1024, "ns/row")
	})
	for _, bt := range batches {
		bt.Release()
	}
}

// TestKeysThatLookAlikeKeepTheirRecords gives long keys of one length and
// beginning the same hash: only their bytes tell them apart, also within a batch.
func TestKeysThatLookAlikeKeepTheirRecords(t *testing.T) {
	s := New(state.Layout{Init: []uint64{0}}, keygroup.All)
	defer s.Close()
	s.hint = 1000 // growing would hash the keys anew
	pool := batch.NewPool(schema, 64)
	b := pool.Get()
	defer b.Release()
	for i := range 40 {
		b.Col(0).SetText(i, fmt.Sprintf("the same beginning %02d", i%20))
	}
	b.SetLen(40)
	k := *state.NewKeyEncoder(schema, []int{0}).Encode(b)
	for i := range k.Hashes {
		k.Hashes[i] = 12345 << 40
	}
	p, err := s.Pane(0)
	if err != nil {
		t.Fatal(err)
	}
	var first, again [40]record.Ref
	for _, refs := range []*[40]record.Ref{&first, &again} {
		if err := p.Locate(&k, refs[:]); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[record.Ref]int{}
	for i, r := range first {
		if again[i] != r || first[i%20] != r {
			t.Errorf("key %d is at %d, then at %d, and its twin at %d", i%20, r, again[i], first[i%20])
		}
		seen[r]++
	}
	if len(seen) != 20 {
		t.Errorf("20 keys have %d records", len(seen))
	}
}

// TestLoadingInTheOrderOfTheHashesIsNotSlow would take minutes if records that come
// group by group crowded at the start of tables too small for all of them.
func TestLoadingInTheOrderOfTheHashesIsNotSlow(t *testing.T) {
	from := New(state.Layout{Init: []uint64{0}}, keygroup.All)
	defer from.Close()
	to := New(state.Layout{Init: []uint64{0}}, keygroup.All)
	defer to.Close()
	for _, keys := range []int{100_000, 400_000} { // the second time most are new
		located(t, from, keys)
		c, err := from.Cut(keygroup.All)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Chunks(to.Load); err != nil {
			t.Fatal(err)
		}
		c.Release()
		if p, err := to.pane(0); err != nil || p.n != keys {
			t.Fatalf("%d records of %d, %v", p.n, keys, err)
		}
		if got, limit := to.Bytes(), 2*from.Bytes(); got > limit {
			t.Errorf("%d bytes after loading %d records, want at most %d", got, keys, limit)
		}
	}
}
