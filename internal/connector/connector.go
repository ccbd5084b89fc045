// Package connector is the contract with the world outside: sources that hand
// over blocks of bytes or rows, and sinks that take batches. Each external
// system has a folder of its own below this one; connectortest holds the suites
// that every source and sink must pass.
//
// A connector knows one external system. A source does not know codecs,
// watermarks or barriers; a sink does not know who decides that an epoch is
// committed.
package connector

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/delivery"
	"github.com/gorge-stream/gorge/internal/spec"
)

// Split is one unit of a source: a file, a partition, an HTTP endpoint.
type Split struct {
	ID      string // stable, unique within the source; shown in metrics and messages
	Bounded bool   // it has an end
}

// Position says where a split stands: opaque bytes that only its source reads. nil is the start.
type Position []byte

// Block is one unit of input: whole records of one split, in order. The runtime
// owns the block and reuses it; a reader fills it.
type Block struct {
	// Data holds the payload; the reader appends to Data[:0] or replaces it, and
	// leaves codec.Pad bytes of capacity behind the end.
	Data []byte
	// Preamble is what stood before the first record of the split (see
	// codec.Frame), the same bytes for every block of the split, also behind a
	// resumed position; nil when there is none. Data begins behind it. It is
	// never written again, so that everybody may keep it; the runtime hands it to
	// the decoder by codec.PreambleDecoder.
	Preamble []byte
	// Rows is set instead of Data by sources that make rows themselves; its
	// ownership moves with the block.
	Rows *batch.Batch
	// Place tells people where the block comes from: "file.ndjson".
	Place string
	// Offset is where Data begins within the split, in bytes; -1 when Place says where.
	Offset int64
	// Line is the number of the first line of Data within the split, 0 if unknown.
	Line int64
}

// ErrNoData is returned by Poll when nothing is there now but may be later.
var ErrNoData = errors.New("no data now")

// SplitReader reads one split. One goroutine at a time calls it; it may be a
// different one each time.
type SplitReader interface {
	// Poll fills b with the next block and returns nil, io.EOF at the end of a
	// bounded split, ErrNoData when it is dry, or an error that ends the job. It
	// may block on its own I/O for moments, never for want of input: then it
	// returns ErrNoData and the runtime waits by Source.Wait. Blocks are cut by
	// the input alone, so that the same input gives the same blocks in every run.
	Poll(ctx context.Context, b *Block) error
	// Position returns where the split stands behind the last block.
	Position() Position
	// Close ends the reading. A second Close does nothing.
	Close() error
}

// Source is one source of the pipeline file.
type Source interface {
	// Splits returns the splits there are now, in a stable order.
	Splits(ctx context.Context) ([]Split, error)
	// Open starts a split at a position.
	Open(ctx context.Context, split Split, at Position) (SplitReader, error)
	// Wait blocks until a split that was dry may have data, or the context ends.
	Wait(ctx context.Context) error
	// Close releases the source after all its readers were closed. A second Close does nothing.
	Close() error
}

// Drainer is what a source offers besides that has input of its own in hand,
// already acknowledged to its sender.
type Drainer interface {
	// Drain tells the source to accept no more. Poll then hands out what is in hand,
	// never returns ErrNoData and ends with io.EOF. It may be called at any time, also during Wait, which returns.
	Drain()
}

// SourceEnv is what a source is built from.
type SourceEnv struct {
	Name   string        // of the source in the file
	Format *codec.Format // nil when the source makes rows itself
	// Values are the settings of the format.
	FormatValues *spec.Values
	// Schema lists every column of the source; Columns those that the plan needs, in the order of Batch.
	Schema, Columns []codec.Column
	Batch           *batch.Schema // the schema of the batches for sources that make rows
	BlockBytes      int           // size of a block of bytes, about
	BatchRows       int           // rows of a batch
	Limits          codec.Limits
	HTTP            Mux // routes of the engine's HTTP server
	Log             *slog.Logger
	DataDir         string // where the engine may keep files of its own
	FS              vfs.FS // of everything that has to be durable
	// Epochs: the job keeps checkpoints, and the source will be told what is released.
	Epochs bool
}

// Releaser is what a source offers besides that keeps input until nobody can
// ask for it again.
type Releaser interface {
	// Release tells that every kept checkpoint stands at or behind the position. It
	// is called in the order of the epochs by one goroutine, beside readers.
	Release(ctx context.Context, split string, at Position) error
}

// Epoch is one unit of what becomes final together: everything between two barriers.
type Epoch struct {
	ID uint64 // from 1 on, ascending, with gaps where epochs were abandoned
	// Final: the input has ended, no row follows.
	Final bool
}

// Committable is what a sink made durable for one epoch: opaque bytes that only the sink reads.
type Committable []byte

// Prepared is the output of one writer in one epoch, cut off from what the writer takes next.
type Prepared interface {
	// Persist makes the output durable and returns what Sink.Commit needs, nil for
	// nothing. It is called once, in a goroutine of its own beside the writer and
	// its next epochs, also behind the writer's Close. An error ends the job: what
	// the disk may have lost is not tried again.
	Persist(ctx context.Context) (Committable, error)
}

