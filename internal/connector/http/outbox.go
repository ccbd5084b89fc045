package httpio

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/failpoint"
	"github.com/gorge-stream/gorge/internal/spec"
)

// The steps of an outbox beside those of its files.
var (
	outboxRecovered = failpoint.New("http/outbox-recovered")
	parcelsTaken    = failpoint.New("http/outbox-parcels-taken")
	ledgerRemoved   = failpoint.New("http/ledger-removed")
	outboxNoted     = failpoint.New("http/outbox-closed")
	parcelDeleted   = failpoint.New("http/outbox-file-deleted")
)

// outbox is the sink with epochs. Writers put requests into files; Commit hands the
// files of a decided epoch to the dispatcher, which sends them in order and tells by a
// cursor how far each was answered. The cursors are in the committables of the epochs
// that follow, for as long as something of a file is owed. What holds:
//
//	O1  Nothing is sent before its epoch is decided. A file that is decided stays until a
//	    decided checkpoint, or the ledger, no longer names it.
//	O2  A request of a file has one body and one key for ever: both come from the file alone.
//	O3  A cursor passes a refused request in the epoch that holds its dead letters.
//	O4  What is in memory does not grow with what is owed.
type outbox struct {
	shelf
	*poster
	shape  *shape // of the writer
	log    *slog.Logger
	limit  int64 // bytes
	slots  chan *boxed
	tell   func(stalled string)
	cancel context.CancelFunc
	work   sync.WaitGroup

	// Owned by whoever recovers, commits or closes.
	locked   io.Closer // nil before Recover
	ledgered bool      // there is a ledger
	ended    uint64    // the final epoch that was finished

	mu          sync.Mutex // guards all below
	news        chan struct{}
	err         error // sticky: the first one
	writing     map[vfs.File]struct{}
	serial      int // of unfinished files
	consignment     // decided
	pending     int64
	committed   uint64
	halted      bool // nobody will keep what is answered from now on
}

var _ connector.Sink = (*outbox)(nil)

func newEpochSink(set *spec.Values, env connector.SinkEnv) (connector.Sink, error) {
	return newOutbox(set, env, nil)
}

func newOutbox(set *spec.Values, env connector.SinkEnv, rt http.RoundTripper) (*outbox, error) {
	out, err := newPoster(set, env.Name, rt)
	if err != nil {
		return nil, err
	}
	form, err := newShape(set, &env, out.header)
	if err != nil {
		return nil, err
	}
	if len(out.header.Get("Content-Type")) > maxMediaType {
		return nil, diag.New("http/header", "the value of the header Content-Type is too long")
	}
	s := &outbox{
		shelf: shelf{fs: env.FS, root: filepath.Join(env.DataDir, "outbox"), name: env.Name}, poster: out, shape: form, log: env.Log,
		limit: set.Int("outbox_limit"), slots: make(chan *boxed, set.Int("in_flight")), tell: env.Stalled,
		news: make(chan struct{}), writing: map[vfs.File]struct{}{},
	}
	if s.tell == nil {
		s.tell = func(string) {}
	}
	for range cap(s.slots) {
		s.slots <- &boxed{}
	}
	return s, nil
}

// Recover goes on with sending what the latest checkpoint says is owed. A second
// Recover begins a new run, to which the first has left nothing to do: what was
// decided stays owed, and is named by the first checkpoint of the new run.
func (s *outbox) Recover(ctx context.Context, last uint64, raw []connector.Committable) error {
	d, err := s.decode(raw)
	if err != nil || s.locked != nil {
		return err
	}
	if err := s.make(); err != nil {
		return s.fail(err)
	}
	if s.locked, err = s.lock(); err != nil {
		return s.fail(err)
	}
	owed, err := s.owedAt(last, &d)
	if err != nil {
		return s.fail(err)
	}
	outboxRecovered.Hit()
	s.take(owed)
	s.committed = last
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.work.Go(func() { s.dispatch(running) })
	if d.final && len(owed) > 0 {
		return s.finish(ctx, last)
	}
	return nil
}

