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

// source takes rows by POST. Fields are constant after construction.
type source struct {
	name    string
	maxBody int64
	timeout time.Duration // of a body
	types   []string      // media types of the format
	frame   codec.Frame
	queue   *queue
	workers chan *worker // bounds decoding, and with it scratch memory, to the cores
	router  *router
	log     *slog.Logger
	closing sync.Once
}

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
	s := &source{
		name: env.Name, maxBody: set.Int("max_body"), timeout: set.Duration("body_timeout"), types: env.Format.ContentTypes, log: env.Log,
		queue:   newQueue(set.Int("queue"), int(set.Int("max_requests")), set.Duration("max_delay"), max(env.BatchRows, 1)),
		workers: make(chan *worker, max(runtime.GOMAXPROCS(0), 2)),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if env.Format.Frame != nil {
		s.frame = env.Format.Frame(env.FormatValues, env.Limits.WithDefaults())
	}
	pool := batch.NewPool(env.Batch, max(env.BatchRows, 1))
	for range cap(s.workers) {
		d, err := env.Format.NewDecoder(env.FormatValues, env.Schema, env.Columns, env.Limits.WithDefaults())
		if err != nil {
			return nil, err
		}
		w := &worker{decoder: d, pool: pool, queue: s.queue}
		w.preambles, _ = d.(codec.PreambleDecoder)
		s.workers <- w
	}
	s.router = routerOf(env.HTTP)
	if !s.router.add(s.name, s) {
		return nil, diag.New("ingest/duplicate", "there is already an http source named %s", s.name)
	}
	return s, nil
}

// accepts reports whether the format takes bodies of a Content-Type. None at all is taken for the format's own.
func (s *source) accepts(header string) bool {
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

// Splits returns the one split, which ends only by Drain.
func (s *source) Splits(context.Context) ([]connector.Split, error) {
	return []connector.Split{{ID: s.name}}, nil
}

// Open starts handing out rows. A position means nothing here: rows that were lost cannot be asked for again.
func (s *source) Open(_ context.Context, split connector.Split, _ connector.Position) (connector.SplitReader, error) {
	if split.ID != s.name {
		return nil, diag.New("ingest/split", "source %s has no split %q", s.name, split.ID)
	}
	return &reader{queue: s.queue, place: "POST /ingest/" + s.name}, nil
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
