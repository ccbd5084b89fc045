package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/failpoint"
)

// Names and marks of files.
const (
	segmentExt    = ".jnl"
	keysExt       = ".keys"
	unfinishedExt = ".tmp"
	lockName      = "LOCK"

	segmentHeader = 64
	segmentMagic  = "gorgejnl"
	version       = 1
)

var (
	segmentWritten = failpoint.New("journal/segment-written")
	segmentSynced  = failpoint.New("journal/segment-synced")
	segmentRenamed = failpoint.New("journal/segment-renamed")
	segmentNamed   = failpoint.New("journal/segment-named")
)

// segment is one file of records.
type segment struct {
	first    uint64 // sequence of its first record, and its name
	size     int64  // durable bytes
	counted  int64  // of them, those that count against the limit
	keyed    int    // records with a key
	released uint64 // as its header says
	salt, id uint64
	marks    []mark // places to begin reading at, ascending
}

// mark is where in a segment the frame that begins with a record stands.
type mark struct {
	seq uint64
	at  int64
}

// markEvery is the distance of marks: a reader reads at most that much in vain.
const markEvery = 1 << 20

// mark notes where a frame stands, if the last mark is far enough away.
func (s *segment) mark(seq uint64, at int64) {
	if n := len(s.marks); n == 0 && at >= markEvery || n > 0 && at-s.marks[n-1].at >= markEvery {
		s.marks = append(s.marks, mark{seq, at})
	}
}

// markOf returns the last mark at or before a record.
func (s *segment) markOf(seq uint64) mark {
	m := mark{s.first, segmentHeader}
	for _, o := range s.marks {
		if o.seq > seq {
			break
		}
		m = o
	}
	return m
}

func fileName(first uint64, ext string) string { return fmt.Sprintf("%016x%s", first, ext) }

// parseName takes a file name apart; ok is false for names that are not of a journal.
func parseName(name string) (first uint64, ext string, ok bool) {
	i := strings.IndexByte(name, '.')
	if i != 16 || strings.ToLower(name) != name {
		return 0, "", false
	}
	first, err := strconv.ParseUint(name[:i], 16, 64)
	return first, name[i:], err == nil && first > 0
}

func (s *segment) header() []byte {
	b := make([]byte, segmentHeader)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[8:], version)
	binary.LittleEndian.PutUint64(b[16:], s.id)
	binary.LittleEndian.PutUint64(b[24:], s.salt)
	binary.LittleEndian.PutUint64(b[32:], s.first)
	binary.LittleEndian.PutUint64(b[40:], s.released)
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

// errHeader tells that bytes are no header of a segment.
var errHeader = errors.New("the header is damaged")

// errVersion tells that another version of the engine wrote a file.
var errVersion = errors.New("the file is of another version of the format")

func parseHeader(b []byte) (segment, error) {
	if len(b) < segmentHeader || string(b[:8]) != segmentMagic || binary.LittleEndian.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli) {
		return segment{}, errHeader
	}
	if binary.LittleEndian.Uint32(b[8:]) != version {
		return segment{}, errVersion
	}
	return segment{
		id: binary.LittleEndian.Uint64(b[16:]), salt: binary.LittleEndian.Uint64(b[24:]),
		first: binary.LittleEndian.Uint64(b[32:]), released: binary.LittleEndian.Uint64(b[40:]),
	}, nil
}

// createSegment makes an empty segment. It is given its name when its header is
// durable, so that a segment without a header is damage and nothing else; an
// empty one of the same name, of an earlier process, is replaced.
func (j *Journal) createSegment(first, released uint64) (vfs.File, *segment, error) {
	s := &segment{first: first, released: released, id: j.id, salt: rand.Uint64(), size: segmentHeader, counted: segmentHeader}
	path := j.path(fileName(first, segmentExt))
	f, err := j.fs.OpenReadWrite(path+unfinishedExt, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, nil, j.diskError("create", path+unfinishedExt, err)
	}
	if err := j.nameSegment(f, path, s); err != nil {
		_ = f.Close() // the first error counts
		return nil, nil, err
	}
	return f, s, nil
}

func (j *Journal) nameSegment(f vfs.File, path string, s *segment) error {
	if _, err := f.WriteAt(s.header(), 0); err != nil {
		return j.diskError("write", path+unfinishedExt, err)
	}
	segmentWritten.Hit()
	if err := f.Sync(); err != nil {
		return j.diskError("sync", path+unfinishedExt, err)
	}
	segmentSynced.Hit()
	if err := j.fs.Rename(path+unfinishedExt, path); err != nil {
		return j.diskError("rename", path+unfinishedExt, err)
	}
	segmentRenamed.Hit()
	if failpoint.Bug("journal-segment-without-directory-sync") {
		return nil
	}
	if err := j.syncDir(j.dir); err != nil {
		return err
	}
	segmentNamed.Hit()
	return nil
}

func (j *Journal) path(name string) string { return j.fs.PathJoin(j.dir, name) }

// syncDir makes the names in a folder durable.
func (j *Journal) syncDir(dir string) error {
	d, err := j.fs.OpenDir(dir)
	if err != nil {
		return j.diskError("open", dir, err)
	}
	err = d.Sync()
	if closed := d.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return j.diskError("sync", dir, err)
	}
	return nil
}

// diskError says what could not be done with which file.
func (j *Journal) diskError(what, path string, err error) error {
	e := diag.New("journal/disk", "the journal cannot %s %s", what, path).WithCause(err)
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return e.WithHint("the disk is full: make room (df -h %s) and start again; everything that was acknowledged is kept", j.dir)
	case errors.Is(err, os.ErrPermission):
		return e.WithHint("let the user of the engine write in %s", j.dir)
	}
	return e.WithHint("check the disk and start again; everything that was acknowledged and can be read is kept")
}

// damaged says that a file is not what was written.
func damaged(path string, at int64, format string, args ...any) error {
	return diag.New("journal/damaged", "the journal file %s is damaged at byte %d", path, at).WithCause(fmt.Errorf(format, args...)).
		WithHint("acknowledged input is in danger: check the disk and restore the file; to give up what the journal still holds, move its folder away and start with --fresh")
}
