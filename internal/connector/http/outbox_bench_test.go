package httpio

import (
	"net/http"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec/codectest"
	"github.com/gorge-stream/gorge/internal/connector"
)

// atOnce is a receiver that costs nothing.
type atOnce struct{}

func (atOnce) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusNoContent, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// BenchmarkOutbox takes rows from the writer over the disk to a receiver that
// answers at once: what the sink itself costs.
func BenchmarkOutbox(b *testing.B) {
	for _, size := range []int64{1, 100} {
		b.Run(map[int64]string{1: "rows", 100: "hundreds"}[size], func(b *testing.B) {
			s := testOutbox(b, vfs.Default, atOnce{}, map[string]any{"batch": size})
			s.root = b.TempDir()
			must(b, s.Recover(b.Context(), 0, nil))
			w, err := s.Writer(b.Context(), connector.WriterEnv{})
			must(b, err)
			const epochRows = 10_000
			rows := batch.NewPool(alerts, 1000).Get()
			for i := range 1000 {
				codectest.SetRow(rows, i, alertRow(i))
			}
			rows.SetLen(1000)
			epoch := uint64(0)
			for b.Loop() {
				for range epochRows / 1000 {
					rows.Retain()
					must(b, w.Write(b.Context(), rows))
				}
				epoch++
				p, err := w.Prepare(b.Context(), connector.Epoch{ID: epoch})
				must(b, err)
				c, err := p.Persist(b.Context())
				must(b, err)
				must(b, s.Commit(b.Context(), epoch, []connector.Committable{c}))
			}
			must(b, s.await(b.Context(), nil, s.idle))
			b.ReportMetric(float64(b.N)*epochRows/b.Elapsed().Seconds(), "rows/s")
			rows.Release()
			must(b, w.Close(b.Context(), false))
			must(b, s.Close())
		})
	}
}
