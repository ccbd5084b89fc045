//go:build !race

package table

// every is which of the cases of a sweep are tried.
const every = 1
