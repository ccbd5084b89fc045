package shm

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
	"unsafe"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/udf"
)

// The status of a result, as the worker writes it.
const (
	statusDone       = 0
	statusSomeFailed = 1
	statusTooLarge   = 2
)

// ErrTooLarge says that the results of a batch do not fit a slot: hand over fewer rows.
var ErrTooLarge = errors.New("the results do not fit a slot")

// ViolationError says that a worker wrote what no sane worker writes. The worker
// is not to be trusted any more.
type ViolationError struct{ What string }

// Error says what the worker did.
func (e *ViolationError) Error() string { return "broke the protocol: " + e.What }

func violation(format string, args ...any) error {
	return &ViolationError{fmt.Sprintf(format, args...)}
}

// maxArena bounds the texts that one result column takes in, below batch.MaxArena.
const maxArena = 1 << 30

// Scratch is the engine's own memory for copies that are still to be validated.
// The zero value is ready; it may be used by one goroutine at a time.
type Scratch struct {
	bytes   []byte
	offsets []int32
}

func (s *Scratch) copyOf(b []byte) []byte {
	s.bytes = append(s.bytes[:0], b...)
	return s.bytes
}

type resultHeader struct {
	sequence      uint64
	rows, status  uint32
	nulls         uint64
	failuresBytes uint32
}

// Read copies the result of the batch with the given sequence number, which had n
// rows, to the rows of dst from row at on, and appends the rows that failed to
// failures, counted as rows of dst. Failed rows are null.
//
// The error is ErrTooLarge or a *ViolationError; what dst then holds in those rows is undefined.
func (out *Output) Read(sequence uint64, n int, dst *batch.Batch, at int, failures []udf.Failure, s *Scratch) ([]udf.Failure, error) {
	slot := out.slot(int(sequence % uint64(out.layout.Slots)))
	return readSlot(slot, out.layout, sequence, n, dst, at, failures, s)
}

func readSlot(slot []byte, l *Layout, sequence uint64, n int, dst *batch.Batch, at int, failures []udf.Failure, s *Scratch) ([]udf.Failure, error) {
	h := parseHeader(s.copyOf(slot[:header]))
	switch {
	case h.sequence != sequence:
		return failures, violation("result has number %d, expected %d", h.sequence, sequence)
	case int(h.rows) != n:
		return failures, violation("result has %d rows, expected %d", h.rows, n)
	case h.nulls>>1>>uint(len(l.Output.Columns)-1) != 0:
		return failures, violation("result names columns that it does not have")
	}
	switch h.status {
	case statusTooLarge:
		return failures, ErrTooLarge
	case statusDone, statusSomeFailed:
	default:
		return failures, violation("unknown status %d", h.status)
	}
	for i := range l.Output.Columns {
		if err := readColumn(slot, &l.Output.Columns[i], dst.Col(i), at, n, h.nulls>>uint(i)&1 != 0, s); err != nil {
			return failures, err
		}
	}
	if h.status == statusDone {
		return failures, nil
	}
	return readFailures(slot, l, int(h.failuresBytes), n, dst, at, failures, s)
}

func parseHeader(b []byte) resultHeader {
	return resultHeader{
		sequence:      binary.LittleEndian.Uint64(b),
		rows:          binary.LittleEndian.Uint32(b[8:]),
		status:        binary.LittleEndian.Uint32(b[12:]),
		nulls:         binary.LittleEndian.Uint64(b[16:]),
		failuresBytes: binary.LittleEndian.Uint32(b[24:]),
	}
}

func readColumn(slot []byte, c *Column, col *batch.Column, at, n int, nulls bool, s *Scratch) error {
	switch {
	case c.Kind == batch.Bool:
		values := s.copyOf(slot[c.Values : c.Values+n])
		for i := 0; i < n; i += 64 {
			k := min(64, n-i)
			putBits(col.Bits(), at+i, packBytes(values[i:i+k]), k)
		}
	case c.Kind.Views():
		if err := readTexts(slot, c, col, at, n, s); err != nil {
			return err
		}
	default:
		w := c.Kind.Width()
		copy(col.Data()[at*w:(at+n)*w], slot[c.Values:c.Values+n*w])
	}
	if col.HasNulls() { // rows of a batch that is tried again may be null from the first try
		for i := 0; i < n; i += 64 {
			putBits(col.MakeNullable(), at+i, ^uint64(0), min(64, n-i))
		}
	}
	if !nulls {
		return nil
	}
	bits := s.copyOf(slot[c.Validity : c.Validity+(n+7)/8])
	for i := range n {
		if bits[i>>3]>>(uint(i)&7)&1 == 0 {
			col.SetNull(at + i)
		}
	}
	return nil
}

func readTexts(slot []byte, c *Column, col *batch.Column, at, n int, s *Scratch) error {
	shared := unsafe.Slice((*int32)(unsafe.Pointer(&slot[c.Values])), n+1)
	s.offsets = append(s.offsets[:0], shared...)
	ends := s.offsets
	if ends[0] != 0 {
		return violation("texts begin at %d", ends[0])
	}
	for i := range n {
		if ends[i+1] < ends[i] {
			return violation("offsets of texts go back")
		}
	}
	total := int(ends[n])
	if total > c.BytesCap {
		return violation("texts of %d bytes in room for %d", total, c.BytesCap)
	}
	if len(col.Arena())+total > maxArena {
		return ErrTooLarge
	}
	raw := s.copyOf(slot[c.Bytes : c.Bytes+total])
	if c.Kind == batch.String && !validTexts(raw, ends) {
		return violation("a text is not UTF-8")
	}
	for i := range n {
		col.SetBytes(at+i, raw[ends[i]:ends[i+1]])
	}
	return nil
}

// validTexts reports whether the whole is UTF-8 and no text begins inside a character.
func validTexts(raw []byte, ends []int32) bool {
	if !utf8.Valid(raw) {
		return false
	}
	for _, e := range ends {
		if int(e) < len(raw) && !utf8.RuneStart(raw[e]) {
			return false
		}
	}
	return true
}

// wireFailure is one kind of failure as the worker writes it.
type wireFailure struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Traceback string `json:"traceback"`
}

func readFailures(slot []byte, l *Layout, size, n int, dst *batch.Batch, at int, failures []udf.Failure, s *Scratch) ([]udf.Failure, error) {
	if size > l.ErrorsCap {
		return failures, violation("%d bytes of errors in room for %d", size, l.ErrorsCap)
	}
	var kinds []wireFailure
	if err := json.Unmarshal(s.copyOf(slot[l.Errors:l.Errors+size]), &kinds); err != nil {
		return failures, violation("errors are not JSON: %v", err)
	}
	for i := range kinds {
		if !knownCodes[kinds[i].Code] {
			return failures, violation("unknown error code %.40q", kinds[i].Code)
		}
	}
	rows := s.copyOf(slot[l.RowErrors : l.RowErrors+2*n])
	for i := range n {
		k := int(binary.LittleEndian.Uint16(rows[2*i:]))
		if k == 0 {
			continue
		}
		if k > len(kinds) {
			return failures, violation("row %d failed by error %d of %d", i, k, len(kinds))
		}
		f := &kinds[k-1]
		for c := range l.Output.Columns {
			dst.Col(c).SetNull(at + i)
		}
		failures = append(failures, udf.Failure{Row: at + i, Code: f.Code, Message: f.Message, Traceback: f.Traceback})
	}
	return failures, nil
}

var knownCodes = map[string]bool{"exception": true, "wrong_length": true, "wrong_dtype": true}
