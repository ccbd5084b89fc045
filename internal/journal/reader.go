package journal

import (
	"errors"
	"fmt"
	"io"

	"github.com/gorge-stream/gorge/internal/diag"
)

// maxSpare is how many buffers of groups are kept for reuse.
const maxSpare = 4

// Reader reads a journal in order. One goroutine at a time uses it.
type Reader struct {
	journal *Journal
	pos     uint64 // sequence of the next record; guarded by Journal.mu
	group   *group // in use, nil for none
	scan    *scanner
	first   uint64 // of the segment that scan reads
}

// ErrNone is returned by Next when nothing more is durable now.
var ErrNone = errors.New("no more records now")

// First returns the first record that was not let go of.
func (j *Journal) First() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return max(j.start, j.released)
}

// Read makes a reader that begins with a record, which may be the next to come.
func (j *Journal) Read(from uint64) (*Reader, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case from < j.start:
		return nil, j.gone(from)
	case from > j.next:
		return nil, diag.New("journal/lost", "record %d of the journal %s was taken in by a checkpoint, but the journal ends before record %d", from-1, j.dir, j.next).
			WithHint("files of the journal are missing or damaged: restore them, or start with --fresh")
	}
	r := &Reader{journal: j, pos: from}
	j.readers[r] = struct{}{}
	return r, nil
}

// gone says that records are not kept any more.
func (j *Journal) gone(from uint64) error {
	return diag.New("journal/gone", "record %d of the journal %s is gone", from, j.dir).
		WithHint("it was let go of because newer checkpoints had taken it in, or files are missing: start from a newer checkpoint, or with --fresh")
}

// Next returns the records of the next group, from the reader's place on. The
// error is ErrNone, or one of the disk; a journal that has failed hands out no more.
func (r *Reader) Next() (Group, error) {
	j := r.journal
	j.mu.Lock()
	r.drop()
	switch {
	case j.err != nil:
		j.mu.Unlock()
		return Group{}, j.err
	case r.pos >= j.synced:
		j.mu.Unlock()
		return Group{}, ErrNone
	}
	if pos := r.pos; pos < j.start {
		j.mu.Unlock()
		return Group{}, j.gone(pos)
	}
	from := r.pos
	if len(j.memory) > 0 && j.memory[0].frame.first <= from {
		g := j.inMemory(from)
		g.refs++
		r.group = g
		r.pos = g.frame.end()
		j.forget()
		j.mu.Unlock()
		return groupFrom(&g.frame, from), r.closeFile()
	}
	s := j.segmentOf(from)
	m := s.markOf(from)
	at := segment{first: s.first, size: s.size}
	j.mu.Unlock()
	f, err := r.fromDisk(at, m, from)
	if err != nil {
		return Group{}, err
	}
	j.mu.Lock()
	r.pos = f.end()
	j.mu.Unlock()
	return groupFrom(&f, from), nil
}

// inMemory finds the group in memory that holds a record. mu is held.
func (j *Journal) inMemory(seq uint64) *group {
	lo, hi := 0, len(j.memory)
	for hi-lo > 1 {
		if m := (lo + hi) / 2; j.memory[m].frame.first <= seq {
			lo = m
		} else {
			hi = m
		}
	}
	return j.memory[lo]
}

// segmentOf finds the segment that holds a record. mu is held.
func (j *Journal) segmentOf(seq uint64) *segment {
	s := j.segments[0]
	for _, o := range j.segments[1:] {
		if o.first > seq {
			break
		}
		s = o
	}
	return s
}

// fromDisk reads the frame that begins with a record or holds it.
func (r *Reader) fromDisk(s segment, m mark, seq uint64) (frame, error) {
	if r.scan == nil || r.first != s.first || r.scan.expect > seq {
		if err := r.closeFile(); err != nil {
			return frame{}, err
		}
		scan, _, err := r.journal.openScan(s.first)
		if err != nil {
			if scan != nil {
				err = errors.Join(damaged(scan.path, 0, "%w", err), scan.close())
			}
			return frame{}, err
		}
		scan.off, scan.expect = m.at, m.seq
		r.scan, r.first = scan, s.first
	}
	r.scan.size = s.size
	for {
		at := r.scan.expect
		f, err := r.scan.next()
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, errTorn):
			return f, damaged(r.scan.path, r.scan.off, "record %d was acknowledged and is not there: %w", at, err)
		case err != nil:
			return f, err
		case f.end() > seq:
			return f, nil
		}
	}
}

// closeFile ends the reading from a file.
func (r *Reader) closeFile() error {
	s := r.scan
	if s == nil {
		return nil
	}
	r.scan = nil
	if err := s.close(); err != nil {
		return fmt.Errorf("close %s: %w", s.path, err)
	}
	return nil
}

// drop gives the group in use back. mu is held.
func (r *Reader) drop() {
	if r.group != nil {
		r.journal.unref(r.group)
		r.group = nil
	}
}

// unref gives up one use of a group's buffer. mu is held.
func (j *Journal) unref(g *group) {
	if g.refs--; g.refs == 0 {
		if len(j.spare) < maxSpare && cap(g.buf) <= 2*maxGroup {
			j.spare = append(j.spare, g.buf)
		}
		g.buf, g.frame.records = nil, nil
	}
}

// forget drops groups from memory that no reader is going to ask for, or that
// are more than memory may hold: readers find them in the files. mu is held.
func (j *Journal) forget() {
	least := j.synced
	for r := range j.readers {
		least = min(least, r.pos)
	}
	n := 0
	for ; n < len(j.memory) && (j.held > j.opts.Memory || len(j.readers) > 0 && j.memory[n].frame.end() <= least); n++ {
		g := j.memory[n]
		j.memory[n] = nil
		j.held -= int64(len(g.buf))
		j.unref(g)
	}
	j.memory = j.memory[n:]
}

// Close ends the reading. A second Close does nothing.
func (r *Reader) Close() error {
	j := r.journal
	j.mu.Lock()
	r.drop()
	delete(j.readers, r)
	j.mu.Unlock()
	return r.closeFile()
}
