package table

import (
	"context"
	"encoding/binary"
	"hash/crc32"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/failpoint"
)

// epochWriter is the writer of one task of an epochSink.
type epochWriter struct {
	*encoder
	sink *epochSink
	task uint32
	rows *gathered
	open *mark // of the epoch under way
}

var _ connector.SinkWriter = (*epochWriter)(nil)

// begun starts an epoch behind another.
func (w *epochWriter) begun(after uint64) {
	w.open = &mark{table: w.table.def.ID, task: w.task, stage: after + 1}
}

// Write gathers the rows of b. What does not fit into memory is staged as a sorted run.
func (w *epochWriter) Write(ctx context.Context, b *batch.Batch) error {
	defer b.Release()
	w.begin(b)
	for i := range b.Len() {
		w.add(w.rows, b, i)
		if w.rows.full(w.sink.sizes.gather) {
			if err := w.spill(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *epochWriter) spill(ctx context.Context) error {
	cut := w.table.keepFrom(w.rows.newest)
	if err := w.table.store.do(ctx, func() error { return w.sink.stage(w.open, w.rows, cut) }); err != nil {
		return err // the buffer may still be in use
	}
	w.rows.reset()
	pointSpilled.Hit()
	return nil
}

// Flush does nothing: rows come out with their epoch.
func (w *epochWriter) Flush(context.Context) error { return nil }

// Prepare cuts the output: the writer goes on with another buffer.
func (w *epochWriter) Prepare(_ context.Context, e connector.Epoch) (connector.Prepared, error) {
	m := w.open
	m.epoch = e.ID
	p := &prepared{sink: w.sink, mark: m}
	if len(w.rows.items) > 0 || len(m.runs) > 0 {
		m.cut = w.table.keepFrom(w.rows.newest)
		p.rows, w.rows = w.rows, w.sink.buffer()
	}
	w.begun(e.ID)
	pointCut.Hit()
	return p, nil
}

// Close ends the writer. What was not prepared is no output.
func (w *epochWriter) Close(context.Context, bool) error { return nil }

// prepared is the output of one writer in one epoch.
type prepared struct {
	sink *epochSink
	mark *mark
	rows *gathered // those that were not spilled; nil: the epoch has no rows
}

// Persist stages the rows and makes them durable. An epoch without rows has a mark,
// too: it is the witness of what the store must hold.
func (p *prepared) Persist(ctx context.Context) (connector.Committable, error) {
	s, m := p.sink, p.mark
	m.before = s.applied.Load()
	err := s.table.store.do(ctx, func() error {
		if p.rows != nil {
			if err := s.stage(m, p.rows, m.cut); err != nil {
				return err
			}
		}
		pointWritten.Hit()
		return s.sync(len(m.runs) > 0)
	})
	if err != nil {
		return nil, err
	}
	pointStaged.Hit()
	if p.rows != nil {
		s.recycle(p.rows)
	}
	if failpoint.Bug("table-applied-before-decision") && len(m.runs) > 0 {
		if err := s.apply([]*mark{m}, pebble.NoSync); err != nil {
			return nil, err
		}
	}
	return m.marshal(), nil
}

// sync makes durable what was staged, and the epoch that was applied before.
func (s *epochSink) sync(staged bool) error {
	behind := s.unsynced.Swap(false)
	if !staged && (!behind || failpoint.Bug("table-witness-without-sync")) {
		return nil
	}
	if staged && failpoint.Bug("table-staged-without-sync") {
		return nil
	}
	if err := s.table.store.db.LogData(nil, pebble.Sync); err != nil {
		return s.writeError(err)
	}
	return nil
}

// stage sorts the rows and writes them as a run of the mark, without those in buckets before cut.
func (s *epochSink) stage(m *mark, g *gathered, cut uint64) error {
	s.table.expired.Add(int64(g.sort(cut)))
	first, next := m.chunks(), m.chunks()
	chunk := append(g.chunk[:0], chunkVersion)
	put := func() error {
		sum := crc32.Checksum(chunk, castagnoli)
		chunk = binary.LittleEndian.AppendUint32(chunk, sum)
		if err := s.table.store.db.Set(stagedKey(m.table, m.stage, m.task, next), chunk, pebble.NoSync); err != nil {
			return s.writeError(err)
		}
		m.bytes += uint64(len(chunk))
		m.sum ^= sumOf(next, sum)
		next++
		chunk = append(chunk[:0], chunkVersion)
		return nil
	}
	err := g.each(func(key, value []byte) error {
		if len(chunk) > 1 && len(chunk)+len(key)+len(value) > s.sizes.chunk {
			if err := put(); err != nil {
				return err
			}
		}
		m.rows++
		chunk = appendChunkRow(chunk, key, value)
		return nil
	})
	if err == nil && len(chunk) > 1 {
		err = put()
	}
	g.chunk = chunk
	if next > first {
		m.runs = append(m.runs, next-first)
	}
	return err
}
