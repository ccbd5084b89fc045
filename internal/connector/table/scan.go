package table

import (
	"bytes"
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gorge-stream/gorge/internal/batch"
)

// span is the range [lo, hi) that a key column may lie in, in the bytes of its
// encoding; nil is open.
type span struct{ lo, hi []byte }

// scan reads the rows of a table whose key columns lie in their spans. It jumps
// over what cannot match: where a column is before its span it goes to the
// span's beginning, where it is behind it goes past everything with the same
// columns before it.
type scan struct {
	table *table
	it    *pebble.Iterator
	spans []span // by key column
	desc  bool
	// steps counts the keys looked at, a seek as seekSteps; the reader of a page
	// stops when it has spent maxSteps.
	steps int

	ends   []int // of the key columns in the current key
	target []byte
}

const (
	seekSteps = 64
	maxSteps  = 4 << 20
	// patience is the number of keys in a row that are stepped over before a seek
	// is tried: as many as cost what a seek costs, so that neither dense nor
	// sparse matches cost more than twice the best.
	patience = 128
)

// newScan opens an iterator on one state of the store. after is the key to go on
// behind, nil for the beginning.
func newScan(t *table, c *conditions, after []byte) (*scan, error) {
	lower, upper := appendPrefix(nil, t.def.ID, c.firstBucket), appendPrefix(nil, t.def.ID, c.lastBucket)
	upper = append(upper, keyAfter)
	s := &scan{table: t, spans: c.spans, desc: c.desc, ends: make([]int, len(t.keys))}
	var err error
	if s.it, err = t.store.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper}); err != nil {
		return nil, t.store.readError(err)
	}
	switch {
	case s.desc && after != nil:
		s.it.SeekLT(after)
	case s.desc:
		s.it.Last()
	case after != nil:
		s.it.SeekGE(append(bytes.Clone(after), 0))
	default:
		s.it.First()
	}
	return s, nil
}

// row moves to the next row that matches, the current one included, and tells
// whether there is one; spent tells that the steps were used up at the current
// key, which does not match.
func (s *scan) row() (found, spent bool, err error) {
	for missed := 0; s.it.Valid(); missed++ {
		key := s.it.Key()
		column, behind, err := s.judge(key)
		if err != nil {
			return false, false, err
		}
		s.steps++
		switch {
		case column < 0:
			return true, false, nil
		case s.steps > maxSteps:
			return false, true, nil
		case missed < patience && column > 0: // else nothing more of the bucket can match
			s.next()
		default:
			missed = 0
			s.jump(key, column, behind)
		}
	}
	if err := s.it.Error(); err != nil {
		return false, false, s.table.store.readError(err)
	}
	return false, false, nil
}

// next moves one key on.
func (s *scan) next() {
	if s.desc {
		s.it.Prev()
	} else {
		s.it.Next()
	}
}

// judge cuts the key into its columns and returns the first one out of its span,
// -1 if there is none, and whether it lies behind the span or before it.
func (s *scan) judge(key []byte) (column int, behind bool, err error) {
	if len(key) < prefixLen {
		return 0, false, s.table.store.readError(errKey)
	}
	at := prefixLen
	column = -1
	for i, kind := range s.table.keys {
		n := keyColumnLen(key[at:], kind)
		if n < 0 {
			return 0, false, s.table.store.readError(errKey)
		}
		col := key[at : at+n]
		at += n
		s.ends[i] = at
		if column >= 0 {
			continue
		}
		switch p := s.spans[i]; {
		case p.lo != nil && bytes.Compare(col, p.lo) < 0:
			column = i
		case p.hi != nil && bytes.Compare(col, p.hi) >= 0:
			column, behind = i, true
		}
	}
	if at != len(key) {
		return 0, false, s.table.store.readError(errKey)
	}
	return column, behind, nil
}

// jump seeks to the next key that can match, given that column is out of its span.
func (s *scan) jump(key []byte, column int, behind bool) {
	s.steps += seekSteps - 1
	start := prefixLen
	if column > 0 {
		start = s.ends[column-1]
	}
	t := append(s.target[:0], key[:start]...)
	switch p := s.spans[column]; {
	case s.desc && behind:
		t = append(t, p.hi...)
	case s.desc: // before all keys with these columns
	case behind:
		t = append(t, keyAfter)
	default:
		t = append(t, p.lo...)
	}
	s.target = t
	if s.desc {
		s.it.SeekLT(t)
	} else {
		s.it.SeekGE(t)
	}
}

// read puts the current row into row i of b and returns the bytes of its value.
// Key column k goes to column keyTo[k] of b, the others by valTo; negative is nowhere.
func (s *scan) read(b *batch.Batch, i int, kinds []batch.Kind, keyTo, valTo []int) (int, error) {
	key, at := s.it.Key(), prefixLen
	for k, to := range keyTo {
		if to >= 0 {
			readKeyColumn(b.Col(to), i, key[at:s.ends[k]])
		}
		at = s.ends[k]
	}
	value, err := s.it.ValueAndErr()
	if err == nil {
		err = readRow(b, i, value, kinds, valTo)
	}
	if err != nil {
		return 0, s.table.store.readError(err)
	}
	return len(value) + len(key), nil
}

// close ends the scan.
func (s *scan) close() error { return s.it.Close() }

// count counts keys up to most and tells whether these are all.
func (t *table) count(most int) (n int, all bool, err error) {
	lower := binary.BigEndian.AppendUint32(nil, t.def.ID)
	it, err := t.store.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: binary.BigEndian.AppendUint32(nil, t.def.ID+1)})
	if err != nil {
		return 0, false, t.store.readError(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if n++; n > most {
			return n, false, nil
		}
	}
	if err := it.Error(); err != nil {
		return 0, false, t.store.readError(err)
	}
	return n, true, nil
}
