// Package stdio is the sink "stdout": a table for a person on a terminal, and
// rows in a format, NDJSON if no other is named, for everything else.
//
// It knows standard output and, through the contract, encoders. What it holds:
//
//	O1  Everything leaves in whole rows, by one write for each full buffer and
//	    one for each Flush. The sinks of a process take turns, so that rows of
//	    several sinks never mix within a line.
//	O2  On a terminal nothing of a value reaches the terminal but printable
//	    characters: a value cannot move the cursor or change colours.
package stdio

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/delivery"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

// defaultFormat is what rows are written in when the file names no format.
const defaultFormat = "json"

// Registration is the connector "stdout".
var Registration = connector.Registration{
	Sink: &spec.Decl{
		Name:    "stdout",
		Summary: "Prints rows: a table on a terminal, else a format.",
		Doc: "Into a pipe or file rows are written in the format of the sink, NDJSON if none is named. On a terminal they are shown as a table " +
			"with long values cut, unless a format other than JSON is named.",
		Fields: []spec.Field{
			{Name: "table", Type: spec.Enum, Values: []string{"auto", "always", "never"}, Default: "auto",
				Doc: "Whether to show a table: `auto` on a terminal, `never` always writes the format."},
		},
		Example: "stdout: {}",
	},
	DefaultFormat: defaultFormat,
	SinkPromise: func(*spec.Values) delivery.Promise {
		return delivery.Promise{Guarantee: delivery.AtLeastOnce, Why: "what has been printed cannot be taken back: rows since the last checkpoint are printed again after a crash"}
	},
	NewSink: func(set *spec.Values, env connector.SinkEnv) (connector.SinkWriter, error) {
		return newSink(set, env, &stdout)
	},
}

// stdout is standard output as all sinks of the process share it.
var stdout = shared{w: os.Stdout}

// shared is an output that several sinks write to.
type shared struct {
	mu   sync.Mutex
	w    io.Writer // guarded by mu
	last *table    // guarded by mu: whose rows were written last, nil for rows of a format
}

// flushBytes is the size from which a buffer is written without a Flush.
const flushBytes = 64 << 10

// sink writes rows either by an encoder or as a table.
type sink struct {
	out    *shared
	enc    codec.Encoder // nil: table
	table  *table
	buf    []byte
	begun  bool // the header is in the buffer or out
	closed bool
	err    error // sticky
}

var _ connector.SinkWriter = (*sink)(nil)

func newSink(set *spec.Values, env connector.SinkEnv, out *shared) (connector.SinkWriter, error) {
	s := &sink{out: out}
	asTable := env.Terminal && (env.Format == nil || env.Format.Decl.Name == defaultFormat)
	switch set.String("table") {
	case "always":
		asTable = true
	case "never":
		asTable = false
	}
	if asTable {
		s.table = newTable(env.Name, env.Schema)
		return s, nil
	}
	if env.Format == nil || env.Format.NewEncoder == nil {
		return nil, diag.New("stdout/no-format", "standard output needs a format that can be written").WithHint("name one beside the sink: format: json").At(set.Place())
	}
	var err error
	s.enc, err = env.Format.NewEncoder(env.FormatValues, env.Schema)
	return s, err
}

// Write encodes the rows, and writes when enough has come together.
func (s *sink) Write(ctx context.Context, b *batch.Batch) error {
	defer b.Release()
	if s.err != nil {
		return s.err
	}
	if s.table != nil {
		for row := range b.Len() {
			if s.table.add(b, row) {
				if err := s.Flush(ctx); err != nil {
					return err
				}
			}
		}
		return nil
	}
	s.begin()
	const step = 256 // rows, so that the buffer stays small whatever the batch
	for from := 0; from < b.Len(); from += step {
		if s.buf, s.err = s.enc.Encode(s.buf, b, from, min(from+step, b.Len())); s.err != nil {
			return s.err
		}
		if len(s.buf) >= flushBytes {
			if err := s.Flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *sink) begin() {
	if !s.begun {
		s.begun = true
		s.buf = append(s.buf, s.enc.Header()...)
	}
}

// Flush writes what has come together.
func (s *sink) Flush(context.Context) error {
	if s.err != nil {
		return s.err
	}
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	if s.table != nil {
		s.buf = s.table.render(s.buf, s.out.last == s.table)
	}
	if len(s.buf) == 0 {
		return nil
	}
	s.out.last = s.table
	if _, err := s.out.w.Write(s.buf); err != nil {
		s.err = diag.New("stdout/cannot-write", "cannot write to standard output").WithCause(err)
	}
	s.buf = s.buf[:0]
	return s.err
}

// Prepare flushes: there is nothing to commit.
func (s *sink) Prepare(ctx context.Context, _ connector.Epoch) (connector.Prepared, error) {
	return nil, s.Flush(ctx)
}

// Close writes the rest.
func (s *sink) Close(ctx context.Context, complete bool) error {
	if s.closed {
		return nil
	}
	s.closed = true
	if s.enc != nil && s.err == nil && complete {
		s.begin()
		s.buf = append(s.buf, s.enc.Footer()...)
	}
	err := s.Flush(ctx)
	s.err = errors.New("the sink is closed")
	return err
}