// owedAt finds what is owed behind the latest checkpoint and brings the folder to that.
func (s *outbox) owedAt(last uint64, d *decided) ([]parcel, error) {
	l, err := s.readLedger()
	if err != nil {
		return nil, err
	}
	owed := slices.Concat(d.owed, d.fresh)
	counts := l != nil && (!d.any || last != 0 && l.Epoch == last)
	if counts {
		owed = l.Parcels
		if err := s.putRefused(l.Refused); err != nil {
			return nil, err
		}
	}
	owed = slices.DeleteFunc(owed, func(p parcel) bool { return p.Next == p.Requests })
	slices.SortFunc(owed, func(a, b parcel) int { return cmp.Compare(a.order(), b.order()) })
	if err := s.settleFolder(owed); err != nil {
		return nil, err
	}
	s.ledgered = l != nil
	switch {
	case failpoint.Bug("http-ledger-not-written"):
	case len(owed) > 0:
		// From now on a start from nothing may forget the checkpoint.
		s.ledgered = true
		return owed, s.writeLedger(ledger{Epoch: last, Parcels: owed})
	case l != nil && (!counts || l.Epoch != last || last == 0):
		s.ledgered = false
		return nil, s.removeLedger()
	}
	return owed, nil
}

// order sorts parcels in the order of their making, of all runs: epochs ascend while
// there is a checkpoint store, and so do their names.
func (p *parcel) order() string { return filepath.Base(p.File) }

func (s *outbox) decode(raw []connector.Committable) (decided, error) {
	d, err := decideAll(raw)
	if err != nil {
		return d, diag.New("http/bad-checkpoint", "what the checkpoint keeps of the sink %s cannot be read", s.poster.name).WithCause(err).
			WithHint("start with the version of gorge that wrote it")
	}
	return d, nil
}

// settleFolder checks the files that are owed, and deletes the others:
// nobody decided on them, or they were answered.
func (s *outbox) settleFolder(owed []parcel) error {
	keep := map[string]bool{}
	for i := range owed {
		keep[owed[i].File] = true
		if err := s.verify(&owed[i]); err != nil {
			return err
		}
	}
	names, err := s.fs.List(s.dir())
	if err != nil {
		return s.failed("list", s.dir(), err)
	}
	slices.Sort(names)
	for _, name := range names {
		if keep[s.name()+"/"+name] || !strings.HasSuffix(name, parcelExt) && !strings.HasSuffix(name, unfinishedExt) {
			continue
		}
		if err := s.remove(s.path(name)); err != nil {
			return err
		}
	}
	return nil
}

// name returns the name of the sink, which is that of its folder.
func (s *outbox) name() string { return s.shelf.name }

// openParcel opens the file of a parcel and checks that it is the one that was decided.
func (s *outbox) openParcel(p *parcel) (vfs.File, *boxReader, error) {
	path := s.fs.PathJoin(s.root, filepath.FromSlash(p.File))
	f, err := s.fs.Open(path)
	if err != nil {
		return nil, nil, s.unreadable(path, err)
	}
	info, err := f.Stat()
	var r *boxReader
	if err == nil && info.Size() != p.Bytes {
		err = fmt.Errorf("%w: it has %d bytes and ought to have %d", errNoOutbox, info.Size(), p.Bytes)
	}
	if err == nil {
		r, err = newBoxReader(f, p.Bytes)
	}
	if err == nil && fmt.Sprintf("%x", r.id) != p.ID {
		err = fmt.Errorf("%w: it is not the file that the checkpoint belongs to", errNoOutbox)
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, nil, s.unreadable(path, err)
	}
	return f, r, nil
}

// verify reads a file to its end, so that what is damaged is known before anything of it is sent.
func (s *outbox) verify(p *parcel) error {
	f, r, err := s.openParcel(p)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // nothing was written
	for err == nil {
		err = r.next(&boxed{})
	}
	if errors.Is(err, io.EOF) && r.requests == p.Requests && r.rows == p.Rows {
		return nil
	}
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: it does not hold what the checkpoint says", errNoOutbox)
	}
	return s.unreadable(s.fs.PathJoin(s.root, filepath.FromSlash(p.File)), err)
}

// Writer makes the writer. One writer gets all rows.
func (s *outbox) Writer(_ context.Context, env connector.WriterEnv) (connector.SinkWriter, error) {
	if env.Task != 0 {
		return nil, fmt.Errorf("the sink %s has one writer, not %d", s.name(), env.Task+1)
	}
	return &outboxWriter{s: s, dead: env.Dead}, nil
}

