package table

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
)

// commitBytes is the size of the batches of a writer without epochs.
const commitBytes = 1 << 20

// writer is the sink writer of one task in a job without epochs.
type writer struct {
	*encoder
	// onClose takes the table off the API and releases the store.
	onClose func() error

	rows    gathered
	pending *pebble.Batch
	closed  bool
}

var _ connector.SinkWriter = (*writer)(nil)

func newWriter(e *encoder, onClose func() error) *writer {
	return &writer{encoder: e, onClose: onClose, pending: e.table.store.db.NewBatchWithSize(commitBytes + commitBytes/8)}
}

// Write gathers the rows of b; it writes them when enough have come together.
func (w *writer) Write(ctx context.Context, b *batch.Batch) error {
	defer b.Release()
	w.begin(b)
	for i := range b.Len() {
		w.add(&w.rows, b, i)
		if w.rows.full(gatherBytes) {
			if err := w.Flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// Flush sorts and writes what was gathered. When it returns, reads see the rows.
func (w *writer) Flush(context.Context) error {
	if len(w.rows.items) == 0 {
		return nil
	}
	defer w.rows.reset()
	first := w.table.keepFrom(w.rows.newest)
	w.table.expired.Add(int64(w.rows.sort(first)))
	if err := w.write(); err != nil {
		return fmt.Errorf("write table %s: %w", w.table.def.Name, err)
	}
	w.table.fresh.Add(int64(len(w.rows.items)))
	return w.table.drop(first)
}

// write commits the rows in order.
func (w *writer) write() error {
	err := w.rows.each(func(key, value []byte) error {
		if err := w.pending.Set(key, value, nil); err != nil {
			return err
		}
		if w.pending.Len() >= commitBytes {
			return w.commit()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.commit()
}

func (w *writer) commit() error {
	if w.pending.Empty() {
		return nil
	}
	if err := w.pending.Commit(pebble.NoSync); err != nil {
		return err
	}
	w.pending.Reset()
	return nil
}

// Prepare is for writers of a connector.Sink alone.
func (w *writer) Prepare(ctx context.Context, _ connector.Epoch) (connector.Prepared, error) {
	return nil, w.Flush(ctx)
}

// Close writes what was gathered and makes all of it durable, whether or not the
// input ended well: an upsert is never half of something.
func (w *writer) Close(ctx context.Context, _ bool) error {
	if w.closed {
		return nil
	}
	w.closed = true
	err := w.Flush(ctx)
	if err == nil {
		err = w.table.store.db.LogData(nil, pebble.Sync)
	}
	w.table.sayExpired()
	return errors.Join(err, w.pending.Close(), w.onClose())
}

// sayExpired tells how many rows were too old.
func (t *table) sayExpired() {
	if n := t.expired.Load(); n > 0 {
		t.store.log.Warn("rows were not written because they were older than retain", "table", t.def.Name, "rows", n)
	}
}
