package journal

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/failpoint"
)

var (
	prefixWritten = failpoint.New("journal/prefix-written")
	prefixSynced  = failpoint.New("journal/prefix-synced")
	prefixRenamed = failpoint.New("journal/prefix-renamed")
	prefixNamed   = failpoint.New("journal/prefix-named")
	opened        = failpoint.New("journal/opened")
)

// Open opens the journal in a folder, making it when there is none, and looks at
// every record that it holds. What is damaged beyond a torn tail is an error.
func Open(o Options) (*Journal, error) {
	if o.Segment == 0 {
		o.Segment = min(defaultSegment, o.Limit/8)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	j := &Journal{
		fs: o.FS, dir: o.Dir, opts: o, wake: make(chan struct{}, 1), stopped: make(chan struct{}), readers: map[*Reader]struct{}{},
	}
	if err := j.makeDir(); err != nil {
		return nil, err
	}
	lock, err := j.fs.Lock(j.path(lockName))
	if err != nil {
		return nil, diag.New("journal/in-use", "another engine uses the journal %s", j.dir).WithCause(err).
			WithHint("end the other one, or give this one another folder with --data")
	}
	j.lock = lock
	if err := j.recover(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	opened.Hit()
	go j.write()
	return j, nil
}

// makeDir makes the folder and makes its name and those of the folders around it durable.
func (j *Journal) makeDir() error {
	if err := j.fs.MkdirAll(j.dir, 0o755); err != nil {
		return j.diskError("create", j.dir, err)
	}
	// Whoever made a folder around it may have been killed before its name was
	// synced. Folders further up are not the engine's.
	const levels = 4
	for dir, n := j.dir, 0; n < levels; n++ {
		up := j.fs.PathDir(dir)
		if up == dir {
			break
		}
		if err := j.syncDir(up); err != nil {
			if n > 0 && errors.Is(err, os.ErrPermission) {
				break // a folder that the engine may not even read is none that it made
			}
			return err
		}
		dir = up
	}
	return nil
}

// recovery is what is learned about the files while they are read.
type recovery struct {
	*Journal
	last    *segment
	at      *scanner // behind the last good frame of last
	sealed  bool     // last ends with a seal
	garbage bool     // bytes follow that make no frame
}

// recover reads all files and brings them into a state to go on from.
func (j *Journal) recover() error {
	names, err := j.fs.List(j.dir)
	if err != nil {
		return j.diskError("list", j.dir, err)
	}
	slices.Sort(names)
	r := recovery{Journal: j}
	var firsts []uint64
	kept := map[uint64]bool{}
	for _, name := range names {
		first, ext, ok := parseName(name)
		switch {
		case ok && ext == segmentExt:
			firsts = append(firsts, first)
		case ok && ext == keysExt:
			kept[first] = true
		case ok && ext == segmentExt+unfinishedExt:
			if err := j.remove(j.path(name)); err != nil {
				return err
			}
		}
	}
	if err := r.readKeys(kept, firsts); err != nil {
		return err
	}
	err = r.readSegments(firsts)
	if err == nil {
		err = r.mend()
	}
	if r.at != nil {
		err = errors.Join(err, r.at.close())
	}
	if err != nil {
		return err
	}
	return r.begin()
}

// remove deletes a file; that it is gone already is no error.
func (j *Journal) remove(path string) error {
	if err := j.fs.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return j.diskError("delete", path, err)
	}
	return nil
}

// readKeys reads the files that keep the keys of deleted segments. One whose
// segment is still there was not needed yet, and may not be complete.
func (r *recovery) readKeys(kept map[uint64]bool, segments []uint64) error {
	for _, first := range segments {
		delete(kept, first)
	}
	for _, first := range sortedKeys(kept) {
		if len(segments) == 0 {
			return damaged(r.path(fileName(first, keysExt)), 0, "the segments that followed it are missing")
		}
		k, entries, err := r.loadKeys(first)
		if err != nil {
			return err
		}
		r.id = k.id
		r.keys = append(r.keys, k)
		for i := range entries {
			r.tellKey(entries[i].key, entries[i].seq, entries[i].at)
		}
	}
	return nil
}

func (j *Journal) tellKey(k Key, seq uint64, at int64) {
	if j.opts.Keys != nil && !failpoint.Bug("journal-keys-forgotten-at-start") {
		j.opts.Keys(k, seq, at)
	}
}

// readSegments reads every record of every segment.
func (r *recovery) readSegments(firsts []uint64) error {
	for _, first := range firsts {
		s, g, err := r.openScan(first)
		if err == nil {
			err = r.follows(s, &g)
		} else if s != nil {
			err = damaged(s.path, 0, "%w", err)
		}
		if err == nil {
			err = r.readSegment(s, &g)
		}
		if err != nil {
			if s != nil {
				err = errors.Join(err, s.close())
			}
			return err
		}
	}
	return nil
}

// missing says that records before a segment are not there.
func (r *recovery) missing(path string, first uint64) error {
	return damaged(path, 0, "it begins with record %d, but the one before it ends with record %d", first, r.next-1)
}

// follows checks that a segment goes on where the one before it has ended.
func (r *recovery) follows(s *scanner, g *segment) error {
	if r.last == nil {
		if len(r.keys) > 0 && r.id != g.id {
			return damaged(s.path, 0, "it belongs to another journal than %s", fileName(r.keys[0].first, keysExt))
		}
		r.id, r.start = g.id, g.first
		return nil
	}
	switch {
	case g.id != r.id:
		return damaged(s.path, 0, "it belongs to another journal than %s", fileName(r.last.first, segmentExt))
	case g.first < r.next:
		return r.missing(s.path, g.first)
	case g.first > r.next && r.garbage:
		return damaged(r.at.path, r.at.off, "records %d to %d are missing", r.next, g.first-1)
	case g.first > r.next:
		r.start = g.first // whole segments are missing: they were deleted, and deletions of older ones came back (J7)
	}
	return r.at.close()
}

// readSegment reads the frames of a segment, which becomes the last.
func (r *recovery) readSegment(s *scanner, g *segment) error {
	r.last, r.at, r.sealed, r.garbage = g, s, false, false
	r.segments = append(r.segments, g)
	r.released = max(r.released, g.released)
	r.next = g.first
	for {
		at := s.off
		f, err := s.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errTorn):
			r.garbage = true
			return nil
		case err != nil:
			return err
		}
		g.mark(f.first, at)
		r.next, r.sealed = f.end(), f.count == 0
		r.released = max(r.released, f.released)
		frame := groupFrom(&f, f.first)
		for seq, rec, ok := frame.Next(); ok; seq, rec, ok = frame.Next() {
			if rec.Keyed {
				g.keyed++
				r.tellKey(rec.Key, seq, f.time)
			}
		}
	}
}

