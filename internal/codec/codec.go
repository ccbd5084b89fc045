// Package codec is the contract between bytes and batches: decoders fill typed
// columns, encoders write rows out. Each format has a folder of its own below
// this one; codectest holds the suite that every format must pass.
//
// A codec knows one format. It does not know where bytes come from, what
// happens to a bad record, event time, or the plan.
package codec

import (
	"fmt"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/spec"
)

// Pad is the number of readable bytes that must follow every block handed to a
// decoder; their content is ignored. It lets kernels load whole words.
const Pad = 64

// Column is a column that the decoder is to fill. When it is Nullable a missing
// or null value makes a null, otherwise it makes the record bad.
type Column = spec.Column

// Limits bound what one record may cost. Zero fields take the defaults.
type Limits struct {
	RecordBytes int // default 1 MiB
	Depth       int // nesting, default 64
	Elements    int // members and elements of a record in all, default 65,536
}

// WithDefaults fills in the zero fields.
func (l Limits) WithDefaults() Limits {
	if l.RecordBytes == 0 {
		l.RecordBytes = 1 << 20
	}
	if l.Depth == 0 {
		l.Depth = 64
	}
	if l.Elements == 0 {
		l.Elements = 1 << 16
	}
	return l
}

// BadRecord is one refused record. It never costs its neighbours.
type BadRecord struct {
	Offset int64  // of the record's first byte in the block
	Line   int64  // of the block, from 1; 0 where the format has no lines
	Bytes  []byte // the original record, valid until the sink returns; cut at Limits.RecordBytes
	Code   string // stable, for metrics: "syntax", "type", "range", "missing", "utf8", "too_long", "too_deep", "too_many", "truncated"
	Column string // the column at fault, or empty
	Reason string // one sentence
}

// Error makes a BadRecord an error.
func (b *BadRecord) Error() string {
	at := fmt.Sprintf("byte %d", b.Offset)
	if b.Line > 0 {
		at = fmt.Sprintf("line %d (byte %d)", b.Line, b.Offset)
	}
	return fmt.Sprintf("%s: %s", at, b.Reason)
}

// Sink takes what a decoder produces, from the goroutine that called Decode.
type Sink interface {
	// Next gives an empty batch to fill. It is called at the start of Decode and
	// again whenever the current batch is full; the full one was given to Done before.
	Next() *batch.Batch
	// Done takes a filled batch; its ownership moves. An empty batch is handed over too.
	Done(b *batch.Batch) error
	// Bad takes a refused record. An error ends the Decode with that error.
	Bad(r *BadRecord) error
}

// Decoder turns blocks of bytes into rows. One goroutine owns a decoder, which
// keeps scratch memory and what it learned from earlier blocks.
type Decoder interface {
	// Decode decodes a block of whole records in order; the last one may lack its
	// terminator. At least Pad readable bytes must follow the block within its
	// capacity. Strings are copied. The error is the sink's; what is wrong with
	// the bytes goes to sink.Bad, a record over Limits.RecordBytes included.
	Decode(block []byte, sink Sink) error
}

// Encoder writes rows as bytes. One goroutine owns an encoder.
type Encoder interface {
	// Header returns what stands before the first row of a file, or nil.
	Header() []byte
	// Encode appends the rows [from, to) of b to dst.
	Encode(dst []byte, b *batch.Batch, from, to int) ([]byte, error)
	// Footer returns what stands after the last row, or nil.
	Footer() []byte
}

// PreambleDecoder is the decoder of a format whose Frame has a Preamble. Whoever
// makes a decoder looks for it once, and then calls Begin before the first block
// of a split and whenever the preamble of the next block differs from the last
// one begun. Blocks of one split may so go to several decoders in parallel.
type PreambleDecoder interface {
	Decoder
	// Begin reads the preamble, which it copies where it keeps it. The error, a
	// *diag.Error, says that nothing of the split can be decoded: it ends the job.
	Begin(preamble []byte) error
}

// Frame says how the bytes of a split are cut into blocks of whole records. The
// zero Frame is that of lines: no preamble, cut behind the last newline.
//
// A source reads more while Cut returns 0, until a record is sure to be longer
// than Limits.RecordBytes: Cut must find an end when RecordBytes+2 bytes hold a
// newline. A record without one is handed over alone, the first RecordBytes+2
// bytes of it, for the decoder to refuse as "too_long"; the source goes on
// behind its newline. The bytes left at the end of a split are handed over whatever Cut says.
type Frame struct {
	// Whole tells that the payload of a split is one unit that is never cut; the functions are not used.
	Whole bool
	// Preamble returns the length of what stands before the first record of a
	// split, its line end included (csv: byte order mark and header line), and 0
	// when nothing does; -1 while b, the beginning of the split, is too short to
	// tell; then all of a split that ends there is preamble. nil: there is none.
	Preamble func(b []byte) int
	// Cut returns the length of the longest prefix of b that holds whole
	// records, 0 if there is none; b begins at a record. nil: behind the last newline.
	Cut func(b []byte) int
}

// Format is one format as registered: its declaration and its constructors.
type Format struct {
	Decl *spec.Decl
	// Frame returns how a split is cut under the settings; nil means the zero Frame.
	Frame func(set *spec.Values, limits Limits) Frame
	// ContentTypes are the HTTP media types of the format, the first for output.
	ContentTypes []string
	// NewDecoder makes a decoder of the given columns; schema lists every column
	// of the source in the order of the file, columns those that the plan needs,
	// in the order of the batch. nil when the format cannot be read.
	NewDecoder func(set *spec.Values, schema, columns []Column, limits Limits) (Decoder, error)
	// NewEncoder makes an encoder of the visible columns of the schema; nil when the format cannot be written.
	NewEncoder func(set *spec.Values, schema *batch.Schema) (Encoder, error)
	// Schema returns the columns that the format itself prescribes (raw: one
	// binary column); nil when the user declares them.
	Schema func(set *spec.Values) []Column
}
