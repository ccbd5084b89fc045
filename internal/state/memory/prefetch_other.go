//go:build !amd64 || noasm

package memory

import "unsafe"

// prefetch does nothing: it only ever saves time.
func prefetch(unsafe.Pointer, *uint32, int) {}
