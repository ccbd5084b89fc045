// Package record is fixed-width rows of state: words of 8 bytes each, reached by
// a [Ref], plus one arena for bytes that do not fit.
//
// Accumulators (package agg) are kernels over such records; keyed state (package
// state) owns the memory. There is no pointer in a record: the collector never
// looks at it and a snapshot is a copy.
package record

import "unsafe"

// Ref names a record within a block: the distance of its first word from the
// base of the block, in words.
type Ref = uint32

// Block is a view of records that somebody else owns. It dies with the next
// call that may move the records (see state.Pane).
type Block struct {
	Base unsafe.Pointer
	// Arena holds bytes that records refer to; kernels append to it.
	Arena *[]byte
}

// Word returns word w of the record.
func (b Block) Word(r Ref, w int) *uint64 {
	return (*uint64)(unsafe.Add(b.Base, (uintptr(r)+uintptr(w))*8))
}

// Int returns word w of the record as an int64.
func (b Block) Int(r Ref, w int) *int64 {
	return (*int64)(unsafe.Add(b.Base, (uintptr(r)+uintptr(w))*8))
}

// Float returns word w of the record as a float64.
func (b Block) Float(r Ref, w int) *float64 {
	return (*float64)(unsafe.Add(b.Base, (uintptr(r)+uintptr(w))*8))
}

// From returns the block whose word 0 is word w of this one.
func (b Block) From(w int) Block {
	return Block{Base: unsafe.Add(b.Base, w*8), Arena: b.Arena}
}
