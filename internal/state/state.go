// Package state is the contract of keyed state: records by key, in panes, owned
// by one task for a range of key groups.
//
// Operators reach their state only through this contract, so that where it
// lives (memory, or disk behind the same contract) and how it is made durable
// are not their business. Package statetest is the suite for every backend.
//
// The package knows key groups, keys as bytes and records as words. It does not
// know windows, aggregates or the coordinator of checkpoints.
//
// # Invariants
//
//	S1  A pane holds at most one record per key.
//	S2  A task meets only keys of its own key groups.
//	S3  A Ref and a record.Block are valid until the next Locate, Retain, Drop or
//	    Scan of the same pane, and until the next Cut or Load of the backend. Records
//	    that Locate returned may be written, those that Scan and Retain show are
//	    for reading.
//	S4  State is owned by the goroutine of its task; nothing here is safe for others.
package state

import (
	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/record"
)

// Layout is the shape of the records of one operator.
type Layout struct {
	// Init is the words of a record without rows; its length is the size of a record.
	Init []uint64
	// MoveTexts appends the texts that records refer to in the arena of their block
	// to another arena and makes the records refer to them there; nil when records
	// hold no texts. See agg.Set.MoveTexts.
	MoveTexts func(b record.Block, refs []record.Ref, to []byte) []byte
}

// Backend holds the keyed state of one operator in one task, by panes. The id
// of a pane is the operator's business (a window's start); panes are independent.
type Backend interface {
	// Pane returns the pane with the id, new and empty if there is none.
	Pane(id int64) (Pane, error)
	// Panes returns the ids of the panes there are, ascending; valid until the next Pane or Drop.
	Panes() []int64
	// Drop deletes a pane and its records at once.
	Drop(id int64)
	// Bytes returns the memory that the state takes.
	Bytes() int64
	// Close frees everything.
	Close()
}

// Pane is a table of records by key.
type Pane interface {
	// Locate finds the record of each key, making the missing ones, and writes a
	// Ref for each to refs, which has room for all. It fails when a bound of the
	// backend is reached; then no record was made.
	Locate(k *Keys, refs []record.Ref) error
	// Block returns the records.
	Block() record.Block
	// Scan walks the records in the order of the hashes of their keys, so that the
	// tasks of a stage, each with its range of hashes, make one order whatever
	// their number: it fills refs from the cursor on (0 at first) and returns how
	// many and the next cursor; 0 refs is the end.
	Scan(cursor uint64, refs []record.Ref) (n int, next uint64)
	// Keys appends the encoded keys of the records to k, whose arena may come to
	// share memory with the pane: it is valid as long as the refs.
	Keys(refs []record.Ref, k *Keys)
	// Retain deletes the records for which keep, which depends on the record
	// alone, is false, and sooner or later their texts. A Block from before the call is
	// valid within keep.
	Retain(keep func(r record.Ref) bool) error
}

// nullLength is the length in the view of a key that is null; no value is that long.
const nullLength = 1<<32 - 1

// NullKey is the key of a row whose only key column is null.
var NullKey = batch.View{W0: nullLength}

// IsNullKey reports whether the view is NullKey.
func IsNullKey(v batch.View) bool { return uint32(v.W0) == nullLength }
