package file

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/gorge-stream/gorge/internal/compress"
	"github.com/gorge-stream/gorge/internal/connector"
)

// maxPending bounds what the pump reads ahead.
const maxPending = 1 << 20

// pumpRead is the most that the pump reads at once; a Linux pipe holds as much.
const pumpRead = 64 << 10

// pump reads a stream in a goroutine of its own, so that whoever polls never
// waits for its sender. It ends with the stream or with stop.
type pump struct {
	in      *pollReader
	notify  func()
	room    chan struct{} // one token: Read took something
	stopped chan struct{} // closed by stop
	done    chan struct{} // closed when the goroutine has ended

	mu   sync.Mutex
	buf  []byte // guarded by mu: what was read, from head on
	head int    // guarded by mu
	err  error  // guarded by mu: how the stream ended
	told bool   // guarded by mu: Read returned err
}

func startPump(f *os.File, compression string, inflated int64, notify func()) (*pump, error) {
	in, err := newPollReader(f)
	if err != nil {
		return nil, err
	}
	p := &pump{in: in, notify: notify, room: make(chan struct{}, 1), stopped: make(chan struct{}), done: make(chan struct{})}
	go p.run(compression, inflated)
	return p, nil
}

func (p *pump) run(compression string, inflated int64) {
	defer close(p.done)
	err := p.move(compression, inflated)
	p.mu.Lock()
	p.err = err
	p.mu.Unlock()
	p.notify()
}

// move moves the stream into buf until one of them ends.
func (p *pump) move(compression string, inflated int64) error {
	var r io.Reader = p.in
	kind, ok := compress.Parse(compression)
	if !ok {
		var err error
		if kind, r, err = compress.Sniff(r); err != nil {
			return err
		}
	}
	if kind != compress.None {
		z, err := compress.NewReader(r, kind, inflated)
		if err != nil {
			return err
		}
		defer z.Close()
		r = z
	}
	chunk := make([]byte, pumpRead)
	for {
		n, err := r.Read(chunk)
		if full := p.put(chunk[:n]); full && err == nil {
			select {
			case <-p.room:
			case <-p.stopped:
				return errStopped
			}
		}
		if err != nil {
			return err
		}
	}
}

// put appends b to the buffer and reports whether it is full.
func (p *pump) put(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	p.mu.Lock()
	if p.head > 0 {
		p.buf = p.buf[:copy(p.buf, p.buf[p.head:])]
		p.head = 0
	}
	p.buf = append(p.buf, b...)
	full := len(p.buf) >= maxPending
	if full { // a token from before is no sign of room
		select {
		case <-p.room:
		default:
		}
	}
	p.mu.Unlock()
	p.notify()
	return full
}

// Read takes what is there, or returns connector.ErrNoData, or how the stream ended.
func (p *pump) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := copy(b, p.buf[p.head:])
	switch {
	case n > 0:
		p.head += n
		select {
		case p.room <- struct{}{}:
		default:
		}
		return n, nil
	case p.err != nil:
		p.told = true
		return 0, p.err
	}
	return 0, connector.ErrNoData
}

// news reports whether Read has something else to say than that it is dry.
func (p *pump) news() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.head < len(p.buf) || p.err != nil && !p.told
}

// stop ends the goroutine, also within a read that waits.
func (p *pump) stop() {
	close(p.stopped)
	p.in.stop()
	<-p.done
	p.in.close()
}

var errStopped = errors.New("the reader is closed")

// pollReader reads a file descriptor and can be stopped while it waits: before
// each read it waits for the descriptor or for the end of a pipe of its own.
// The deadlines of package os do not reach a standard input that blocks.
type pollReader struct {
	f              *os.File
	wakeIn, wakeUp *os.File
}

func newPollReader(f *os.File) (*pollReader, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	return &pollReader{f: f, wakeIn: r, wakeUp: w}, nil
}

func (r *pollReader) Read(b []byte) (int, error) {
	fd, wake := int(r.f.Fd()), int(r.wakeIn.Fd())
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(wake), Events: unix.POLLIN}}
		_, err := unix.Poll(fds, -1)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, fmt.Errorf("poll: %w", err)
		case fds[1].Revents != 0:
			return 0, errStopped
		case fds[0].Revents == 0:
			continue
		}
		n, err := unix.Read(fd, b)
		switch {
		case errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN):
			continue
		case err != nil:
			return 0, err
		case n == 0 && len(b) > 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// stop makes Read return; a closed pipe is readable.
func (r *pollReader) stop() { _ = r.wakeUp.Close() }

// close frees the pipe after the last Read.
func (r *pollReader) close() { _ = r.wakeIn.Close() }

// openForReading opens a file. A named pipe is opened without waiting for its
// writer; the pump does that.
func openForReading(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode()&os.ModeNamedPipe == 0 {
		return os.Open(path)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}
