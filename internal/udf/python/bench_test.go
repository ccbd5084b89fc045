package python

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/udf"
)

// BenchmarkCall is the whole loop of a z-score over three float64 columns: copy
// in, wake-up, NumPy, copy out, read. Every result is compared with the row's own.
func BenchmarkCall(b *testing.B) {
	for _, workers := range []int{1, 2} {
		for _, rows := range []int{256, 1024, 8192, 65536} {
			b.Run(fmt.Sprintf("workers=%d/rows=%d", workers, rows), func(b *testing.B) {
				benchmarkCall(b, workers, rows)
			})
		}
	}
}

func benchmarkCall(b *testing.B, workers, rows int) {
	p := mustOpen(b, Spec{Name: "anomaly_score", File: "testdata/score.py", Workers: workers, Args: []batch.Kind{f64, f64, f64}}, Options{})
	args := floats(3, rows, func(c, i int) float64 { return float64((i+c)%97 + 1) })
	defer args.Release()
	want := scores(args)
	ctx := context.Background()
	var flying []udf.Call
	wait := func() {
		r, err := flying[0].Wait(ctx)
		if err != nil || len(r.Failures) > 0 {
			b.Fatal(err, r.Failures)
		}
		if !slices.Equal(r.Batch.Col(0).Float64s()[:rows], want) {
			b.Fatal("wrong result")
		}
		r.Batch.Release()
		flying = append(flying[:0], flying[1:]...)
	}
	b.ReportAllocs()
	for b.Loop() {
		c, err := p.Start(ctx, args)
		if err != nil {
			b.Fatal(err)
		}
		if flying = append(flying, c); len(flying) == slots*workers {
			wait()
		}
	}
	for len(flying) > 0 {
		wait()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
}

func scores(args *batch.Batch) []float64 {
	want := make([]float64, args.Len())
	x, m, s := args.Col(0).Float64s(), args.Col(1).Float64s(), args.Col(2).Float64s()
	for i := range want {
		want[i] = (x[i] - m[i]) / s[i]
	}
	return want
}

// BenchmarkLatency is the time that a call of 1,024 rows takes at 1,000 calls a
// second, when both sides have gone to sleep in between. The time of the function
// itself (a few microseconds) is in it.
func BenchmarkLatency(b *testing.B) {
	const rows = 1024
	p := mustOpen(b, Spec{Name: "anomaly_score", File: "testdata/score.py", Args: []batch.Kind{f64, f64, f64}}, Options{})
	args := floats(3, rows, func(c, i int) float64 { return float64((i+c)%97 + 1) })
	defer args.Release()
	want := scores(args)
	ctx := context.Background()
	var took []time.Duration
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for b.Loop() {
		<-tick.C
		start := time.Now()
		c, err := p.Start(ctx, args)
		if err != nil {
			b.Fatal(err)
		}
		r, err := c.Wait(ctx)
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
		if !slices.Equal(r.Batch.Col(0).Float64s()[:rows], want) {
			b.Fatal("wrong result")
		}
		r.Batch.Release()
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, "p99-us")
}