// mend makes the last segment good and durable, so that a new one can follow it.
//
// A seal tells that all before it was durable. Without one the last group may be
// there only because the kernel still remembers it: syncing it again proves
// nothing after a sync that failed (J6), so the good part is written anew.
func (r *recovery) mend() error {
	switch {
	case r.last == nil:
		return nil
	case r.next == r.last.first: // empty: the segment to come takes its name
		r.segments = r.segments[:len(r.segments)-1]
		return nil
	case r.sealed && !r.garbage:
		if err := r.syncFile(r.at.path); err != nil { // the seal
			return err
		}
	case failpoint.Bug("journal-last-segment-taken-as-it-is"):
	default:
		if err := r.rewrite(); err != nil {
			return err
		}
	}
	r.last.size = r.at.off
	return nil
}

func (j *Journal) syncFile(path string) error {
	f, err := j.fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return j.diskError("open", path, err)
	}
	err = f.Sync()
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return j.diskError("sync", path, err)
	}
	return nil
}

// rewrite replaces the last segment by a copy of its good part.
func (r *recovery) rewrite() error {
	path := r.at.path + unfinishedExt
	f, err := r.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return r.diskError("create", path, err)
	}
	err = r.copyTo(f, path)
	if closed := f.Close(); err == nil && closed != nil {
		err = r.diskError("close", path, closed)
	}
	if err != nil {
		return err
	}
	if err := r.fs.Rename(path, r.at.path); err != nil {
		return r.diskError("rename", path, err)
	}
	prefixRenamed.Hit()
	if err := r.syncDir(r.dir); err != nil {
		return err
	}
	prefixNamed.Hit()
	return nil
}

// copyTo copies the good part of the last segment to a file and syncs it.
func (r *recovery) copyTo(f vfs.File, path string) error {
	const piece = 1 << 20
	buf := make([]byte, min(piece, r.at.off))
	for at := int64(0); at < r.at.off; {
		b := buf[:min(int64(len(buf)), r.at.off-at)]
		if _, err := r.at.file.ReadAt(b, at); err != nil {
			return r.diskError("read", r.at.path, err)
		}
		if _, err := f.Write(b); err != nil {
			return r.diskError("write", path, err)
		}
		at += int64(len(b))
	}
	prefixWritten.Hit()
	if err := f.Sync(); err != nil {
		return r.diskError("sync", path, err)
	}
	prefixSynced.Hit()
	return nil
}

// begin starts the segment that takes what comes.
func (r *recovery) begin() error {
	if r.next == 0 {
		r.next, r.start = 1, 1
	}
	if r.id == 0 {
		r.id = rand.Uint64()
	}
	for _, s := range r.segments {
		s.counted = s.size
		r.used += s.size
	}
	f, s, err := r.createSegment(r.next, r.released)
	if err != nil {
		return err
	}
	r.synced, r.released = r.next, min(r.released, r.next)
	r.file, r.active, r.off = f, s, segmentHeader
	r.segments = append(r.segments, s)
	r.used += s.counted
	return nil
}
