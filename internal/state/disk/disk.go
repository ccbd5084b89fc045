// Package disk is the state backend for state that is larger than memory: rows in
// memory as long as they fit, and a Pebble database of its own behind them.
//
// The database is scratch. It is empty when the backend is made, is never synced
// and goes with the backend: what outlives the process are the cuts.
//
// # How rows move
//
// New rows and those that are located are in the table of their pane, in memory. When
// a Locate would take more than the limit all rows are written to the database in
// the order of its keys, and the tables are emptied. A pane of which nothing was
// ever written (complete) does not ask the database for anything.
//
// # Invariants
//
//	D1  A row that is in memory is the truth; what the database has of it is older.
//	D2  A pane that is complete has no row in the database.
//	D3  A row that was located or deleted since the last cut, and is in no table, is
//	    in the list of changes; panes made since then have no list, they are written whole.
//	D4  After a failed read or write every call fails that can, and Drop drops nothing,
//	    so that the operator that could not be told (Scan) meets the error.
//	D5  Memory stays below the limit: rows, the copies of a cut, and the database's own.
//
// The package does not know what the words of a record mean.
package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/failpoint"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
)

// Options are what a backend is made of.
type Options struct {
	// Dir is the backend's own directory. Whatever is in it is deleted.
	Dir string
	FS  vfs.FS
	// MemoryLimit is the bytes of memory that the backend takes, at least MinMemory.
	MemoryLimit int64
	Log         *slog.Logger
}

// Backend holds panes on disk. See state.Backend and state.Durable.
type Backend struct {
	layout state.Layout
	groups keygroup.Range
	size   sizes
	dir    string
	fs     vfs.FS
	db     *pebble.DB
	// users are who has the database open: the backend, and a cut that is out.
	users atomic.Int32

	ids   []int64
	panes []*pane
	err   error // D4

	cutting uint64 // the number of the next cut
	cut     *cut   // the only one, reused; nil before the first
	working
}

// working is memory that calls use and leave.
type working struct {
	order  []uint32
	misses []int
	words  []uint64
	hashes []uint64
	keys   state.Keys
	key    []byte
	value  []byte
	texts  []byte
	refs   [1]record.Ref
	own    [windowRows]record.Ref
}

var (
	_ state.Backend = (*Backend)(nil)
	_ state.Durable = (*Backend)(nil)
)

// New makes an empty backend for the keys of the given groups.
func New(layout state.Layout, groups keygroup.Range, o Options) (*Backend, error) {
	size, err := share(o.MemoryLimit)
	if err != nil {
		return nil, err
	}
	return open(layout, groups, o, size)
}

func open(layout state.Layout, groups keygroup.Range, o Options, size sizes) (*Backend, error) {
	db, err := openStore(o.Dir, o.FS, size, o.Log)
	if err != nil {
		return nil, fmt.Errorf("state on disk in %s cannot be made: %w", o.Dir, err)
	}
	s := &Backend{layout: layout, groups: groups, size: size, dir: o.Dir, fs: o.FS, db: db}
	s.users.Store(1)
	return s, nil
}

// Pane returns the pane with the id, new and empty if there is none.
func (s *Backend) Pane(id int64) (state.Pane, error) { return s.pane(id) }

func (s *Backend) pane(id int64) (*pane, error) {
	if s.err != nil {
		return nil, s.err
	}
	i, ok := slices.BinarySearch(s.ids, id)
	if ok {
		return s.panes[i], nil
	}
	p := &pane{owner: s, id: id, fresh: true, table: newTable(len(s.layout.Init))}
	s.ids = slices.Insert(s.ids, i, id)
	s.panes = slices.Insert(s.panes, i, p)
	return p, nil
}

// Panes returns the ids of the panes, ascending.
func (s *Backend) Panes() []int64 { return s.ids }

// Drop deletes a pane.
func (s *Backend) Drop(id int64) {
	i, ok := slices.BinarySearch(s.ids, id)
	if !ok || s.err != nil {
		return
	}
	p := s.panes[i]
	p.endScan()
	if !p.complete() && !failpoint.Bug("disk-dropped-rows-stay") {
		from := rowPrefix(nil, id)
		if s.fail(s.db.DeleteRange(from, after(from), pebble.NoSync)) != nil {
			return
		}
	}
	s.ids = slices.Delete(s.ids, i, i+1)
	s.panes = slices.Delete(s.panes, i, i+1)
}

// fail keeps the first error: see D4.
func (s *Backend) fail(err error) error {
	if err != nil && s.err == nil {
		s.err = fmt.Errorf("state on disk in %s: %w", s.dir, err)
	}
	return s.err
}

// Bytes returns the memory that the state takes, and the database at most.
func (s *Backend) Bytes() int64 {
	return int64(s.size.database() + s.rowBytes())
}

// rowBytes returns the memory of rows and of the copies of a cut.
func (s *Backend) rowBytes() int {
	n := 0
	for _, p := range s.panes {
		n += p.bytes()
	}
	if s.cut != nil {
		n += int(s.cut.bytes.Load())
	}
	return n
}

// Close deletes everything, once a cut that is out is released.
func (s *Backend) Close() {
	for _, p := range s.panes {
		p.endScan()
	}
	s.panes, s.ids = nil, nil
	if s.err == nil {
		s.err = errors.New("the state is closed")
	}
	s.leave()
}

// leave closes the database behind its last user. Its errors are of no interest:
// nobody needs what is in it.
func (s *Backend) leave() {
	if s.users.Add(-1) == 0 {
		_ = s.db.Close()
		_ = s.fs.RemoveAll(s.dir)
	}
}
