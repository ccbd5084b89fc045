package table

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gorge-stream/gorge/internal/batch"
)

const benchRows = 500_000

// window makes the rows of one closed window in the order of a hash table.
func window(start int64) []*batch.Batch {
	pool := batch.NewPool(readings, 4096)
	order := rand.New(rand.NewPCG(1, uint64(start))).Perm(benchRows)
	var out []*batch.Batch
	for from := 0; from < benchRows; from += 4096 {
		b := pool.Get()
		n := min(4096, benchRows-from)
		for i := range n {
			d := order[from+i]
			b.Col(0).SetText(i, fmt.Sprintf("dev-%08d", d))
			b.Col(1).Int64s()[i] = start
			b.Col(2).Float64s()[i] = float64(d) / 8
			b.Col(3).Int64s()[i] = int64(d)
		}
		b.SetLen(n)
		out = append(out, b)
	}
	return out
}

// verify reads a whole window back.
func verify(b *testing.B, s *store, start int64) {
	b.Helper()
	d := newDefinition("bench", byDevice, readings, 0)
	t, err := s.table(d)
	if err != nil {
		b.Fatal(err)
	}
	defer t.close()
	l := make([]limits, 2)
	eq := string(appendTime(nil, start))
	l[1].eq = &eq
	c, refusal := t.bind(l, false)
	if refusal != nil {
		b.Fatal(refusal)
	}
	it, err := newScan(t, c, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer it.close()
	r := t.reader(it, []int{0, 1, 2, 3})
	pool := batch.NewPool(t.def.schema([]int{0, 1, 2, 3}), 1000)
	rows := 0
	for {
		it.steps = 0
		x := pool.Get()
		n, _, err := r.batch(x, 1000)
		if err != nil {
			b.Fatal(err)
		}
		for i := range n {
			if want := fmt.Sprintf("dev-%08d", rows); x.Col(0).Text(i) != want || x.Col(1).Int64s()[i] != start ||
				x.Col(3).Int64s()[i] != int64(rows) || x.Col(2).Float64s()[i] != float64(rows)/8 {
				b.Fatalf("row %d is %s", rows, x.Col(0).Text(i))
			}
			rows++
		}
		x.Release()
		if n == 0 {
			break
		}
	}
	if rows != benchRows {
		b.Fatalf("%d rows", rows)
	}
}

// processor returns the processor time that the process has taken, compactions included.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func report(b *testing.B, used time.Duration) {
	rows := benchRows * float64(b.N)
	b.ReportMetric(rows/b.Elapsed().Seconds()/1e6, "Mrows/s")
	b.ReportMetric(rows/used.Seconds()/1e6, "Mrows/cpu-s")
	b.StopTimer()
}

// BenchmarkUpsertWindow writes closed windows of 500,000 rows one after the
// other and reads the last one back, first as the sink does it, then with the
// same rows in the order of their hash and a batch per 1,000.
func BenchmarkUpsertWindow(b *testing.B) {
	b.Run("sink", func(b *testing.B) {
		w := sink(b, b.TempDir(), "bench", settings(byDevice, 0), readings, http.NewServeMux())
		start, used := int64(0), time.Duration(0)
		for b.Loop() {
			b.StopTimer()
			start += 10 * second
			rows := window(start)
			before := processor(b)
			b.StartTimer()
			for _, x := range rows {
				if err := w.Write(b.Context(), x); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
			used += processor(b) - before
		}
		report(b, used)
		verify(b, w.table.store, start)
		finish(b, w)
	})
	b.Run("naive", func(b *testing.B) {
		w := sink(b, b.TempDir(), "bench", settings(byDevice, 0), readings, http.NewServeMux())
		db := w.table.store.db
		start, used := int64(0), time.Duration(0)
		for b.Loop() {
			b.StopTimer()
			start += 10 * second
			rows := window(start)
			before := processor(b)
			b.StartTimer()
			batches := db.NewBatch()
			for _, x := range rows {
				for i := range x.Len() {
					key := appendPrefix(nil, w.table.def.ID, 0)
					key = appendKeyColumn(appendKeyColumn(key, x.Col(0), i), x.Col(1), i)
					if err := batches.Set(key, appendRow(nil, []*batch.Column{x.Col(2), x.Col(3)}, i), nil); err != nil {
						b.Fatal(err)
					}
					if batches.Count() == 1000 {
						if err := batches.Commit(pebble.NoSync); err != nil {
							b.Fatal(err)
						}
						batches = db.NewBatch()
					}
				}
				x.Release()
			}
			if err := batches.Commit(pebble.NoSync); err != nil {
				b.Fatal(err)
			}
			used += processor(b) - before
		}
		report(b, used)
		verify(b, w.table.store, start)
		finish(b, w)
	})
}
