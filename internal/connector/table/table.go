package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/diag"
)

// table is one table of an open store.
type table struct {
	store *store
	def   *definition // constant
	keys  []batch.Kind
	vals  []int // positions of the columns outside the key

	expired atomic.Int64 // rows that were too old to be written
	fresh   atomic.Int64 // rows written since the database last flushed to files
	writers int          // guarded by store.mu

	mu     sync.Mutex
	newest uint64 // guarded by mu: latest bucket with a row
	first  uint64 // guarded by mu: earliest bucket that is kept
}

func newTable(s *store, d *definition) *table {
	return &table{store: s, def: d, keys: d.keyKinds(), vals: d.values()}
}

// definitionKey is where the definition of a table lies: as table 0.
func definitionKey(name string) []byte { return append(make([]byte, 4, 4+len(name)), name...) }

// table opens the table that want describes, making or changing its definition,
// and returns the one that is open already when several tasks write it.
func (s *store) table(want *definition) (*table, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tables[want.Name]; t != nil {
		t.writers++
		return t, nil
	}
	d, err := s.definition(want)
	if err != nil {
		return nil, err
	}
	t := newTable(s, d)
	if t.newest, err = t.lastBucket(); err != nil {
		return nil, err
	}
	t.writers = 1
	s.tables[want.Name] = t
	return t, nil
}

// close takes one writer away.
func (t *table) close() {
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	if t.writers--; t.writers == 0 {
		delete(t.store.tables, t.def.Name)
	}
}

// definition brings the stored definition in line with want and returns it.
func (s *store) definition(want *definition) (*definition, error) {
	all, err := s.definitions()
	if err != nil {
		return nil, err
	}
	d := want
	next := uint32(1)
	var old *definition
	for _, o := range all {
		next = max(next, o.ID+1)
		if o.Name == want.Name {
			old = o
		}
	}
	if old == nil {
		d.ID = next
	} else if d, err = old.adopt(want); err != nil {
		return nil, err
	}
	p, err := d.marshal()
	if err != nil {
		return nil, err
	}
	if err := s.db.Set(definitionKey(d.Name), p, pebble.Sync); err != nil {
		return nil, fmt.Errorf("store the definition of table %s: %w", d.Name, err)
	}
	return d, nil
}

// definitions reads all definitions in the store.
func (s *store) definitions() ([]*definition, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{UpperBound: binary.BigEndian.AppendUint32(nil, 1)})
	if err != nil {
		return nil, s.readError(err)
	}
	defer it.Close()
	var out []*definition
	for ok := it.First(); ok; ok = it.Next() {
		p, err := it.ValueAndErr()
		if err != nil {
			return nil, s.readError(err)
		}
		d, err := parseDefinition(p)
		if err != nil {
			return nil, s.readError(err)
		}
		out = append(out, d)
	}
	if err := it.Error(); err != nil {
		return nil, s.readError(err)
	}
	return out, nil
}

// readError is what a person gets to see when the store cannot be read.
func (s *store) readError(err error) *diag.Error {
	return diag.New("table/read", "the table store %s cannot be read", s.dir).WithCause(err).
		WithHint("check the disk; if files are damaged restore the directory from a backup")
}

// flushed tells the tables that what was in memory is in files now.
func (s *store) flushed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tables {
		t.fresh.Store(0)
	}
}

// lastBucket finds the latest bucket with a time in the store, 0 if there is none.
func (t *table) lastBucket() (uint64, error) {
	it, err := t.store.db.NewIter(&pebble.IterOptions{LowerBound: appendPrefix(nil, t.def.ID, 0), UpperBound: appendPrefix(nil, t.def.ID, noTime)})
	if err != nil {
		return 0, t.store.readError(err)
	}
	defer it.Close()
	bucket := uint64(0)
	if it.Last() {
		bucket = binary.BigEndian.Uint64(it.Key()[4:])
	}
	if err := it.Error(); err != nil {
		return 0, t.store.readError(err)
	}
	return bucket, nil
}

// keepFrom notes that rows of the bucket newest are about to be written and
// returns the earliest bucket that is kept from now on, 0 for all (T3).
func (t *table) keepFrom(newest uint64) uint64 {
	if t.def.Retain == 0 {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.newest = max(t.newest, newest)
	now := bucketOf(t.store.now().UnixMicro(), t.def.Width)
	// A bucket ends by the next one's start; its rows are all older than retain
	// once the latest row is retain behind that.
	span := uint64((t.def.Retain + t.def.Width - 1) / t.def.Width)
	if latest := min(t.newest, now); latest > span {
		return max(t.first, latest-span)
	}
	return t.first
}

// kept notes that the buckets before first are gone.
func (t *table) kept(first uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.first = max(t.first, first)
}

// drop removes every bucket before first. Whole files of old buckets go at once,
// the edges with the next compactions: no row is read for it.
func (t *table) drop(first uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if first <= t.first {
		return nil
	}
	from, to := appendPrefix(nil, t.def.ID, 0), appendPrefix(nil, t.def.ID, first)
	some, err := t.store.any(from, to)
	if err == nil && some {
		err = t.store.db.DeleteRange(from, to, pebble.NoSync)
	}
	if err != nil {
		return fmt.Errorf("drop the old rows of table %s: %w", t.def.Name, err)
	}
	t.first = first
	return nil
}

// any reports whether a key lies in [from, to).
func (s *store) any(from, to []byte) (bool, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return false, err
	}
	some := it.First()
	return some, errors.Join(it.Error(), it.Close())
}
