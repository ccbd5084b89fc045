// Package record is fixed-width rows of state: n words of 8 bytes each, at a
// fixed stride, reached by slot number, plus one arena for bytes that do not fit.
//
// Accumulators (package agg) are kernels over such records; keyed state (package
// state) owns the memory. There is no pointer in a record: the collector never
// looks at it and a snapshot is a copy.
package record

import "unsafe"

// Block is a view of records that somebody else owns. It dies with the next
// call that may move the records (see state.Pane).
type Block struct {
	// Base is the address of word 0 of the record in slot 0.
	Base unsafe.Pointer
	// Stride is the distance of two records in bytes.
	Stride uintptr
	// Arena holds bytes that records refer to; kernels append to it.
	Arena *[]byte
}

// Word returns word w of the record in the slot.
func (b Block) Word(slot uint32, w int) *uint64 {
	return (*uint64)(unsafe.Add(b.Base, uintptr(slot)*b.Stride+uintptr(w)*8))
}

// Float returns word w of the record in the slot as a float64.
func (b Block) Float(slot uint32, w int) *float64 {
	return (*float64)(unsafe.Add(b.Base, uintptr(slot)*b.Stride+uintptr(w)*8))
}

// Int returns word w of the record in the slot as an int64.
func (b Block) Int(slot uint32, w int) *int64 {
	return (*int64)(unsafe.Add(b.Base, uintptr(slot)*b.Stride+uintptr(w)*8))
}

// At returns the block whose word 0 is word w of this one.
func (b Block) At(w int) Block {
	return Block{Base: unsafe.Add(b.Base, w*8), Stride: b.Stride, Arena: b.Arena}
}
