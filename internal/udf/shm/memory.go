package shm

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Words of the control pages, in bytes. Those that one side polls while the
// other writes its own lie on lines of their own.
const (
	wordPublished    = 0
	wordStop         = 8
	wordEngineParked = 128
	wordCompleted    = 0
	wordWorkerParked = 128
)

// memory is one memfd and the engine's mapping of it.
type memory struct {
	fd  int
	mem []byte
}

func newMemory(name string, size, prot, seals int) (memory, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return memory{}, fmt.Errorf("memfd_create: %w", err)
	}
	m := memory{fd: fd}
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		m.close()
		return memory{}, fmt.Errorf("size of memfd: %w", err)
	}
	if m.mem, err = unix.Mmap(fd, 0, size, prot, unix.MAP_SHARED); err != nil {
		m.close()
		return memory{}, fmt.Errorf("mmap: %w", err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		m.close()
		return memory{}, fmt.Errorf("seal memfd: %w", err)
	}
	return m, nil
}

// close unmaps and closes; the worker's own mapping stays until it ends.
func (m *memory) close() {
	if m.mem != nil {
		// Unmapping a mapping that this type made cannot fail.
		_ = unix.Munmap(m.mem)
		m.mem = nil
	}
	if m.fd >= 0 {
		_ = unix.Close(m.fd)
		m.fd = -1
	}
}

func (m *memory) word(at int) *uint64 { return (*uint64)(unsafe.Pointer(&m.mem[at])) }

// Input is the memory that the engine writes: arguments.
type Input struct {
	memory
	layout *Layout
}

// NewInput makes an input memory. Only this process, by the mapping made here,
// can ever write it.
func NewInput(l *Layout) (*Input, error) {
	m, err := newMemory("gorge-udf-input", l.Input.Size, unix.PROT_READ|unix.PROT_WRITE,
		unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_FUTURE_WRITE|unix.F_SEAL_SEAL)
	if err != nil {
		return nil, err
	}
	return &Input{m, l}, nil
}

// FD returns the descriptor, to be sent to a worker.
func (in *Input) FD() int { return in.fd }

// Close gives the memory up.
func (in *Input) Close() { in.close() }

// Publish tells the worker how many batches have been handed over in all. It is
// a full fence: what was written to slots before is seen by who sees the count.
func (in *Input) Publish(n uint64) { atomic.StoreUint64(in.word(wordPublished), n) }

// SetStop asks the worker to end, or takes it back.
func (in *Input) SetStop(stop bool) { in.set(wordStop, stop) }

// SetParked tells the worker that the engine sleeps on the socket. It is a full
// fence: look at the counter once more after it.
func (in *Input) SetParked(parked bool) { in.set(wordEngineParked, parked) }

func (in *Input) set(word int, on bool) {
	var v uint64
	if on {
		v = 1
	}
	atomic.StoreUint64(in.word(word), v)
}

func (in *Input) slot(i int) []byte {
	at := page + i*in.layout.Input.Stride
	return in.mem[at : at+in.layout.Input.Stride]
}

// Output is the memory that the worker writes: results. The engine cannot write it.
type Output struct {
	memory
	layout *Layout
}

// NewOutput makes an output memory. A worker that follows another one needs a
// fresh one: children of the old one may live on and write.
func NewOutput(l *Layout) (*Output, error) {
	m, err := newMemory("gorge-udf-output", l.Output.Size, unix.PROT_READ,
		unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	if err != nil {
		return nil, err
	}
	return &Output{m, l}, nil
}

// FD returns the descriptor, to be sent to a worker.
func (out *Output) FD() int { return out.fd }

// Close gives the memory up.
func (out *Output) Close() { out.close() }

// Completed returns how many batches the worker says it has answered. It may be any number.
func (out *Output) Completed() uint64 { return atomic.LoadUint64(out.word(wordCompleted)) }

// WorkerParked reports whether the worker says that it sleeps on the socket.
func (out *Output) WorkerParked() bool { return atomic.LoadUint64(out.word(wordWorkerParked)) != 0 }

func (out *Output) slot(i int) []byte {
	at := page + i*out.layout.Output.Stride
	return out.mem[at : at+out.layout.Output.Stride]
}
