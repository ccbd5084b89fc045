package httpio

import (
	"context"
	"log/slog"
	"mime"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

// endpoint takes requests; what it accepts goes to the queue or, in a job with
// checkpoints, into the journal. Fields are constant after construction.
type endpoint struct {
	name    string
	maxBody int64
	timeout time.Duration // of a body
	types   []string      // media types of the format
	frame   codec.Frame
	queue   *queue
	intake  *intake      // nil without checkpoints
	workers chan *worker // bounds decoding, and with it scratch memory, to the cores
	router  *router
	log     *slog.Logger
	closing sync.Once
}

// source hands out rows from memory.
type source struct{ *endpoint }

var (
	_ connector.Source  = (*source)(nil)
	_ connector.Drainer = (*source)(nil)
)

func newSource(set *spec.Values, env connector.SourceEnv) (connector.Source, error) {
	switch {
	case env.HTTP == nil:
		return nil, diag.New("ingest/no-server", "source %s needs the HTTP address of the engine, which is switched off", env.Name).
			WithHint("run without --http off")
	case env.Format == nil || env.Format.NewDecoder == nil:
		return nil, diag.New("ingest/format", "source %s has no format that can be read", env.Name).WithHint("write format: json")
	}
	e := &endpoint{
		name: env.Name, maxBody: set.Int("max_body"), timeout: set.Duration("body_timeout"), types: env.Format.ContentTypes, log: env.Log,
		queue:   newQueue(set.Int("queue"), int(set.Int("max_requests")), set.Duration("max_delay"), max(env.BatchRows, 1)),
		workers: make(chan *worker, max(runtime.GOMAXPROCS(0), 2)),
		router:  routerOf(env.HTTP),
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if env.Format.Frame != nil {
		e.frame = env.Format.Frame(env.FormatValues, env.Limits.WithDefaults())
	}
	if env.Epochs {
		return newJournaled(e, set, env)
	}
	if err := e.open(env); err != nil {
		return nil, err
	}
	return &source{e}, nil
}

// open makes the decoders and takes the name; requests come from then on.
func (s *endpoint) open(env connector.SourceEnv) error {
	pool := batch.NewPool(env.Batch, max(env.BatchRows, 1))
	for range cap(s.workers) {
		d, err := env.Format.NewDecoder(env.FormatValues, env.Schema, env.Columns, env.Limits.WithDefaults())
		if err != nil {
			return err
		}
		w := &worker{decoder: d, pool: pool, endpoint: s}
		w.preambles, _ = d.(codec.PreambleDecoder)
		s.workers <- w
	}
	if !s.router.add(s.name, s) {
		return diag.New("ingest/duplicate", "there is already an http source named %s", s.name)
	}
	return nil
}

// accepts reports whether the format takes bodies of a Content-Type. None at all is taken for the format's own.
func (s *endpoint) accepts(header string) bool {
	if header == "" {
		return true
	}
	for _, t := range s.types {
		if header == t {
			return true
		}
	}
	media, params, err := mime.ParseMediaType(header)
	if err != nil {
		return false
	}
	if c := params["charset"]; c != "" && !strings.EqualFold(c, "utf-8") && !strings.EqualFold(c, "us-ascii") {
		return false
	}
	for _, t := range s.types {
		if media == t {
			return true
		}
	}
	return false
}

// Splits returns the one split, which has no end.
func (s *endpoint) Splits(context.Context) ([]connector.Split, error) {
	return []connector.Split{{ID: s.name}}, nil
}

func (s *endpoint) has(split connector.Split) error {
	if split.ID != s.name {
		return diag.New("ingest/split", "source %s has no split %q", s.name, split.ID)
	}
	return nil
}

// split takes a body apart: what stands before its first record, and its records.
func (s *endpoint) split(body []byte) (preamble, records []byte) {
	if s.frame.Preamble == nil {
		return nil, body
	}
	n := s.frame.Preamble(body)
	if n < 0 {
		n = len(body)
	}
	return body[:n:n], body[n:]
}

// place tells people where rows come from.
func (s *endpoint) place() string { return "POST /ingest/" + s.name }

// Open starts handing out rows. A position means nothing here: rows that were lost cannot be asked for again.
func (s *source) Open(_ context.Context, split connector.Split, _ connector.Position) (connector.SplitReader, error) {
	if err := s.has(split); err != nil {
		return nil, err
	}
	return &reader{queue: s.queue, place: s.place()}, nil
}

// Wait blocks until rows are there and have waited for company long enough.
func (s *source) Wait(ctx context.Context) error { return s.queue.wait(ctx) }

// Drain answers requests with 503 from now on, also those that are being read; see connector.Drainer.
func (s *source) Drain() { s.queue.drain() }

// Close drains, frees the name, and gives up rows that nobody has read.
func (s *source) Close() error {
	s.closing.Do(func() {
		s.queue.drain()
		s.router.remove(s.name)
		if n := s.queue.discard(); n > 0 {
			s.log.Warn("accepted rows were given up: the job ended before it took them", "source", s.name, "rows", n)
		}
	})
	return nil
}

// reader hands out the rows of the queue.
type reader struct {
	queue *queue
	place string
}

// Poll gives the next rows; the split ends when the source was drained and all was handed out.
func (r *reader) Poll(ctx context.Context, b *connector.Block) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	rows, err := r.queue.take()
	if err != nil {
		return err
	}
	b.Data, b.Preamble, b.Rows = b.Data[:0], nil, rows
	b.Place, b.Line = r.place, 0
	return nil
}

// Position is nil: what was handed out cannot be read again.
func (r *reader) Position() connector.Position { return nil }

// Close leaves the queue to the next reader.
func (r *reader) Close() error { return nil }
