package memory

import "golang.org/x/sys/unix"

// adviseHuge asks for huge pages; without them all works, slower.
func adviseHuge(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
