package httpio

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/compress"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
)

// firstBuffer is the memory for a body that a request starts with; most need no more.
const firstBuffer = 16 << 10

// bodies keeps first buffers for reuse.
var bodies = sync.Pool{New: func() any { b := make([]byte, 0, firstBuffer); return &b }}

// errSlow tells that a body did not arrive in time.
var errSlow = errors.New("the body came too slowly")

// ServeHTTP takes one request; its answers are listed in the declaration of the source.
func (s *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rows, err := s.ingest(w, r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	var buf [40]byte
	body := append(buf[:0], `{"accepted":`...)
	body = append(strconv.AppendInt(body, int64(rows), 10), "}\n"...)
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(body) // a sender that went away is no concern of the engine
}

// ingest reads and decodes a request, keeps it, and returns the number of its rows.
func (s *endpoint) ingest(w http.ResponseWriter, r *http.Request) (int, error) {
	req := arrival{claim: claim{queue: s.queue, held: firstBuffer}}
	if err := s.check(r, &req); err != nil {
		return 0, err
	}
	if err := s.queue.enter(req.held); err != nil {
		return 0, err
	}
	defer func() { s.queue.leave(req.held) }()

	first := bodies.Get().(*[]byte)
	defer bodies.Put(first)
	var err error
	if req.body, err = s.read(w, r, &req.claim, (*first)[:0]); err != nil {
		return 0, err
	}
	if err := s.decode(r, &req); err != nil {
		return 0, err
	}
	if req.seq > 0 {
		err = s.intake.wait(req.seq)
	}
	return req.rows, err
}

// decode lends the request a decoder, until its rows or its body are handed over.
func (s *endpoint) decode(r *http.Request, req *arrival) error {
	select {
	case k := <-s.workers:
		defer func() { s.workers <- k }()
		return k.accept(req)
	case <-r.Context().Done():
		return r.Context().Err()
	}
}

// arrival is one request on its way.
type arrival struct {
	claim
	kind compress.Kind
	key  *requestKey // nil without one
	body []byte
	rows int
	seq  uint64 // of its record in the journal, 0 when it is not in there
}

// check looks at the headers.
func (s *endpoint) check(r *http.Request, req *arrival) (err error) {
	if ct := r.Header.Get("Content-Type"); !s.accepts(ct) {
		return diag.New("ingest/content-type", "source %s takes no %q", s.name, clip(ct)).
			WithHint("send Content-Type: %s; curl: -H 'Content-Type: %s'", strings.Join(s.types, " or "), s.types[0])
	}
	if req.kind, err = compress.ByEncoding(r.Header.Get("Content-Encoding")); err != nil {
		return err
	}
	if s.intake != nil {
		if req.key, err = s.intake.keyOf(r.Header); err != nil {
			return err
		}
	}
	// The length is not trusted, but who announces too much can be told at once.
	if r.ContentLength > s.maxBody {
		return errTooLarge
	}
	return nil
}

// claim is the memory that one request holds in the budget of the queue.
type claim struct {
	queue *queue
	held  int64
}

func (c *claim) more(n int64) error {
	if err := c.queue.reserve(n, c.held); err != nil {
		return err
	}
	c.held += n
	return nil
}

// read reads the body as it was sent into buf or a larger buffer, and leaves the pad of the decoders behind it.
func (s *endpoint) read(w http.ResponseWriter, r *http.Request, c *claim, buf []byte) ([]byte, error) {
	deadline := http.NewResponseController(w)
	supported := deadline.SetReadDeadline(time.Now().Add(s.timeout)) == nil
	body, err := fill(buf, r.Body, s.maxBody, c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, errSlow
	}
	if supported && err == nil {
		_ = deadline.SetReadDeadline(time.Time{})
	}
	return body, err
}

// fill appends what r has to buf, at most limit bytes, and claims memory as the buffer grows.
func fill(buf []byte, r io.Reader, limit int64, c *claim) ([]byte, error) {
	for {
		if cap(buf)-len(buf) <= codec.Pad {
			if err := c.more(int64(cap(buf))); err != nil {
				return nil, err
			}
			buf = append(make([]byte, 0, 2*cap(buf)), buf...)
		}
		n, err := r.Read(buf[len(buf) : cap(buf)-codec.Pad])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > limit:
			return nil, errTooLarge
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			return nil, err
		}
	}
}

