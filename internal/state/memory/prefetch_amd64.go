//go:build !noasm

package memory

import "unsafe"

// prefetch asks for the cache lines at base + 8 x each of n word offsets, so that
// the misses of a batch overlap instead of following one another.
//
//go:noescape
func prefetch(base unsafe.Pointer, words *uint32, n int)
