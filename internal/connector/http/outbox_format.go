package httpio

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/gorge-stream/gorge/internal/failpoint"
)

// Sizes and marks of the format; see docs/formats/outbox.md.
const (
	outboxMagic   = "gorgeobx"
	outboxVersion = 1
	outboxHeader  = len(outboxMagic) + 4 + len(outboxID{}) + 4 // before the media type
	outboxRecord  = 8                                          // before what a record holds
	maxMediaType  = 64 << 10
	maxRequest    = 1 << 30 // bytes of a body
	kindRequest   = 'r'
	kindEnd       = 'e'
)

// errNoOutbox says that bytes are not what an outbox file holds.
var errNoOutbox = errors.New("it is damaged")

// outboxID tells an outbox file from all others that there ever were. The keys of its
// requests come from it and from the number of their first row. Numbers of epochs would not
// do: they begin anew with a store of checkpoints that was emptied.
type outboxID [16]byte

// newID makes an id.
func newID() (id outboxID) {
	_, _ = rand.Read(id[:]) // it never fails
	return id
}

// key is the Idempotency-Key of the request that begins with a row of the file.
func (id outboxID) key(first int64) string {
	if failpoint.Bug("http-key-without-file") {
		id = outboxID{}
	}
	b := binary.LittleEndian.AppendUint64(append([]byte("gorge outbox"), id[:]...), uint64(first))
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// appendHeader appends what a file begins with.
func appendHeader(b []byte, id outboxID, mediaType string) []byte {
	from := len(b)
	b = append(b, outboxMagic...)
	b = binary.LittleEndian.AppendUint32(b, outboxVersion)
	b = append(b, id[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(mediaType)))
	b = append(b, mediaType...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[from:], castagnoli))
}

// appendRequest appends a sealed request whose first row is row first of the file.
func appendRequest(b []byte, first int64, r *request) ([]byte, error) {
	if len(r.body) > maxRequest {
		return b, fmt.Errorf("a request of %d bytes is too large", len(r.body))
	}
	from := len(b)
	b = append(b, make([]byte, outboxRecord)...)
	b = append(b, kindRequest)
	b = binary.AppendUvarint(b, uint64(first))
	b = binary.AppendUvarint(b, uint64(len(r.at)))
	end := 0
	for i, at := range r.at {
		n := len(r.row(i))
		b = binary.AppendUvarint(b, uint64(at-end))
		b = binary.AppendUvarint(b, uint64(n))
		end = at + n
	}
	b = append(b, r.body...)
	sealRecord(b[from:])
	return b, nil
}

// appendEnd appends what a file ends with.
func appendEnd(b []byte, requests, rows int64) []byte {
	from := len(b)
	b = append(b, make([]byte, outboxRecord)...)
	b = append(b, kindEnd)
	b = binary.LittleEndian.AppendUint64(b, uint64(requests))
	b = binary.LittleEndian.AppendUint64(b, uint64(rows))
	sealRecord(b[from:])
	return b
}

// endSize is how long the end is.
const endSize = outboxRecord + 1 + 16

// sealRecord fills in the length and the checksum of a record.
func sealRecord(b []byte) {
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-outboxRecord))
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
}

// boxed is a request as it comes out of a file. Its text and ends stay empty.
type boxed struct {
	request
	spans [][2]int // of the rows in the body, from and to
	size  int64    // bytes of the record
}

// rowsOf copies the rows.
func (b *boxed) rowsOf() [][]byte {
	out := make([][]byte, len(b.spans))
	for i, s := range b.spans {
		out[i] = append([]byte(nil), b.body[s[0]:s[1]]...)
	}
	return out
}

// boxReader reads an outbox file and believes nothing of it unchecked.
type boxReader struct {
	r              *bufio.Reader
	left           int64 // bytes of the file behind what was read
	id             outboxID
	mediaType      string
	requests, rows int64 // read so far
	ended          bool
	buf            []byte
}

