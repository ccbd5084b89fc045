// Package codectest is the suite that every codec must pass, and the sink that
// tests of codecs collect rows with.
//
// It knows the contract of package codec and no format: a [Case] brings records
// as bytes and the rows that they mean. What the suite holds:
//
//	C1  Good records come back as their rows, in order, at every capacity of the batches.
//	C2  A bad record costs only itself and is reported with code, column, place and bytes.
//	C3  Cutting a block between two records changes nothing.
//	C4  A projection returns the same values, also of no column at all.
//	C5  The block is only read; rows do not depend on it after Decode, nor on the bytes behind it.
//	C6  An error of the sink ends Decode with that error; no batch leaks.
//	C7  What the encoder writes, the decoder reads back.
package codectest
