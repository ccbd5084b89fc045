package table

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
)

// cutWindow makes the rows of n devices at a time, as window does, in the order of a hash table.
func cutWindow(start int64, n int) []*batch.Batch {
	var out []*batch.Batch
	for _, b := range window(start) {
		switch {
		case n >= b.Len():
			n -= b.Len()
			out = append(out, b)
		case n > 0:
			b.SetLen(n)
			n = 0
			out = append(out, b)
		default:
			b.Release()
		}
	}
	return out
}

// BenchmarkEpoch takes epochs of some rows from Write to the end of Commit, beside
// the same rows through the writer without epochs, which flushes where the other
// commits. The two take turns, so that their ratio is one of the same minute.
func BenchmarkEpoch(b *testing.B) {
	for _, n := range []int{5000, 50_000, 500_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchEpochs(b, n) })
	}
}

func benchEpochs(b *testing.B, n int) {
	ctx := b.Context()
	x, err := Registration.NewEpochSink(settings(byDevice, 0), connector.SinkEnv{Name: "epochs", Schema: readings, DataDir: b.TempDir(), FS: vfs.Default})
	if err != nil {
		b.Fatal(err)
	}
	if err := x.Recover(ctx, 0, nil); err != nil {
		b.Fatal(err)
	}
	w, err := x.Writer(ctx, connector.WriterEnv{})
	if err != nil {
		b.Fatal(err)
	}
	direct := sink(b, b.TempDir(), "direct", settings(byDevice, 0), readings, nil)
	var write, prepare, persist, commit, plain, cpu, plainCPU time.Duration
	start, id := int64(0), uint64(0)
	lap := func(d *time.Duration, f func() error) {
		from := time.Now()
		if err := f(); err != nil {
			b.Fatal(err)
		}
		*d += time.Since(from)
	}
	for b.Loop() {
		b.StopTimer()
		start += 10 * second
		id++
		first, again := cutWindow(start, n), cutWindow(start, n)
		b.StartTimer()
		from := processor(b)
		lap(&write, func() error {
			for _, x := range first {
				if err := w.Write(ctx, x); err != nil {
					return err
				}
			}
			return nil
		})
		var p connector.Prepared
		var c connector.Committable
		lap(&prepare, func() (err error) { p, err = w.Prepare(ctx, connector.Epoch{ID: id}); return err })
		lap(&persist, func() (err error) { c, err = p.Persist(ctx); return err })
		lap(&commit, func() error { return x.Commit(ctx, id, []connector.Committable{c}) })
		cpu += processor(b) - from
		from = processor(b)
		lap(&plain, func() error {
			for _, x := range again {
				if err := direct.Write(ctx, x); err != nil {
					return err
				}
			}
			return direct.Flush(ctx)
		})
		plainCPU += processor(b) - from
	}
	rows, epochs := float64(n)*float64(b.N), float64(b.N)
	all := write + prepare + persist + commit
	b.ReportMetric(rows/all.Seconds()/1e6, "Mrows/s")
	b.ReportMetric(rows/plain.Seconds()/1e6, "direct-Mrows/s")
	b.ReportMetric(float64(all)/float64(plain), "x-direct")
	b.ReportMetric(float64(cpu)/float64(plainCPU), "x-direct-cpu")
	b.ReportMetric(float64(prepare.Microseconds())/epochs, "us-prepare")
	b.ReportMetric(float64(persist.Microseconds())/1e3/epochs, "ms-persist")
	b.ReportMetric(float64(commit.Microseconds())/1e3/epochs, "ms-commit")
	b.StopTimer()
	finish(b, direct)
	if err := x.Close(); err != nil {
		b.Fatal(err)
	}
}
