package python

import (
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
)

var f64 = batch.Float64

func TestResultsOfAVectorisedFunctionAreThoseOfTheRows(t *testing.T) {
	p := mustOpen(t, Spec{Name: "anomaly_score", File: "testdata/score.py", Version: 2, Workers: 2, Args: []batch.Kind{f64, f64, f64}}, Options{})
	if got := p.Signature().Version; got != 2 {
		t.Errorf("version %d", got)
	}
	for _, rows := range []int{0, 1, 63, 64, 1024, 8192, 8193, 65536} {
		args := floats(3, rows, func(c, i int) float64 { return float64((i+c)%97 + 1) })
		r := run(t, p, args)
		if r.Batch.Len() != rows || len(r.Failures) != 0 {
			t.Fatalf("%d rows: got %d, failures %v", rows, r.Batch.Len(), r.Failures)
		}
		x, m, s := args.Col(0).Float64s(), args.Col(1).Float64s(), args.Col(2).Float64s()
		for i, got := range r.Batch.Col(0).Float64s()[:rows] {
			if want := (x[i] - m[i]) / s[i]; got != want {
				t.Fatalf("%d rows: row %d is %v, expected %v", rows, i, got, want)
			}
		}
		r.Batch.Release()
		args.Release()
	}
}
