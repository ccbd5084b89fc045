package disk

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gorge-stream/gorge/internal/failpoint"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/record"
)

// writer writes to the database in batches.
type writer struct {
	owner *Backend
	batch *pebble.Batch
	limit int
	key   []byte
}

func (s *Backend) writer() *writer {
	// A batch that is large beside a table in memory would become one of its own.
	return &writer{owner: s, batch: s.db.NewBatch(), limit: s.size.memTable / 8}
}

// set writes a value under w.key.
func (w *writer) set(value []byte) error {
	if err := w.batch.Set(w.key, value, nil); err != nil {
		return err
	}
	return w.full()
}

// delete deletes w.key.
func (w *writer) delete() error {
	if err := w.batch.Delete(w.key, nil); err != nil {
		return err
	}
	return w.full()
}

func (w *writer) full() error {
	if w.batch.Len() < w.limit {
		return nil
	}
	return w.commit()
}

// commit applies what was written so far.
func (w *writer) commit() error {
	if w.batch.Empty() {
		return nil
	}
	err := w.batch.Commit(pebble.NoSync)
	w.batch.Reset()
	return err
}

func (w *writer) close() { _ = w.batch.Close() }

// groupOf returns the group of a hash and key.
func groupOf(key []byte) keygroup.Group { return keygroup.Of(binary.BigEndian.Uint64(key)) }

// makeRoom makes room for n rows in the table of a pane, by emptying all tables
// if it must.
func (s *Backend) makeRoom(p *pane, n int) error {
	if s.err != nil {
		return s.err
	}
	if s.rowBytes()+p.growth(n) > s.size.rows {
		if err := s.evict(p); err != nil {
			return s.fail(err)
		}
	}
	return p.reserve(n)
}

// evict writes all rows to the store and empties the tables; that of the pane that
// needs room keeps its memory if there is enough without it.
func (s *Backend) evict(needs *pane) error {
	w := s.writer()
	defer w.close()
	for _, p := range s.panes {
		if err := p.writeBack(w); err != nil {
			return err
		}
		// A scan that is under way has an iterator of its own.
		p.scan.order, p.scan.texts = nil, 0
		if p == needs && p.bytes() < s.size.rows/2 {
			p.clear()
		} else {
			p.table = newTable(len(s.layout.Init))
		}
	}
	return w.commit()
}

// writeBack writes the rows that the store does not have as they are.
func (p *pane) writeBack(w *writer) error {
	s := p.owner
	s.order = p.ordered(s.order)
	for _, row := range s.order {
		flags := p.flags[row]
		if flags&dirty == 0 {
			continue
		}
		v, hash := &p.views[row], p.hashes[row]
		w.key = hashed(rowPrefix(w.key[:0], p.id), hash, v, p.keys)
		if err := w.set(p.encode(int(row))); err != nil {
			return err
		}
		p.stored.add(keygroup.Of(hash))
		p.flags[row] &^= dirty
		if flags&changed == 0 || p.fresh || failpoint.Bug("disk-evicted-change-forgotten") {
			continue
		}
		s.key = hashed(s.key[:0], hash, v, p.keys)
		if err := p.list(w, s.key); err != nil {
			return err
		}
	}
	return nil
}

// encode returns the record of a row as a value, valid until the next one.
func (p *pane) encode(row int) []byte {
	s := p.owner
	s.words = append(s.words[:0], p.record(row)[:len(s.layout.Init)]...)
	var texts []byte
	if s.layout.MoveTexts != nil {
		b := record.Block{Base: wordsOf(s.words), Arena: &p.texts}
		s.refs[0] = 0
		s.texts = s.layout.MoveTexts(b, s.refs[:], s.texts[:0])
		texts = s.texts
	}
	s.value = s.value[:0]
	for _, w := range s.words {
		s.value = binary.LittleEndian.AppendUint64(s.value, w)
	}
	s.value = append(s.value, texts...)
	return s.value
}
