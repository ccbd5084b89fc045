package table

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sort"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
)

// The bounds of what a writer gathers before it sorts and writes: the rows of a
// closed window fit, and the more rows are sorted together the better.
const (
	gatherBytes = 32 << 20
	gatherRows  = 1 << 20
	commitBytes = 1 << 20
)

// writer is the sink writer of one task.
type writer struct {
	table *table
	dead  func(code, reason string, row []byte)
	// onClose takes the table off the API and releases the store.
	onClose func() error

	keyCols []int           // positions in the batch, in order of the key
	valCols []int           // positions in the batch in order of the definition, -1: not made any more
	timeCol int             // position in the batch of the time of the buckets, -1: one bucket
	cols    []*batch.Column // scratch: valCols of the current batch

	arena   []byte
	items   []item // of the rows in the arena
	newest  uint64 // latest bucket among them
	sorter  sorter
	touched byte // keeps the touching of rows ahead from being optimised away
	pending *pebble.Batch
	closed  bool
}

var _ connector.SinkWriter = (*writer)(nil)

func newWriter(t *table, schema *batch.Schema) *writer {
	w := &writer{table: t, timeCol: -1, pending: t.store.db.NewBatchWithSize(commitBytes + commitBytes/8)}
	for _, k := range t.def.Key {
		w.keyCols = append(w.keyCols, schema.Index(k))
	}
	for _, v := range t.vals {
		w.valCols = append(w.valCols, schema.Index(t.def.Columns[v].Name))
	}
	w.cols = make([]*batch.Column, len(w.valCols))
	if t.def.Width > 0 {
		w.timeCol = w.keyCols[t.def.timeKey()]
	}
	return w
}

// Write gathers the rows of b; it writes them when enough have come together.
func (w *writer) Write(ctx context.Context, b *batch.Batch) error {
	defer b.Release()
	for k, c := range w.valCols {
		w.cols[k] = nil
		if c >= 0 {
			w.cols[k] = b.Col(c)
		}
	}
	for i := range b.Len() {
		w.add(b, i)
		if len(w.arena) >= gatherBytes || len(w.items) >= gatherRows {
			if err := w.Flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// add puts row i into the arena.
func (w *writer) add(b *batch.Batch, i int) {
	off := len(w.arena)
	start := off + rowHead
	bucket := uint64(0)
	if w.timeCol >= 0 {
		if c := b.Col(w.timeCol); c.IsNull(i) {
			bucket = noTime
		} else {
			bucket = bucketOf(c.Int64s()[i], w.table.def.Width)
			w.newest = max(w.newest, bucket)
		}
	}
	a := binary.LittleEndian.AppendUint64(w.arena, 0) // rowHead
	a = appendPrefix(a, w.table.def.ID, bucket)
	for _, c := range w.keyCols {
		a = appendKeyColumn(a, b.Col(c), i)
	}
	key := len(a) - start
	a = appendRow(a, w.cols, i)
	value := len(a) - start - key
	if key-prefixLen > maxKeyBytes || value > maxRowBytes {
		w.arena = a[:off]
		w.dead("too_long", fmt.Sprintf("key of %d and values of %d bytes: a table takes %d and %d", key-prefixLen, value, maxKeyBytes, maxRowBytes),
			appendJSONRow(nil, b, i))
		return
	}
	binary.LittleEndian.PutUint32(a[off:], uint32(key))
	binary.LittleEndian.PutUint32(a[off+4:], uint32(value))
	w.arena = a
	w.items = append(w.items, item{off: uint32(off)})
}

// Flush sorts and writes what was gathered. When it returns, reads see the rows.
func (w *writer) Flush(context.Context) error {
	if len(w.items) == 0 {
		return nil
	}
	defer func() { w.arena, w.items, w.newest = w.arena[:0], w.items[:0], 0 }()
	first := w.table.keepFrom(w.newest)
	w.sorter.sort(w.arena, w.items)
	old := sort.Search(len(w.items), func(i int) bool { return binary.BigEndian.Uint64(w.sorter.key(w.items[i])[4:]) >= first })
	w.table.expired.Add(int64(old))
	if err := w.write(w.items[old:]); err != nil {
		return fmt.Errorf("write table %s: %w", w.table.def.Name, err)
	}
	w.table.fresh.Add(int64(len(w.items) - old))
	return w.table.drop(first)
}

// ahead is how many rows before its turn a row is touched: in order of keys the
// arena is read all over, and misses that overlap cost a fraction.
const ahead = 16

// write commits rows in order, of each key the last (T1).
func (w *writer) write(sorted []item) error {
	touched := byte(0)
	for n, i := range sorted {
		if n+ahead < len(sorted) {
			touched |= w.arena[sorted[n+ahead].off]
		}
		key, value := rowAt(w.arena, i.off)
		if n+1 < len(sorted) && bytes.Equal(key, w.sorter.key(sorted[n+1])) {
			continue
		}
		if err := w.pending.Set(key, value, nil); err != nil {
			return err
		}
		if w.pending.Len() >= commitBytes {
			if err := w.commit(); err != nil {
				return err
			}
		}
	}
	w.touched = touched
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

// Prepare writes what was gathered; a table takes no part in epochs.
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
	if n := w.table.expired.Load(); n > 0 {
		w.table.store.log.Warn("rows were not written because they were older than retain", "table", w.table.def.Name, "rows", n)
	}
	return errors.Join(err, w.pending.Close(), w.onClose())
}
