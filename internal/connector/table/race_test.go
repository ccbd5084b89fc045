//go:build race

package table

// every is which of the cases of a sweep are tried: under the race detector a case
// takes many times as long, and it looks for races, which any of them has.
const every = 6