// Commit hands the files of the epoch to the dispatcher. It does not wait for the
// receiver, but behind the final epoch, which is followed by nothing that could
// remember what was sent.
func (s *outbox) Commit(ctx context.Context, epoch uint64, raw []connector.Committable) error {
	d, err := s.decode(raw)
	if err != nil {
		return err
	}
	if epoch > s.lastCommitted() {
		if err := s.commit(epoch, &d); err != nil {
			return s.fail(err)
		}
	}
	if d.final && s.ended != epoch {
		return s.finish(ctx, epoch)
	}
	return s.failure()
}

func (s *outbox) lastCommitted() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.committed
}

// commit takes over what is new and lets go of what the checkpoint does not name.
func (s *outbox) commit(epoch uint64, d *decided) error {
	if s.ledgered {
		// The checkpoint names all that is owed.
		if err := s.removeLedger(); err != nil {
			return err
		}
		s.ledgered = false
		ledgerRemoved.Hit()
	}
	s.take(d.fresh)
	s.mu.Lock()
	s.committed = epoch
	for _, p := range d.fresh {
		s.pending -= p.Bytes
	}
	s.clear(d)
	gone := s.release(d)
	s.mu.Unlock()
	parcelsTaken.Hit()
	return s.discard(gone)
}

// discard deletes files that nobody will ask for again.
func (s *outbox) discard(files []string) error {
	for _, file := range files {
		if err := s.remove(s.fs.PathJoin(s.root, filepath.FromSlash(file))); err != nil {
			return err
		}
		parcelDeleted.Hit()
	}
	return nil
}

// fail keeps the first error and returns it.
func (s *outbox) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && err != nil {
		s.err = err
		s.wake()
	}
	return s.err
}

func (s *outbox) failure() error { return s.fail(nil) }

// wake wakes up all who wait for a change. The caller holds mu.
func (s *outbox) wake() {
	close(s.news)
	s.news = make(chan struct{})
}

// await waits until ok holds, which it calls with mu held, or for an error. Until then it
// hands on dead letters, if anybody takes them.
func (s *outbox) await(ctx context.Context, letters func([]refusal) error, ok func() bool) error {
	for {
		s.mu.Lock()
		var out []refusal
		if letters != nil {
			out = s.letters
			s.letters, s.held = nil, 0
			if len(out) > 0 {
				s.wake() // the dispatcher may wait for this
			}
		}
		err, done, news := s.err, s.err == nil && ok(), s.news
		s.mu.Unlock()
		if len(out) > 0 {
			if e := letters(out); err == nil {
				err = e
			}
		}
		if err != nil || done {
			return err
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// closeGrace is how long Close waits for the answers to requests under way.
const closeGrace = 2 * time.Second

// Close ends the sending. What is owed stays for the next start, which learns from
// the ledger what was answered behind the last checkpoint.
func (s *outbox) Close() error {
	if s.locked == nil {
		return nil
	}
	var errs []error
	if s.cancel != nil {
		s.halt()
		grace, over := context.WithTimeout(context.Background(), closeGrace)
		_ = s.await(grace, nil, func() bool { return s.flying == 0 }) // those that take longer are sent again
		over()
		s.cancel()
		s.work.Wait()
		errs = append(errs, s.note())
	}
	s.disconnect()
	s.mu.Lock()
	for f := range s.writing {
		errs = append(errs, f.Close())
	}
	clear(s.writing)
	s.mu.Unlock()
	errs = append(errs, s.locked.Close())
	s.locked = nil
	return errors.Join(errs...)
}

// halt lets nothing more be sent.
func (s *outbox) halt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halted = true
}

// note keeps the cursors as they are now, for the checkpoint that was committed last.
func (s *outbox) note() error {
	s.mu.Lock()
	healthy := s.err == nil // else it was reported
	s.mu.Unlock()
	if !healthy || len(s.parcels) == 0 {
		return nil
	}
	l := ledger{Epoch: s.committed}
	for _, p := range s.parcels {
		if at := p.parcel; p.clean < p.Requests {
			at.Next = p.clean
			l.Parcels = append(l.Parcels, at)
		}
	}
	if err := s.writeLedger(l); err != nil {
		return s.fail(err)
	}
	outboxNoted.Hit()
	return nil
}
