//go:build !unix

package memory

import "unsafe"

// allocate returns n zeroed bytes; without mmap they are on the heap.
func allocate(n int) (unsafe.Pointer, func(), error) {
	w := make([]uint64, (n+7)/8)
	return unsafe.Pointer(unsafe.SliceData(w)), func() {}, nil
}
