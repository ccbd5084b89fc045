package table

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/failpoint"
)

// The points of an epoch of a table, in order.
var (
	pointSpilled    = failpoint.New("table/rows-spilled")
	pointCut        = failpoint.New("table/epoch-cut")
	pointWritten    = failpoint.New("table/rows-staged")
	pointStaged     = failpoint.New("table/staged-rows-synced")
	pointCollected  = failpoint.New("table/staged-rows-collected")
	pointFiled      = failpoint.New("table/files-written")
	pointIngested   = failpoint.New("table/files-ingested")
	pointApplied    = failpoint.New("table/epoch-applied")
	pointReapplied  = failpoint.New("table/recovery-applied")
	pointRecovered  = failpoint.New("table/recovery-cleared")
	pointFreshStart = failpoint.New("table/fresh-start")
)

// sizes bound an epoch in memory.
type sizes struct {
	gather int // bytes of rows that a writer keeps in memory
	chunk  int // bytes of a staged record, about
	batch  int // bytes of staged rows that are applied as one batch; more become files
	file   int // bytes of such a file, about
}

var defaultSizes = sizes{gather: gatherBytes, chunk: 1 << 20, batch: gatherBytes, file: 32 << 20}

// epochSink is a table in a job with checkpoints.
//
// Rows of an epoch are staged in the store itself, out of the sight of reads, and
// come into the table together with the number of the epoch, or not at all. In
// the order of the store's log:
//
//	S  staged rows, synced before Persist returns, so before the decision
//	A  one batch: rows, deletion of the staged rows, number of the epoch; not synced
//	S' the next epoch's staged rows, synced, and with them A
//
// A crash between A and S' may lose A, but only as a whole: then the staged rows are
// there and Recover applies them again. What reads have seen by then was decided,
// so it comes back. A mark names the epoch applied before it, and that is durable
// when the mark is: a store that has less than the latest marks say has lost rows.
type epochSink struct {
	table   *table
	schema  *batch.Schema
	sizes   sizes
	list    func() (remove func()) // puts the table on the API, once it is recovered
	remove  func()                 // nil before
	unwatch func()

	applied  atomic.Uint64 // the epoch that the store holds
	unsynced atomic.Bool   // the log of the store may not have it yet
	last     uint64        // the epoch of Recover
	closed   bool

	mu    sync.Mutex
	spare []*gathered // guarded by mu: buffers that nobody uses
}

var _ connector.Sink = (*epochSink)(nil)

// Recover brings the table to the epoch last.
func (s *epochSink) Recover(ctx context.Context, last uint64, c []connector.Committable) error {
	s.last = last
	marks, err := s.marks(c)
	if err != nil {
		return err
	}
	if err := s.table.store.do(ctx, func() error { return s.recover(last, marks) }); err != nil {
		return err
	}
	t := s.table
	newest, err := t.lastBucket()
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.newest = max(t.newest, newest)
	t.mu.Unlock()
	if s.remove == nil { // a new run begins with a second Recover
		s.remove = s.list()
	}
	return nil
}

func (s *epochSink) recover(last uint64, marks []*mark) error {
	if err := s.removeFiles(); err != nil {
		return err
	}
	if last == 0 {
		return s.begin()
	}
	applied, err := s.readApplied()
	if err != nil {
		return err
	}
	if err := s.fits(last, applied, marks); err != nil {
		return err
	}
	s.applied.Store(applied)
	if marks = s.missing(marks); len(marks) > 0 {
		if err := s.apply(marks, pebble.Sync); err != nil {
			return err
		}
		pointReapplied.Hit()
		s.table.store.log.Info("rows of the last checkpoint were written to the table again", "table", s.table.def.Name, "epoch", s.applied.Load())
	}
	if err := s.clear(pebble.Sync); err != nil {
		return err
	}
	pointRecovered.Hit()
	return nil
}

// begin forgets the epochs of an earlier job; the rows stay.
func (s *epochSink) begin() error {
	b := s.table.store.db.NewBatch()
	defer b.Close()
	from, to := s.staged()
	err := errors.Join(b.DeleteRange(from, to, nil), b.Delete(epochKey(tagApplied, s.table.def.ID), nil))
	if err == nil {
		err = b.Commit(pebble.Sync)
	}
	if err != nil {
		return s.writeError(err)
	}
	s.applied.Store(0)
	pointFreshStart.Hit()
	return nil
}

// staged returns the range of the table's staged rows.
func (s *epochSink) staged() (from, to []byte) {
	from = epochKey(tagStaged, s.table.def.ID)
	return from, binary.BigEndian.AppendUint64(slices.Clone(from), ^uint64(0))
}

