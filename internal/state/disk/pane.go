package disk

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gorge-stream/gorge/internal/failpoint"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
)

// pane is one pane. See the package doc.
type pane struct {
	owner *Backend
	id    int64
	table
	// fresh: the cut before knows nothing of the pane; the next one writes it whole.
	fresh bool
	// stored are the groups of rows in the store, listed of those in the list of changes.
	stored, listed groups
	scan           scan
}

// complete reports whether all rows are in the table.
func (p *pane) complete() bool { return p.stored.empty() }

func (p *pane) bytes() int {
	return p.table.bytes() + 16*cap(p.scan.keys.Views) + cap(p.scan.keys.Arena) + 4*cap(p.scan.order)
}

// Block returns the records.
func (p *pane) Block() record.Block { return p.block() }

// Locate finds or makes the records of the keys.
func (p *pane) Locate(k *state.Keys, refs []record.Ref) error {
	s := p.owner
	p.endScan()
	if err := s.makeRoom(p, len(k.Views)); err != nil {
		return err
	}
	s.misses = s.misses[:0]
	for i := range k.Views {
		row, ok := p.find(&k.Views[i], k.Arena, k.Hashes[i])
		if !ok {
			s.misses = append(s.misses, i)
			continue
		}
		p.flags[row] = dirty | changed
		refs[i] = p.ref(row)
	}
	if len(s.misses) == 0 {
		return nil
	}
	if err := p.fetch(k, s.misses); err != nil {
		return s.fail(err)
	}
	for _, i := range s.misses {
		row, ok := p.find(&k.Views[i], k.Arena, k.Hashes[i])
		if !ok {
			row = p.insert(k.Views[i], k.Arena, k.Hashes[i], s.layout.Init)
		}
		p.flags[row] = dirty | changed
		refs[i] = p.ref(row)
	}
	return nil
}

// fetch brings those of the missed keys into the table that the store has, in one
// pass in its order.
func (p *pane) fetch(k *state.Keys, misses []int) error {
	if p.complete() {
		return nil
	}
	s := p.owner
	order := s.order[:0]
	for _, i := range misses {
		if p.stored.has(keygroup.Of(k.Hashes[i])) {
			order = append(order, uint32(i))
		}
	}
	s.order = order
	slices.SortFunc(order, func(a, b uint32) int { return cmp.Compare(k.Hashes[a], k.Hashes[b]) })
	prefix := rowPrefix(nil, p.id)
	// By their filters most tables can tell that they do not have a key.
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix), UseL6Filters: true})
	if err != nil {
		return err
	}
	for _, i := range order {
		v := &k.Views[i]
		s.key = hashed(append(s.key[:0], prefix...), k.Hashes[i], v, k.Arena)
		if !iter.SeekPrefixGE(s.key) || !bytes.Equal(iter.Key(), s.key) {
			continue
		}
		if _, twice := p.find(v, k.Arena, k.Hashes[i]); twice {
			continue
		}
		row := p.insert(*v, k.Arena, k.Hashes[i], s.layout.Init)
		if err := p.decode(row, iter); err != nil {
			return firstOf(err, iter.Close())
		}
	}
	return firstOf(iter.Error(), iter.Close())
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// decode reads the record at the iterator into a row.
func (p *pane) decode(row int, iter *pebble.Iterator) error {
	value, err := iter.ValueAndErr()
	if err != nil {
		return err
	}
	l := &p.owner.layout
	texts, err := decodeWords(p.record(row)[:len(l.Init)], value)
	if err != nil || l.MoveTexts == nil {
		return err
	}
	b := p.block()
	b.Arena = &texts
	p.owner.refs[0] = p.ref(row)
	p.texts = l.MoveTexts(b, p.owner.refs[:], p.texts)
	return nil
}

// Retain deletes the records for which keep is false: first in the store those
// that are not in memory, then in memory.
func (p *pane) Retain(keep func(r record.Ref) bool) error {
	s := p.owner
	if s.err != nil {
		return s.err
	}
	p.endScan()
	w := s.writer()
	defer w.close()
	if err := p.retainStored(w, keep); err != nil {
		return s.fail(err)
	}
	gone := false
	for row := range p.views {
		if keep(p.ref(row)) {
			continue
		}
		gone = true
		if err := p.deleteRow(w, p.hashes[row], row); err != nil {
			return s.fail(err)
		}
		p.flags[row] = deleted
	}
	if gone {
		p.table.keep(&s.layout, func(row int) bool { return p.flags[row] != deleted })
	}
	return s.fail(w.commit())
}

// deleted marks a row that is about to leave the table.
const deleted = 1 << 7

// deleteRow notes that a row of the table is deleted.
func (p *pane) deleteRow(w *writer, hash uint64, row int) error {
	v := &p.views[row]
	if p.stored.has(keygroup.Of(hash)) {
		w.key = hashed(rowPrefix(w.key[:0], p.id), hash, v, p.keys)
		if err := w.delete(); err != nil {
			return err
		}
	}
	if p.fresh || failpoint.Bug("disk-tombstone-forgotten") {
		return nil
	}
	p.owner.key = hashed(p.owner.key[:0], hash, v, p.keys)
	return p.list(w, p.owner.key)
}

// list puts a hash and key on the list of changes.
func (p *pane) list(w *writer, key []byte) error {
	w.key = append(changePrefix(w.key[:0], p.owner.cutting, p.id), key...)
	p.listed.add(groupOf(key))
	return w.set(nil)
}

// retainStored deletes rows that are only in the store.
func (p *pane) retainStored(w *writer, keep func(r record.Ref) bool) error {
	if p.complete() {
		return nil
	}
	prefix := rowPrefix(nil, p.id)
	iter, err := p.owner.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return err
	}
	texts := len(p.texts)
	for iter.First(); iter.Valid(); iter.Next() {
		if err := p.retainRow(w, iter, keep); err != nil {
			return firstOf(err, iter.Close())
		}
		p.texts = p.texts[:texts]
	}
	return firstOf(iter.Error(), iter.Close())
}

// retainRow shows the row at the iterator in the window, if it is not in memory.
func (p *pane) retainRow(w *writer, iter *pebble.Iterator, keep func(r record.Ref) bool) error {
	k := &p.owner.keys
	k.Reset()
	key := iter.Key()[hashAt:]
	if err := decodeKey(k, key); err != nil {
		return err
	}
	if _, inMemory := p.find(&k.Views[0], k.Arena, k.Hashes[0]); inMemory {
		return nil
	}
	if err := p.decode(-windowRows, iter); err != nil || keep(p.ref(-windowRows)) {
		return err
	}
	w.key = append(w.key[:0], iter.Key()...)
	if err := w.delete(); err != nil {
		return err
	}
	if p.fresh || failpoint.Bug("disk-tombstone-forgotten") {
		return nil
	}
	return p.list(w, key)
}
