package httpio

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/failpoint"
	"github.com/gorge-stream/gorge/internal/journal"
	"github.com/gorge-stream/gorge/internal/spec"
)

var (
	requestPlaced  = failpoint.New("http/request-placed")
	requestDurable = failpoint.New("http/request-durable")
	sourceReleased = failpoint.New("http/source-released")
)

// tagLines marks requests that may share a block with their neighbours.
const tagLines = 1

// errBroken tells that the journal has failed.
var errBroken = errors.New("the journal has failed") // 503

// intake brings requests into the journal. Fields are constant after construction.
type intake struct {
	journal    *journal.Journal
	keys       *keyTable
	keyed      bool // a request without a key is refused
	blockBytes int
}

// openIntake opens the journal of a source, with the keys that it still knows.
func openIntake(set *spec.Values, env connector.SourceEnv) (*intake, error) {
	in := &intake{keys: newKeyTable(int(set.Int("key_limit")), set.Duration("key_horizon")), keyed: set.Bool("require_key"), blockBytes: max(env.BlockBytes, 1)}
	var found []keyEntry
	var err error
	in.journal, err = journal.Open(journal.Options{
		FS: env.FS, Dir: env.FS.PathJoin(env.DataDir, "journal", env.Name), Limit: set.Int("journal_limit"), Memory: set.Int("queue") / 2,
		Keys: func(k journal.Key, seq uint64, at int64) {
			if found = append(found, keyEntry{k, seq, at}); len(found) >= 2*in.keys.limit {
				found = found[:copy(found, found[len(found)-in.keys.limit:])]
			}
		},
	})
	if err != nil {
		return nil, err
	}
	in.keys.restore(found, time.Now())
	return in, nil
}

// keyOf reads the key of a request; nil when it has none.
func (in *intake) keyOf(h http.Header) (*requestKey, error) {
	k, err := headerKey(h)
	if err == nil && k == nil && in.keyed {
		return nil, badKey("the source takes only requests with a key")
	}
	return k, err
}

// place puts a request into the journal, unless it was there before. It is not
// durable before wait.
func (in *intake) place(req *arrival, lines bool) (err error) {
	r := journal.Record{Payload: req.body}
	if lines {
		r.Tag = tagLines
	}
	if req.key == nil {
		req.seq, err = in.journal.Place(&r)
	} else {
		r.Keyed, r.Key = true, journalKey(req.key, req.body)
		req.seq, _, err = in.keys.take(r.Key, time.Now(), func() (uint64, error) { return in.journal.Place(&r) })
	}
	requestPlaced.Hit()
	return refusalOf(err)
}

// wait blocks until a request is durable.
func (in *intake) wait(seq uint64) error {
	if failpoint.Bug("http-acknowledge-what-was-placed") {
		return nil
	}
	err := in.journal.Wait(seq)
	requestDurable.Hit()
	return refusalOf(err)
}

// refusalOf makes an error of the journal one of those that a request is refused with.
func refusalOf(err error) error {
	switch {
	case err == nil, errors.Is(err, errReused):
		return err
	case errors.Is(err, journal.ErrFull):
		return errFull
	case errors.Is(err, journal.ErrTooLarge):
		return errTooLarge
	case errors.Is(err, journal.ErrClosed):
		return errDraining
	}
	return errors.Join(errBroken, err)
}

// brokenReason says in words for a sender why the journal has failed.
func brokenReason(err error) string {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return "the disk is full"
	}
	return "its journal cannot be written"
}

// journaled hands out requests from the journal.
type journaled struct {
	*endpoint
	next atomic.Uint64 // sequence that the reader wants next
}

var (
	_ connector.Source   = (*journaled)(nil)
	_ connector.Releaser = (*journaled)(nil)
)

func newJournaled(e *endpoint, set *spec.Values, env connector.SourceEnv) (connector.Source, error) {
	in, err := openIntake(set, env)
	if err != nil {
		return nil, err
	}
	e.intake = in
	if err := e.open(env); err != nil {
		return nil, errors.Join(err, in.journal.Close())
	}
	return &journaled{endpoint: e}, nil
}

// Open starts handing out requests at a position; without one, at the first that no checkpoint has released.
func (s *journaled) Open(_ context.Context, split connector.Split, at connector.Position) (connector.SplitReader, error) {
	if err := s.has(split); err != nil {
		return nil, err
	}
	from := s.intake.journal.First()
	if at != nil {
		var err error
		if from, err = s.sequence(at); err != nil {
			return nil, err
		}
	}
	r, err := s.intake.journal.Read(from)
	if err != nil {
		return nil, err
	}
	s.next.Store(from)
	return &journalReader{source: s, requests: r, next: from}, nil
}

