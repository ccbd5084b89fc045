package table

import (
	"bytes"
	"container/heap"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gorge-stream/gorge/internal/failpoint"
)

// apply brings the staged rows that marks name into the table, together with the
// latest of their epochs. Reads see all of it or nothing.
func (s *epochSink) apply(marks []*mark, o *pebble.WriteOptions) error {
	size, rows, cut, epoch := uint64(0), uint64(0), uint64(0), uint64(0)
	for _, m := range marks {
		size += m.bytes
		rows += m.rows
		cut = max(cut, m.cut)
		epoch = max(epoch, m.epoch)
	}
	runs := s.runs(marks)
	defer func() {
		for _, r := range runs {
			r.close()
		}
	}()
	var err error
	if size > uint64(s.sizes.batch) {
		err = s.applyFiles(marks, runs, cut, epoch, o)
	} else {
		err = s.applyBatch(marks, runs, cut, epoch, int(size+rows), o)
	}
	if err != nil {
		return err
	}
	s.unsynced.Store(true)
	s.applied.Store(epoch)
	s.table.fresh.Add(int64(rows))
	s.table.kept(cut)
	pointApplied.Hit()
	return nil
}

// applyBatch writes everything as one batch, whose record in the log is whole or not there.
func (s *epochSink) applyBatch(marks []*mark, runs []*run, cut, epoch uint64, size int, o *pebble.WriteOptions) error {
	const more = 64 << 10 // for the keys that are not rows
	b := s.table.store.db.NewBatchWithSize(size + more)
	defer b.Close()
	if err := s.dropInto(b, cut); err != nil {
		return err
	}
	for _, r := range runs {
		for {
			some, err := r.next()
			if err != nil {
				return err
			}
			if !some {
				break
			}
			if bucketIn(r.key) < cut {
				continue
			}
			if err := b.Set(r.key, r.value, nil); err != nil {
				return s.writeError(err)
			}
		}
	}
	if err := s.whole(marks, runs); err != nil {
		return err
	}
	pointCollected.Hit()
	if err := s.seededBugs(marks, epoch); err != nil {
		return err
	}
	err := errors.Join(s.forget(b, marks), b.Set(epochKey(tagApplied, s.table.def.ID), appliedValue(epoch), nil))
	if err == nil {
		err = b.Commit(o)
	}
	if err != nil {
		return s.writeError(err)
	}
	return nil
}

// seededBugs does what must not be done before the batch, in builds that prove that the tests would notice.
func (s *epochSink) seededBugs(marks []*mark, epoch uint64) error {
	db := s.table.store.db
	if failpoint.Bug("table-staged-rows-deleted-first") {
		b := db.NewBatch()
		return errors.Join(s.forget(b, marks), b.Commit(pebble.Sync))
	}
	if failpoint.Bug("table-epoch-outside-of-the-batch") {
		return db.Set(epochKey(tagApplied, s.table.def.ID), appliedValue(epoch), pebble.Sync)
	}
	return nil
}