// newBoxReader reads the header of a file of size bytes.
func newBoxReader(r io.Reader, size int64) (*boxReader, error) {
	b := &boxReader{r: bufio.NewReaderSize(r, 64<<10), left: size}
	head, err := b.take(nil, int64(outboxHeader))
	if err != nil {
		return nil, err
	}
	n := int64(binary.LittleEndian.Uint32(head[outboxHeader-4:]))
	switch version := binary.LittleEndian.Uint32(head[len(outboxMagic):]); {
	case string(head[:len(outboxMagic)]) != outboxMagic:
		return nil, fmt.Errorf("%w: it does not begin like an outbox file", errNoOutbox)
	case version != outboxVersion:
		return nil, fmt.Errorf("%w, or of a later engine: it is of version %d", errNoOutbox, version)
	case n > maxMediaType:
		return nil, fmt.Errorf("%w: the header is too long", errNoOutbox)
	}
	if head, err = b.take(head, n+4); err != nil {
		return nil, err
	}
	body := head[:len(head)-4]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(head[len(body):]) {
		return nil, fmt.Errorf("%w: the checksum of the header is wrong", errNoOutbox)
	}
	b.id, b.mediaType = outboxID(body[len(outboxMagic)+4:]), string(body[outboxHeader:])
	return b, nil
}

// take appends the next n bytes to b. It never makes room for more than the file has.
func (r *boxReader) take(b []byte, n int64) ([]byte, error) {
	if n > r.left {
		return b, fmt.Errorf("%w: it ends too early", errNoOutbox)
	}
	from := len(b)
	b = append(b, make([]byte, n)...)
	if _, err := io.ReadFull(r.r, b[from:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return b, fmt.Errorf("%w: it ends too early", errNoOutbox)
		}
		return b, err
	}
	r.left -= n
	return b, nil
}

// next reads the next request; io.EOF comes behind the last, when all of the file was sound.
func (r *boxReader) next(q *boxed) error {
	if r.ended {
		return io.EOF
	}
	b, err := r.take(r.buf[:0], outboxRecord)
	if err == nil {
		b, err = r.take(b, int64(binary.LittleEndian.Uint32(b[4:])))
	}
	r.buf = b
	if cap(b) > keptText {
		r.buf = nil
	}
	if err != nil {
		return err
	}
	payload := b[outboxRecord:]
	if crc32.Checksum(b[4:], castagnoli) != binary.LittleEndian.Uint32(b) || len(payload) == 0 {
		return fmt.Errorf("%w: the checksum of request %d is wrong", errNoOutbox, r.requests)
	}
	switch payload[0] {
	case kindEnd:
		return r.end(payload[1:])
	case kindRequest:
		if !r.parse(payload[1:], q) {
			return fmt.Errorf("%w: request %d makes no sense", errNoOutbox, r.requests)
		}
		q.size, q.key, q.contentType = int64(len(b)), r.id.key(r.rows), r.mediaType
		r.requests++
		r.rows += int64(len(q.spans))
		return nil
	}
	return fmt.Errorf("%w: record %d is of no known kind", errNoOutbox, r.requests)
}

// end checks the end of the file.
func (r *boxReader) end(b []byte) error {
	if len(b) != 16 || binary.LittleEndian.Uint64(b) != uint64(r.requests) || binary.LittleEndian.Uint64(b[8:]) != uint64(r.rows) || r.left != 0 {
		return fmt.Errorf("%w: its end does not fit what is before it", errNoOutbox)
	}
	r.ended = true
	return io.EOF
}

// parse reads a request.
func (r *boxReader) parse(b []byte, q *boxed) bool {
	q.spans = q.spans[:0]
	first, b, ok := cutUvarint(b)
	if !ok || int64(first) != r.rows {
		return false
	}
	rows, b, ok := cutUvarint(b)
	if !ok || rows == 0 || rows > uint64(len(b))/2 { // each takes two bytes at least
		return false
	}
	end := uint64(0)
	for range rows {
		var gap, n uint64
		if gap, b, ok = cutUvarint(b); !ok {
			return false
		}
		if n, b, ok = cutUvarint(b); !ok || gap > math.MaxInt32 || n > math.MaxInt32 {
			return false
		}
		q.spans = append(q.spans, [2]int{int(end + gap), int(end + gap + n)})
		if end += gap + n; end > math.MaxInt32 {
			return false
		}
	}
	if end > uint64(len(b)) {
		return false
	}
	q.body = append(q.body[:0], b...)
	return true
}

// cutUvarint reads a number and returns what follows it.
func cutUvarint(b []byte) (x uint64, rest []byte, ok bool) {
	x, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, b, false
	}
	return x, b[n:], true
}
