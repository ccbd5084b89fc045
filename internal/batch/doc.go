// Package batch is the columnar batch that every part of Gorge passes on.
//
// A [Batch] holds up to a fixed number of rows as typed columns in the Arrow
// memory layout: one validity bit per row (1 = present), fixed-width values,
// strings and binary as 16-byte views (Arrow's StringView) whose bytes are
// inline up to 12 bytes and otherwise lie in the column's arena.
//
// The package knows memory and types. It does not know operators, keys, wire
// formats or files.
//
// # Ownership
//
//	B1  A batch starts with one reference, made by Pool.Get.
//	B2  Whoever holds the reference either releases it or hands it on;
//	    handing on (Output.Emit, a queue) moves the ownership.
//	B3  A batch may be written only by the sole holder and only before it was
//	    handed on. A batch with more than one holder is read-only for ever.
//	B4  After the last Release the memory goes back to the pool; every slice
//	    taken from it is dead.
//	B5  Get and Release may be called from any goroutine; all else is for the
//	    goroutine that holds the reference.
//
// Live batches are counted, so that tests prove that none leaks: see [Live].
package batch