// refuse answers with what went wrong.
func (s *endpoint) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var bad *badRecord
	var d *diag.Error
	errors.As(err, &d)
	switch {
	case errors.As(err, &bad):
		bad.write(w)
	case errors.Is(err, errFull):
		w.Header().Set("Retry-After", "1")
		connector.Refuse(w, http.StatusTooManyRequests, diag.New("ingest/busy", "source %s has no room: the pipeline does not keep up", s.name).
			WithHint("send the request again after the time in Retry-After; nothing of it was accepted"))
	case errors.Is(err, errDraining):
		unavailable(w)
	case errors.Is(err, errBroken):
		w.Header().Set("Retry-After", "1")
		connector.Refuse(w, http.StatusServiceUnavailable, diag.New("ingest/journal", "source %s cannot keep requests: %s", s.name, brokenReason(err)).
			WithHint("the engine ends with the reason in its log; send the request again when it runs again"))
	case errors.Is(err, errReused):
		connector.Refuse(w, http.StatusUnprocessableEntity, diag.New("ingest/key-reused", "another request with the same key, but another body, was accepted before").
			WithHint("use a new key for each request, and the same one only to repeat it"))
	case errors.Is(err, errSlow):
		w.Header().Set("Connection", "close")
		connector.Refuse(w, http.StatusRequestTimeout, diag.New("ingest/slow", "the body did not arrive within %v", s.timeout))
	case errors.Is(err, errTooLarge), d != nil && d.Code == compress.CodeTooLarge:
		connector.Refuse(w, http.StatusRequestEntityTooLarge, diag.New("ingest/too-large", "the request is too large for source %s", s.name).
			WithHint("a body may have %d bytes, also after decompression, and its rows have to fit into an empty queue of %d bytes, with checkpoints also into the journal; send fewer rows at a time",
				s.maxBody, s.queue.maxBytes))
	case d != nil && (d.Code == compress.CodeEncoding || d.Code == "ingest/content-type"):
		connector.Refuse(w, http.StatusUnsupportedMediaType, d)
	case d != nil:
		connector.Refuse(w, http.StatusBadRequest, d)
	default: // the connection broke: nobody will read the answer
		s.log.Debug("a request broke off", "source", s.name, "remote", r.RemoteAddr, "error", err)
		connector.Refuse(w, http.StatusBadRequest, diag.New("ingest/broken-off", "the body broke off"))
	}
}

// badRecord is the answer to a request with a record that cannot be decoded.
type badRecord struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
	Line    int64  `json:"line,omitempty"`
	Byte    int64  `json:"byte"`
	Column  string `json:"column,omitempty"`
	Record  string `json:"record"`
}

// Error returns the message.
func (b *badRecord) Error() string { return b.Message }

func newBadRecord(r *codec.BadRecord, preamble []byte) *badRecord {
	k := *r
	k.Offset += int64(len(preamble))
	if k.Line > 0 {
		k.Line += int64(strings.Count(string(preamble), "\n"))
	}
	return &badRecord{
		Code: "ingest/" + k.Code, Message: k.Error(), Hint: "nothing of this request was accepted: correct the record and send all again",
		Line: k.Line, Byte: k.Offset, Column: k.Column, Record: clip(string(k.Bytes)),
	}
}

func (b *badRecord) write(w http.ResponseWriter) {
	body, err := json.Marshal(b)
	if err != nil { // texts and numbers always marshal
		body = []byte(`{"code":"internal","message":"the error could not be written"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write(append(body, '\n'))
}
