package connectortest

import (
	"context"
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec/codectest"
	"github.com/gorge-stream/gorge/internal/connector"
)

// Chunks is the schema of the batches that sinks of bytes take.
var Chunks = &batch.Schema{Time: -1, Fields: []batch.Field{{Name: "payload", Kind: batch.Binary}}}

// SinkCase is a sink under test.
type SinkCase struct {
	// Schema is that of the rows; nil means Chunks with a line of text a row.
	Schema *batch.Schema
	// New makes a writer to a fresh place and returns it with a function that
	// tells, after the writer was closed, what arrived there.
	New func(t testing.TB) (w connector.SinkWriter, output func() string)
	// Row is row i, with the Go types of codectest.SetRow; nil means values made up for the kinds of the schema.
	Row func(i int) []any
	// Want is the output of n rows; nil: only compared among runs.
	Want func(n int) string
}

// Line is the chunk that the suite writes as row i to sinks of bytes.
func Line(i int) string { return fmt.Sprintf("row %d of the suite\n", i) }

// sinkRows is how many rows a run writes.
const sinkRows = 150

// Sink runs the suite.
func Sink(t *testing.T, c SinkCase) {
	t.Helper()
	if c.Schema == nil {
		c.Schema = Chunks
		c.Row = func(i int) []any { return []any{[]byte(Line(i))} }
	}
	if c.Row == nil {
		c.Row = func(i int) []any { return madeUp(c.Schema, i) }
	}
	leaks := goleak.IgnoreCurrent()
	before := batch.Live()
	t.Run("batches and flushes do not change the output", c.alike)
	t.Run("no row at all", c.empty)
	t.Run("shared batches stay as they are", c.shared)
	t.Run("a cancelled context", c.cancelled)
	t.Run("an incomplete end", c.incomplete)
	if after := batch.Live(); after != before {
		t.Errorf("%d batches leaked", after-before)
	}
	goleak.VerifyNone(t, leaks)
}

// madeUp returns values for row i, with a null here and there.
func madeUp(s *batch.Schema, i int) []any {
	row := make([]any, len(s.Fields))
	for j, f := range s.Fields {
		switch f.Kind {
		case batch.Bool:
			row[j] = i%3 == 0
		case batch.Int32:
			row[j] = int32(i) - 7
		case batch.Int64:
			row[j] = int64(i) << 33
		case batch.Float32:
			row[j] = float32(i) / 4
		case batch.Float64:
			row[j] = float64(i) / 10
		case batch.String:
			row[j] = fmt.Sprintf("text number %d", i)
		case batch.Binary:
			row[j] = []byte{byte(i), 0, 0xFF}
		case batch.Timestamp:
			row[j] = int64(1_700_000_000_000_000) + int64(i)*1_000_001
		}
		if f.Nullable && (i+j)%5 == 0 {
			row[j] = nil
		}
	}
	return row
}

// fill returns the rows [from, to) as one batch.
func (c *SinkCase) fill(pool *batch.Pool, from, to int) *batch.Batch {
	b := pool.Get()
	for i := from; i < to; i++ {
		codectest.SetRow(b, i-from, c.Row(i))
	}
	b.SetLen(to - from)
	return b
}

func (c *SinkCase) run(t *testing.T, rows, size, flushEvery int) string {
	t.Helper()
	pool := batch.NewPool(c.Schema, size)
	w, output := c.New(t)
	for i, n := 0, 1; i < rows; i, n = i+size, n+1 {
		if err := w.Write(t.Context(), c.fill(pool, i, min(i+size, rows))); err != nil {
			t.Fatalf("Write: %v", err)
		}
		if flushEvery > 0 && n%flushEvery == 0 {
			if err := w.Flush(t.Context()); err != nil {
				t.Fatalf("Flush: %v", err)
			}
		}
	}
	if err := w.Flush(t.Context()); err != nil {
		t.Fatalf("Flush at the end: %v", err)
	}
	closeTwice(t, "writer", func() error { return w.Close(t.Context(), true) })
	return output()
}

func (c *SinkCase) alike(t *testing.T) {
	first := c.run(t, sinkRows, sinkRows, 0)
	if c.Want != nil {
		if want := c.Want(sinkRows); first != want {
			t.Fatalf("got  %.500q\nwant %.500q", first, want)
		}
	}
	for _, v := range []struct{ size, flush int }{{1, 0}, {1, 1}, {7, 3}, {64, 1}} {
		if got := c.run(t, sinkRows, v.size, v.flush); got != first {
			t.Errorf("batches of %d, a flush every %d\ngot  %.500q\nwant %.500q", v.size, v.flush, got, first)
		}
	}
}

func (c *SinkCase) empty(t *testing.T) {
	got := c.run(t, 0, 1, 0)
	if c.Want != nil && got != c.Want(0) {
		t.Errorf("got %q, want %q", got, c.Want(0))
	}
	pool := batch.NewPool(c.Schema, 4)
	w, output := c.New(t)
	if err := w.Write(t.Context(), pool.Get()); err != nil {
		t.Errorf("Write of an empty batch: %v", err)
	}
	closeTwice(t, "writer", func() error { return w.Close(t.Context(), true) })
	if o := output(); o != got {
		t.Errorf("an empty batch gives %q, no batch %q", o, got)
	}
}

func (c *SinkCase) shared(t *testing.T) {
	pool := batch.NewPool(c.Schema, 10)
	w, _ := c.New(t)
	b := c.fill(pool, 0, 10)
	want := codectest.Rows(b)
	b.Retain()
	if err := w.Write(t.Context(), b); err != nil {
		t.Fatalf("Write: %v", err)
	}
	if err := w.Flush(t.Context()); err != nil {
		t.Fatalf("Flush: %v", err)
	}
	if diff := codectest.EqualRows(codectest.Rows(b), want); diff != "" {
		t.Errorf("Write changed a shared batch: %s", diff)
	}
	closeTwice(t, "writer", func() error { return w.Close(t.Context(), true) })
	if !b.Sole() {
		t.Error("the writer still holds the batch behind Close")
	}
	b.Release()
}

func (c *SinkCase) cancelled(t *testing.T) {
	pool := batch.NewPool(c.Schema, 10)
	w, _ := c.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = w.Write(ctx, c.fill(pool, 0, 10)) // it fails or not; that the batch is released is seen at the end of the suite
	_ = w.Flush(ctx)
	closeTwice(t, "writer", func() error { return w.Close(t.Context(), false) })
}

func (c *SinkCase) incomplete(t *testing.T) {
	pool := batch.NewPool(c.Schema, 10)
	w, _ := c.New(t)
	if err := w.Write(t.Context(), c.fill(pool, 0, 10)); err != nil {
		t.Fatalf("Write: %v", err)
	}
	closeTwice(t, "writer", func() error { return w.Close(t.Context(), false) })
}