// forget deletes staged rows that are in the table.
func (s *epochSink) forget(b *pebble.Batch, marks []*mark) error {
	for _, m := range marks {
		for n := range m.chunks() {
			if err := b.Delete(stagedKey(m.table, m.stage, m.task, n), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropInto adds the removal of the buckets before cut, if there is anything in them.
func (s *epochSink) dropInto(b *pebble.Batch, cut uint64) error {
	t := s.table
	t.mu.Lock()
	first := t.first
	t.mu.Unlock()
	if cut <= first {
		return nil
	}
	from, to := appendPrefix(nil, t.def.ID, 0), appendPrefix(nil, t.def.ID, cut)
	some, err := t.store.any(from, to)
	if err != nil {
		return t.store.readError(err)
	}
	if some {
		err = b.DeleteRange(from, to, nil)
	}
	if err != nil {
		return s.writeError(err)
	}
	return nil
}

// whole proves that what was read is what was staged.
func (s *epochSink) whole(marks []*mark, runs []*run) error {
	for _, m := range marks {
		rows, sum := uint64(0), uint32(0)
		for _, r := range runs {
			if r.mark == m {
				rows += r.rows
				sum ^= r.sum
			}
		}
		if rows != m.rows || sum != m.sum {
			return s.lost(m, fmt.Errorf("%d rows are there with the checksum %08x, it should be %08x", rows, sum, m.sum))
		}
	}
	return nil
}

// lost is the error when staged rows are not there any more.
func (s *epochSink) lost(m *mark, cause error) error {
	return s.refuse("table/rows-lost", "%d rows of epoch %d of the table %s were decided and are not in %s any more",
		m.rows, m.epoch, s.table.def.Name, s.table.store.dir).WithCause(cause)
}

// run reads one sorted run of staged rows.
type run struct {
	sink  *epochSink
	mark  *mark
	at    int    // the place of the run: of equal keys the row of the last run counts
	chunk uint32 // the next one
	end   uint32
	left  []byte    // rows of the open chunk
	open  io.Closer // of the open chunk
	rows  uint64
	sum   uint32

	key, value []byte // valid until the next call
}

// runs returns the runs of marks in the order in which their rows count.
func (s *epochSink) runs(marks []*mark) (out []*run) {
	for _, m := range marks {
		chunk := uint32(0)
		for _, n := range m.runs {
			out = append(out, &run{sink: s, mark: m, at: len(out), chunk: chunk, end: chunk + n})
			chunk += n
		}
	}
	return out
}

// next moves to the next row.
func (r *run) next() (some bool, err error) {
	for len(r.left) == 0 {
		if r.close(); r.chunk == r.end {
			return false, nil
		}
		if err := r.turn(); err != nil {
			return false, err
		}
	}
	if r.key, r.value, r.left, err = cutChunkRow(r.left, r.mark.table); err != nil {
		return false, r.sink.lost(r.mark, err)
	}
	r.rows++
	return true, nil
}

// turn opens the next chunk.
func (r *run) turn() error {
	m := r.mark
	p, open, err := r.sink.table.store.db.Get(stagedKey(m.table, m.stage, m.task, r.chunk))
	if errors.Is(err, pebble.ErrNotFound) {
		return r.sink.lost(m, fmt.Errorf("part %d of %d is missing", r.chunk+1, m.chunks()))
	}
	if err != nil {
		return r.sink.table.store.readError(err)
	}
	r.open = open
	left, sum, err := openChunk(p)
	if err != nil {
		return r.sink.lost(m, err)
	}
	r.left = left
	r.sum ^= sumOf(r.chunk, sum)
	r.chunk++
	return nil
}

// close lets go of the open chunk.
func (r *run) close() {
	if r.open != nil {
		_ = r.open.Close() // it frees memory and cannot fail
		r.open = nil
	}
}

// merge is a heap of runs by their current keys.
type merge []*run

// Len is the number of runs that have a row.
func (h merge) Len() int { return len(h) }

// Less orders by key, equal keys by age.
func (h merge) Less(i, j int) bool {
	c := bytes.Compare(h[i].key, h[j].key)
	return c < 0 || c == 0 && h[i].at < h[j].at
}

// Swap swaps two runs.
func (h merge) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push is of no use: the runs are known from the start.
func (h *merge) Push(any) {}

// Pop takes the last run away.
func (h *merge) Pop() any {
	*h = (*h)[:len(*h)-1]
	return nil
}

// each calls fn for the rows of all runs in order of their keys, of equal keys for the last.
func each(runs []*run, fn func(key, value []byte) error) error {
	var h merge
	for _, r := range runs {
		some, err := r.next()
		if err != nil {
			return err
		}
		if some {
			h = append(h, r)
		}
	}
	heap.Init(&h)
	var key, value []byte
	for len(h) > 0 {
		if key != nil && !bytes.Equal(key, h[0].key) {
			if err := fn(key, value); err != nil {
				return err
			}
		}
		key, value = append(key[:0], h[0].key...), append(value[:0], h[0].value...)
		some, err := h[0].next()
		switch {
		case err != nil:
			return err
		case some:
			heap.Fix(&h, 0)
		default:
			heap.Pop(&h)
		}
	}
	if key == nil {
		return nil
	}
	return fn(key, value)
}
