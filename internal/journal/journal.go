package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/failpoint"
)

// Why a record is not taken.
var (
	ErrFull     = errors.New("the journal is full")     // later there may be room
	ErrTooLarge = errors.New("the record is too large") // it would not fit into an empty journal
	ErrClosed   = errors.New("the journal has been closed")
)

const (
	defaultSegment = 64 << 20
	defaultLinger  = 200 * time.Microsecond
	// maxGroup is the bytes at which a group takes no further record.
	maxGroup = 4 << 20
	// maxRecord is the largest record: lengths are 32 bits wide.
	maxRecord = math.MaxInt32
	// lingerFrom is the number of records at a time from which on waiting for them
	// pays: below it the wake-ups that are saved cost less than the waiting.
	lingerFrom = 8
)

var (
	groupWritten = failpoint.New("journal/group-written")
	groupSynced  = failpoint.New("journal/group-synced")
	groupSettled = failpoint.New("journal/group-settled")
	sealed       = failpoint.New("journal/sealed")
	rolled       = failpoint.New("journal/rolled")
)

// Options are what a journal is opened with.
type Options struct {
	FS  vfs.FS
	Dir string
	// Limit bounds the bytes that were not let go of yet; the files may be larger by about a segment.
	Limit int64
	// Segment is the size at which a new file is begun; 0 means 64 MiB or an eighth of Limit, whichever is less.
	Segment int64
	// Memory bounds the bytes that are kept for a reader which is close behind.
	Memory int64
	Now    func() time.Time
	// Keys is told the keys that are still known, in the order of the records; may
	// be nil. It is called by Open only. at is in microseconds since 1970.
	Keys func(k Key, seq uint64, at int64)
}

// Journal is one journal. Any goroutine may use it.
type Journal struct {
	fs      vfs.FS
	dir     string
	opts    Options
	lock    io.Closer
	id      uint64
	wake    chan struct{} // has a token when the writer should look again
	stopped chan struct{} // closed when the writer has ended

	mu       sync.Mutex // guards all below
	pending  []*group   // that wait for the writer; the last one takes records
	busy     *group     // being written, nil for none
	spare    [][]byte   // buffers for groups
	start    uint64     // the first record that can be read
	next     uint64     // sequence of the next record
	synced   uint64     // records below it are durable
	released uint64     // records below it have been let go of
	used     int64      // bytes that count against the limit
	target   int        // records that the last group and the time of its sync have brought
	segments []*segment
	memory   []*group // durable groups, oldest first, without a gap
	held     int64    // bytes of memory
	readers  map[*Reader]struct{}
	news     chan struct{} // closed when more is durable, or err is set; nil while nobody waits
	err      error         // why nothing is taken any more
	closing  bool

	trimming sync.Mutex // held by Trim, and by Close when the files are given free
	keys     []keyFile  // guarded by trimming

	// owned by the writer
	file     vfs.File
	active   *segment
	off      int64
	unsynced bool // a seal was written since the last sync
	timer    *time.Timer
}

// group is records on their way to the disk, and later for readers.
type group struct {
	frame frame
	buf   []byte
	keyed int
	wait  *outcome
	refs  int // readers that use buf, and one for memory; guarded by Journal.mu
}

// outcome is what those wait for who placed a record.
type outcome struct {
	done chan struct{}
	err  error // valid when done is closed
}

// ID tells this journal from one that was made later in the same place.
func (j *Journal) ID() uint64 { return j.id }

// Append places a record and waits until it is durable.
func (j *Journal) Append(r *Record) (seq uint64, err error) {
	if seq, err = j.Place(r); err != nil {
		return 0, err
	}
	return seq, j.Wait(seq)
}

// Place copies a record into the journal and returns its sequence. It is not
// durable, and must not be acknowledged, before Wait for it has returned nil.
func (j *Journal) Place(r *Record) (seq uint64, err error) {
	n := recordSize(r)
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.err != nil:
		return 0, j.err
	case j.closing:
		return 0, ErrClosed
	case n > min(maxRecord, j.opts.Limit):
		return 0, ErrTooLarge
	case j.used+n > j.opts.Limit:
		return 0, ErrFull
	}
	g := j.open(n)
	g.buf = appendRecord(g.buf, r)
	g.frame.count++
	if r.Keyed {
		g.keyed++
	}
	seq = j.next
	j.next++
	j.used += n
	if g.frame.count == 1 || j.ripe() {
		j.signal()
	}
	return seq, nil
}

// open returns the group that takes a record of n bytes. mu is held.
func (j *Journal) open(n int64) *group {
	if k := len(j.pending); k > 0 && int64(len(j.pending[k-1].buf))+n <= maxGroup {
		return j.pending[k-1]
	}
	var buf []byte
	if k := len(j.spare); k > 0 {
		buf, j.spare = j.spare[k-1], j.spare[:k-1]
	} else {
		buf = make([]byte, 0, 64<<10)
	}
	g := &group{buf: buf[:frameHeader], wait: &outcome{done: make(chan struct{})}}
	g.frame.first = j.next
	j.pending = append(j.pending, g)
	return g
}

func (j *Journal) signal() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// Wait blocks until a record that was placed is durable, or never will be.
func (j *Journal) Wait(seq uint64) error {
	j.mu.Lock()
	if seq < j.synced {
		j.mu.Unlock()
		return nil
	}
	w := j.outcomeOf(seq)
	err := j.err
	j.mu.Unlock()
	switch {
	case w != nil:
		<-w.done
		return w.err
	case err != nil:
		return err
	}
	return fmt.Errorf("journal: record %d was never placed", seq)
}

// outcomeOf finds the group of a record that is not durable yet. mu is held.
func (j *Journal) outcomeOf(seq uint64) *outcome {
	if j.busy != nil && seq < j.busy.frame.end() {
		return j.busy.wait
	}
	for _, g := range j.pending {
		if seq < g.frame.end() {
			return g.wait
		}
	}
	return nil
}

// Err returns why the journal takes nothing any more; nil while it does.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// Await blocks until the record is durable or the journal has failed, or the context ends.
func (j *Journal) Await(ctx context.Context, seq uint64) error {
	for {
		j.mu.Lock()
		if j.synced > seq || j.err != nil {
			j.mu.Unlock()
			return ctx.Err()
		}
		if j.news == nil {
			j.news = make(chan struct{})
		}
		news := j.news
		j.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fail ends the taking of records for good; the first reason stays. mu is held.
func (j *Journal) fail(err error) {
	if j.err == nil {
		j.err = err
	}
	j.tell()
}

// tell wakes those in Await. mu is held.
func (j *Journal) tell() {
	if j.news != nil {
		close(j.news)
		j.news = nil
	}
}

// Close makes durable what was placed, takes no more, and ends the writer.
// Readers may go on reading what is durable until they are closed.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closing {
		j.mu.Unlock()
		<-j.stopped
		return nil
	}
	j.closing = true
	j.mu.Unlock()
	j.signal()
	<-j.stopped
	j.trimming.Lock()
	defer j.trimming.Unlock()
	return j.lock.Close()
}