// positionVersion begins every position: version, id of the journal, sequence.
const positionVersion = 1

func (s *journaled) position(seq uint64) connector.Position {
	p := binary.BigEndian.AppendUint64([]byte{positionVersion}, s.intake.journal.ID())
	return binary.BigEndian.AppendUint64(p, seq)
}

// sequence reads a position.
func (s *journaled) sequence(p connector.Position) (uint64, error) {
	switch {
	case len(p) != 17 || p[0] != positionVersion:
		return 0, diag.New("ingest/position", "the checkpoint holds no position of the http source %s", s.name).
			WithHint("it is of another source or version; start with --fresh")
	case binary.BigEndian.Uint64(p[1:]) != s.intake.journal.ID():
		return 0, diag.New("ingest/other-journal", "the journal of source %s is not the one that the checkpoint was taken with", s.name).
			WithHint("restore the folder journal/%s in the data directory, or start with --fresh", s.name)
	}
	return binary.BigEndian.Uint64(p[9:]), nil
}

// Wait blocks until a request is there that was not handed out, or the journal has failed.
func (s *journaled) Wait(ctx context.Context) error {
	return s.intake.journal.Await(ctx, s.next.Load())
}

// Release lets go of the requests before a position. Their keys stay known within the horizon.
func (s *journaled) Release(_ context.Context, _ string, at connector.Position) error {
	if at == nil {
		return nil
	}
	seq, err := s.sequence(at)
	if err != nil {
		return err
	}
	if err := s.intake.journal.Trim(seq, s.intake.keys.oldest(time.Now())); err != nil {
		return err
	}
	sourceReleased.Hit()
	return nil
}

// Close takes no more requests and closes the journal. What it holds is for the next start.
func (s *journaled) Close() (err error) {
	s.closing.Do(func() {
		s.queue.drain()
		s.router.remove(s.name)
		err = s.intake.journal.Close()
	})
	return err
}

// journalReader hands out requests.
type journalReader struct {
	source   *journaled
	requests *journal.Reader
	group    journal.Group
	next     uint64 // the request behind the last block
	preamble []byte
}

// Poll gives the next requests. How they are put together is settled by the
// journal alone: those in lines that became durable together, up to the size of a
// block; each other one for itself. So the blocks are the same from every position.
func (r *journalReader) Poll(ctx context.Context, b *connector.Block) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	seq, rec, ok := r.group.Next()
	if !ok {
		var err error
		if r.group, err = r.requests.Next(); err != nil {
			if errors.Is(err, journal.ErrNone) {
				return connector.ErrNoData
			}
			return err
		}
		seq, rec, _ = r.group.Next()
	}
	preamble, records := r.source.split(rec.Payload)
	if r.preamble == nil || !bytes.Equal(preamble, r.preamble) {
		r.preamble = append([]byte{}, preamble...) // earlier blocks hold the old one
	}
	b.Preamble, b.Rows = nil, nil
	if r.source.frame.Preamble != nil {
		b.Preamble = r.preamble
	}
	b.Data = append(b.Data[:0], records...)
	r.next = seq + 1
	if rec.Tag&tagLines != 0 {
		r.join(b)
	}
	b.Data = slices.Grow(b.Data, codec.Pad)
	b.Place = r.source.place() + " request " + strconv.FormatUint(seq, 10)
	b.Line, b.Offset = 1, -1
	r.source.next.Store(r.next)
	return nil
}

// join appends the requests that follow in the group and may share the block.
func (r *journalReader) join(b *connector.Block) {
	for {
		b.Data = endLine(b.Data)
		seq, rec, ok := r.group.Peek()
		if !ok || rec.Tag&tagLines == 0 || len(b.Data)+len(rec.Payload) > r.source.intake.blockBytes {
			return
		}
		preamble, records := r.source.split(rec.Payload)
		if !bytes.Equal(preamble, r.preamble) {
			return
		}
		_, _, _ = r.group.Next()
		b.Data = append(b.Data, records...)
		r.next = seq + 1
	}
}

// endLine ends the last line.
func endLine(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] != '\n' {
		b = append(b, '\n')
	}
	return b
}

// Position returns the request behind the last block.
func (r *journalReader) Position() connector.Position { return r.source.position(r.next) }

// Close ends the reading.
func (r *journalReader) Close() error { return r.requests.Close() }