// clear removes staged rows that nobody needs any more.
func (s *epochSink) clear(o *pebble.WriteOptions) error {
	from, to := s.staged()
	some, err := s.table.store.any(from, to)
	if err != nil {
		return s.table.store.readError(err)
	}
	if !some || failpoint.Bug("table-leftovers-kept") {
		return nil
	}
	if err := s.table.store.db.DeleteRange(from, to, o); err != nil {
		return s.writeError(err)
	}
	return nil
}

// readApplied returns the epoch that the store holds, 0 for none.
func (s *epochSink) readApplied() (uint64, error) {
	p, done, err := s.table.store.db.Get(epochKey(tagApplied, s.table.def.ID))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, s.table.store.readError(err)
	}
	epoch, err := parseApplied(p)
	if err = errors.Join(err, done.Close()); err != nil {
		return 0, s.table.store.readError(err)
	}
	return epoch, nil
}

// marks reads committables, in the order in which their rows count.
func (s *epochSink) marks(c []connector.Committable) ([]*mark, error) {
	var out []*mark
	for _, p := range c {
		if p == nil {
			continue
		}
		m, err := parseMark(p)
		if err == nil && m.table != s.table.def.ID {
			err = fmt.Errorf("it is of the table with the number %d, this one has %d", m.table, s.table.def.ID)
		}
		if err != nil {
			return nil, s.refuse("table/other-checkpoint", "the checkpoint is not of the table %s in %s", s.table.def.Name, s.table.store.dir).WithCause(err)
		}
		out = append(out, m)
	}
	slices.SortStableFunc(out, func(a, b *mark) int {
		return cmp.Or(cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.task, b.task))
	})
	return out, nil
}

// fits compares the epoch that the store holds with what the decided marks say.
func (s *epochSink) fits(last, applied uint64, marks []*mark) error {
	name, dir := s.table.def.Name, s.table.store.dir
	before, after := uint64(0), last
	for i, m := range marks {
		if before = max(before, m.before); i == 0 {
			after = 0
		}
		if after = max(after, m.before); len(m.runs) > 0 {
			after = max(after, m.epoch)
		}
	}
	switch {
	case applied > after, len(marks) > 0 && applied > before && applied < after:
		return s.refuse("table/ahead", "the table %s in %s holds epoch %d, the checkpoint ends with epoch %d", name, dir, applied, last)
	case applied < before:
		return s.refuse("table/rows-lost", "the table %s in %s ends with epoch %d, and the checkpoint stands on its epoch %d: rows were lost", name, dir, applied, before)
	}
	return nil
}

// refuse is the error when store and checkpoint are not of the same time.
func (s *epochSink) refuse(code diag.Code, format string, args ...any) *diag.Error {
	return diag.New(code, format, args...).
		WithHint("a file of the store was damaged, or store and checkpoints are not of the same time: put back both from one backup, or start with --fresh, which keeps the rows that the table has and reads the input anew")
}

// missing returns the marks whose rows the store does not hold.
func (s *epochSink) missing(marks []*mark) (out []*mark) {
	for _, m := range marks {
		if len(m.runs) > 0 && m.epoch > s.applied.Load() {
			out = append(out, m)
		}
	}
	return out
}

// Commit brings the rows of decided epochs into the table.
func (s *epochSink) Commit(ctx context.Context, _ uint64, c []connector.Committable) error {
	marks, err := s.marks(c)
	if err != nil {
		return err
	}
	if marks = s.missing(marks); len(marks) == 0 {
		return nil
	}
	return s.table.store.do(ctx, func() error { return s.apply(marks, pebble.NoSync) })
}

func (s *epochSink) writeError(err error) error {
	return fmt.Errorf("write table %s: %w", s.table.def.Name, err)
}

// Writer makes the writer of one task.
func (s *epochSink) Writer(_ context.Context, env connector.WriterEnv) (connector.SinkWriter, error) {
	dead := func(code, reason string, row []byte) {
		if env.Dead != nil {
			env.Dead(code, reason, "", row)
		}
	}
	w := &epochWriter{encoder: newEncoder(s.table, s.schema, dead), sink: s, task: uint32(env.Task), rows: s.buffer()}
	w.begun(s.last)
	return w, nil
}

// Close takes the table off the API and releases the store.
func (s *epochSink) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	if s.remove != nil {
		s.remove()
	}
	s.unwatch()
	s.table.sayExpired()
	s.table.close()
	return s.table.store.release()
}

// buffer returns an empty buffer.
func (s *epochSink) buffer() *gathered {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.spare); n > 0 {
		g := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return g
	}
	return &gathered{}
}

// recycle takes a buffer back.
func (s *epochSink) recycle(g *gathered) {
	g.reset()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.spare) < 2 {
		s.spare = append(s.spare, g)
	}
}
