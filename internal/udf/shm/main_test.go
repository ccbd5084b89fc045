package shm

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gorge-stream/gorge/internal/batch"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if n := batch.Live(); code == 0 && n != 0 {
		println("batches leaked:", n)
		code = 1
	}
	os.Exit(code)
}

// writable tries to map a descriptor for writing.
func writable(fd, size int) error {
	m, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err == nil {
		_ = unix.Munmap(m)
	}
	return err
}
