// Package compress opens and makes compressed streams, gzip and zstd, for every
// connector that reads or writes bytes.
//
// It knows bytes only: no file, no HTTP, no format. What it holds: memory is
// bounded whatever the input says (a zstd window is at most 128 MiB), and a
// reader ends with an error as soon as it has inflated more than its limit, long
// before a small hostile input has become a large one.
package compress

import (
	"bytes"
	"errors"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/gorge-stream/gorge/internal/diag"
)

// Kind is a way of compressing.
type Kind uint8

// The kinds.
const (
	None Kind = iota
	Gzip
	Zstd
)

// Names are the words of the pipeline file, by Kind.
var Names = []string{"none", "gzip", "zstd"}

// String returns the word of the pipeline file.
func (k Kind) String() string { return Names[k] }

// Parse returns the kind of a word of the pipeline file; ok is false for "auto" and any other word.
func Parse(word string) (k Kind, ok bool) {
	for i, n := range Names {
		if n == word {
			return Kind(i), true
		}
	}
	return None, false
}

// maxWindow bounds the memory of a zstd reader; it is what "zstd --long" needs.
const maxWindow = 128 << 20

// The codes of the errors of this package.
const (
	CodeTooLarge = diag.Code("compress/too-large")
	CodeCorrupt  = diag.Code("compress/corrupt")
	CodeEncoding = diag.Code("compress/unknown-encoding")
)

var (
	magicGzip = []byte{0x1f, 0x8b}
	magicZstd = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// Detect returns the kind of a stream that begins with head, by its magic number.
func Detect(head []byte) Kind {
	switch {
	case bytes.HasPrefix(head, magicGzip):
		return Gzip
	case bytes.HasPrefix(head, magicZstd):
		return Zstd
	}
	return None
}

// Sniff reads the first bytes of r and returns their kind, and a reader of the
// whole stream. It reads no more than it needs to tell: of a stream that comes
// slowly and is not compressed, one byte as a rule.
func Sniff(r io.Reader) (Kind, io.Reader, error) {
	var head []byte
	for open(head) {
		var b [1]byte
		_, err := io.ReadFull(r, b[:])
		if errors.Is(err, io.EOF) {
			return None, bytes.NewReader(head), nil
		}
		if err != nil {
			return None, nil, err
		}
		head = append(head, b[0])
	}
	return Detect(head), io.MultiReader(bytes.NewReader(head), r), nil
}

// open reports whether more bytes behind head decide about its kind.
func open(head []byte) bool {
	for _, m := range [][]byte{magicGzip, magicZstd} {
		if len(head) < len(m) && bytes.HasPrefix(m, head) {
			return true
		}
	}
	return false
}

// ByExtension returns the kind that the name of a file to be written asks for:
// .gz gzip, .zst or .zstd zstd, else none.
func ByExtension(name string) Kind {
	switch strings.ToLower(path.Ext(name)) {
	case ".gz":
		return Gzip
	case ".zst", ".zstd":
		return Zstd
	}
	return None
}

// ByEncoding returns the kind of an HTTP Content-Encoding; the error of an
// unknown one is a *diag.Error with CodeEncoding.
func ByEncoding(header string) (Kind, error) {
	switch strings.ToLower(strings.TrimSpace(header)) {
	case "", "identity":
		return None, nil
	case "gzip", "x-gzip":
		return Gzip, nil
	case "zstd":
		return Zstd, nil
	}
	return None, diag.New(CodeEncoding, "the content encoding %q is not known", header).
		WithHint("send the body as it is, or with Content-Encoding gzip or zstd")
}

// NewReader returns a reader of the inflated bytes of r. Its errors are
// *diag.Error: CodeTooLarge once more than limit bytes came out (0: no limit),
// CodeCorrupt for a damaged or truncated stream; errors of r itself come back
// as they are. Close releases memory and leaves r open.
func NewReader(r io.Reader, k Kind, limit int64) (io.ReadCloser, error) {
	src := &source{r: r}
	out := &reader{src: src, kind: k, limit: limit}
	switch k {
	case Gzip:
		z, err := gzip.NewReader(src)
		if err != nil {
			return nil, out.explain(err)
		}
		out.r, out.close = z, func() { _ = z.Close() }
	case Zstd:
		// Concurrency 1 inflates in the calling goroutine: whoever reads decides about the cores.
		z, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, out.explain(err)
		}
		out.r, out.close = z, z.Close
	default:
		out.r, out.close = src, func() {}
	}
	return out, nil
}

// source remembers what r failed with, to tell a broken pipe from broken data.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// reader counts what comes out and explains errors.
type reader struct {
	r     io.Reader
	close func()
	src   *source
	kind  Kind
	limit int64
	n     int64
	err   error // sticky
}

func (r *reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if r.limit > 0 && int64(len(p)) > r.limit-r.n {
		p = p[:min(int64(len(p)), r.limit-r.n+1)] // one byte more tells a full stream from a longer one
	}
	n, err := r.r.Read(p)
	r.n += int64(n)
	if r.limit > 0 && r.n > r.limit {
		n -= int(r.n - r.limit)
		r.n = r.limit
		err = diag.New(CodeTooLarge, "the %s stream inflates to more than %d bytes", r.kind, r.limit)
		if r.kind == None {
			err = diag.New(CodeTooLarge, "the stream is longer than %d bytes", r.limit)
		}
	}
	if err != nil {
		r.err = r.explain(err)
	}
	return n, r.err
}

func (r *reader) explain(err error) error {
	var d *diag.Error
	switch {
	case r.src.err != nil:
		return r.src.err
	case errors.Is(err, io.EOF) && r.r != nil, errors.As(err, &d):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return diag.New(CodeCorrupt, "the %s stream is truncated: it ends within a frame", r.kind).WithCause(io.ErrUnexpectedEOF)
	}
	return diag.New(CodeCorrupt, "the %s stream is damaged", r.kind).WithCause(err)
}

// Close releases the memory of the reader. A second Close does nothing.
func (r *reader) Close() error {
	if r.close != nil {
		r.close()
		r.close = nil
		r.err = io.ErrClosedPipe
	}
	return nil
}

// Writer compresses what is written to it.
type Writer interface {
	io.WriteCloser
	// Flush brings everything written so far to the underlying writer, at some
	// cost in size. Close ends the stream and leaves the underlying writer open.
	Flush() error
}

// NewWriter returns a writer that compresses to w.
func NewWriter(w io.Writer, k Kind) (Writer, error) {
	switch k {
	case Gzip:
		return gzip.NewWriter(w), nil
	case Zstd:
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	}
	return plain{w}, nil
}

type plain struct{ io.Writer }

func (plain) Flush() error { return nil }
func (plain) Close() error { return nil }