// Sink is a sink that takes part in epochs: nothing that its writers take is
// visible before the epoch is decided.
type Sink interface {
	// Recover comes first. It brings the other side to the state behind epoch last:
	// it commits again what c, the committables of the latest decided checkpoint,
	// names, and clears away what undecided epochs left. With last 0 there is no
	// checkpoint: whatever an earlier run left undecided goes.
	Recover(ctx context.Context, last uint64, c []Committable) error
	// Writer makes the writer of one task.
	Writer(ctx context.Context, env WriterEnv) (SinkWriter, error)
	// Commit makes the committables of a decided epoch visible: of all writers, and
	// of abandoned epochs before it. It is idempotent. The engine calls it in the
	// order of the epochs from one goroutine, beside the writers, and decides no
	// further epoch before it has returned; an error ends the job, and the next
	// start goes by Recover.
	Commit(ctx context.Context, epoch uint64, c []Committable) error
	// Close releases what the writers share, after all of them have been closed and
	// the last epoch was committed or given up. A second Close does nothing.
	Close() error
}

// WriterEnv is what the writer of one task is made from.
type WriterEnv struct {
	Task int // 0 to SinkEnv.Writers-1
	// Dead takes a row that cannot be written. Only methods of the writer may call it, in their goroutine.
	Dead func(code, reason, detail string, row []byte)
}

// SinkWriter writes the rows of one sink task. One goroutine calls it.
type SinkWriter interface {
	// Write takes a batch; its ownership moves. It may block: that is how a slow
	// sink slows the pipeline down. An error ends the job. Rows that the other
	// side refuses for good go to SinkEnv.Dead.
	Write(ctx context.Context, b *batch.Batch) error
	// Flush brings out everything written so far, and for sinks without a
	// transaction makes it visible. The task calls it when its input runs dry and at the end.
	Flush(ctx context.Context) error
	// Prepare cuts the output: everything written so far belongs to the epoch, what
	// follows does not. It holds up the task, so what takes time is left to
	// Prepared.Persist. The engine calls it for the writers of a Sink only; nil
	// means that there is nothing to commit.
	Prepare(ctx context.Context, e Epoch) (Prepared, error)
	// Close ends the writer. complete tells that the input ended well: only then
	// may a sink without epochs make final what it had kept back. What was prepared
	// stays as it is. A second Close does nothing.
	Close(ctx context.Context, complete bool) error
}

// SinkEnv is what a sink is built from.
type SinkEnv struct {
	Name   string        // of the sink in the file
	Schema *batch.Schema // of the batches it gets
	// Encoded is true when the batches hold one binary column "payload" with
	// chunks of encoded rows (Registration.Bytes); Header and Footer frame a file.
	Encoded        bool
	Header, Footer []byte
	ContentType    string
	Format         *codec.Format // for sinks that encode row by row themselves, else nil
	FormatValues   *spec.Values
	DataDir        string // where the engine may keep files of its own
	FS             vfs.FS // of everything that has to be durable
	// Dead takes a row that cannot be written, from methods of the writer alone and
	// in their goroutine. The writers of a Sink have WriterEnv.Dead instead.
	Dead     func(code, reason, detail string, row []byte)
	Writers  int // how many tasks write
	HTTP     Mux
	Log      *slog.Logger
	Terminal bool // standard output is a terminal
	// Stalled is told why the sink can take nothing now, such as a full disk, and ""
	// when it goes on. Any goroutine may call it; it does not block. nil: nobody asks.
	Stalled func(reason string)
}

// Mux lets a connector serve HTTP on the engine's one address.
type Mux interface {
	// Handle registers a handler for a pattern of net/http.ServeMux; it panics on a conflict.
	Handle(pattern string, handler http.Handler)
}

// Registration is one connector as listed in cmd/gorge/connectors.go.
type Registration struct {
	// Decl declares the settings; one declaration per direction.
	Source *spec.Decl
	Sink   *spec.Decl
	// DefaultFormat is the format of a source or sink that names none; empty when one must be named or none is needed.
	DefaultFormat string
	// Rows: the source makes rows itself and takes no format unless the file names one.
	Rows bool
	// SourceSchema returns the columns of a source that makes rows; nil otherwise.
	SourceSchema func(set *spec.Values) []codec.Column
	// Bytes: the sink takes encoded chunks instead of rows.
	Bytes bool
	// Dead: the sink may refuse rows for good, which become dead letters; in Write, Flush
	// and Prepare, a Parallel one in Write alone. Behind the last barrier nobody takes them.
	Dead bool
	// Parallel: every task that makes rows for the sink has a writer of its own,
	// made by a call of NewSink or Sink.Writer each; else one writer gets all rows in order.
	Parallel bool
	// Unbounded reports whether a source never ends of itself, by its settings alone; nil: nobody knows.
	Unbounded func(set *spec.Values) bool
	// AtEnd reports whether a sink with epochs shows nothing before its input ends; nil: it never waits so long.
	AtEnd func(set *spec.Values) bool
	// SourcePromise and SinkPromise state what the edge can hold in a job with
	// checkpoints, the sink's with epochs where it has NewEpochSink.
	SourcePromise func(set *spec.Values) delivery.Promise
	SinkPromise   func(set *spec.Values) delivery.Promise
	NewSource     func(set *spec.Values, env SourceEnv) (Source, error)
	// NewSink makes a writer that takes no part in epochs: rows leave as they come.
	NewSink func(set *spec.Values, env SinkEnv) (SinkWriter, error)
	// NewEpochSink makes a sink for jobs with checkpoints, where the file does not
	// ask for less by delivery: at_least_once; nil for connectors that have no use for epochs.
	NewEpochSink func(set *spec.Values, env SinkEnv) (Sink, error)
	// CheckSink reports settings that do not fit the columns, before anything starts; may be nil.
	CheckSink func(set *spec.Values, schema *batch.Schema) error
}
