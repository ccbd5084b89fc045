package python

import (
	"encoding/json"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/gorge-stream/gorge/internal/udf/shm"
)

// protocol is the version of the wire contract, api/udf-protocol.md.
const protocol = 1

const maxMessage = 64 << 10

// message is what a worker sends while it starts.
type message struct {
	Type string `json:"type"`

	// hello
	Protocol int    `json:"protocol"`
	Python   string `json:"python"`
	// hello: version of the package; ready: version of the function
	Version json.RawMessage `json:"version"`

	// refused
	Code      string   `json:"code"`
	Message   string   `json:"message"`
	Traceback string   `json:"traceback"`
	File      string   `json:"file"`
	Line      int      `json:"line"`
	Column    int      `json:"column"`
	Source    string   `json:"source"`
	Names     []string `json:"names"`
}

// PackageVersion returns the version that a hello names.
func (m *message) PackageVersion() string {
	var s string
	_ = json.Unmarshal(m.Version, &s) // another shape is another version
	return s
}

// FunctionVersion returns the version that a ready names.
func (m *message) FunctionVersion() int {
	var n int
	_ = json.Unmarshal(m.Version, &n)
	return n
}

// openMessage is the order that the engine gives to a worker.
type openMessage struct {
	Type            string      `json:"type"`
	Protocol        int         `json:"protocol"`
	Version         string      `json:"version"`
	File            string      `json:"file"`
	Function        string      `json:"function"`
	FunctionVersion int         `json:"function_version"`
	Layout          *shm.Layout `json:"layout"`
}

// receive reads one message; refused is expected at any time.
func (l *link) receive(m *message, expected string) error {
	buf := make([]byte, maxMessage)
	n, err := l.conn.Read(buf)
	if err != nil {
		return fmt.Errorf("read from worker: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("read from worker: %w", io.EOF)
	}
	if err := json.Unmarshal(buf[:n], m); err != nil {
		return fmt.Errorf("message of the worker: %w", err)
	}
	if m.Type != expected && m.Type != "refused" {
		return fmt.Errorf("worker sent %q where %q was due", m.Type, expected)
	}
	return nil
}

// send sends a message with descriptors.
func (l *link) send(m *openMessage, fds ...int) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("message to worker: %w", err)
	}
	if err := unix.Sendmsg(l.fd, b, unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("send to worker: %w", err)
	}
	return nil
}
