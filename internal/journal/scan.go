package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// errTorn tells that the bytes up to the end of a file make no frame, and that no frame follows them.
var errTorn = errors.New("the file ends within a frame")

// readAhead is how much of a file is read at a time.
const readAhead = 256 << 10

// scanner reads the frames of one segment in order.
type scanner struct {
	journal *Journal
	file    vfs.File
	path    string
	salt    uint64
	size    int64  // how much of the file is to be read: all that is durable
	off     int64  // of the next frame
	expect  uint64 // its first record
	window  []byte
	from    int64 // offset of window
}

// openScan opens a segment and reads its header. The error is errHeader when
// there is no header; the scanner then is still there, and open.
func (j *Journal) openScan(first uint64) (*scanner, segment, error) {
	s := &scanner{journal: j, path: j.path(fileName(first, segmentExt)), off: segmentHeader, expect: first}
	var err error
	if s.file, err = j.fs.Open(s.path); err != nil {
		return nil, segment{}, j.diskError("open", s.path, err)
	}
	info, err := s.file.Stat()
	if err != nil {
		_ = s.file.Close()
		return nil, segment{}, j.diskError("look at", s.path, err)
	}
	s.size = info.Size()
	var head [segmentHeader]byte
	n, err := s.file.ReadAt(head[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		_ = s.file.Close()
		return nil, segment{}, j.diskError("read", s.path, err)
	}
	g, err := parseHeader(head[:n])
	if err == nil && g.first != first {
		err = errHeader // of another file
	}
	g.size, s.salt = s.size, g.salt
	return s, g, err
}

// bytes returns n bytes from offset at on, all of which the file has.
func (s *scanner) bytes(at, n int64) ([]byte, error) {
	if at < s.from || at+n > s.from+int64(len(s.window)) {
		want := min(max(n, readAhead), s.size-at)
		if int64(cap(s.window)) < want {
			s.window = make([]byte, want)
		}
		s.window, s.from = s.window[:want], at
		if _, err := s.file.ReadAt(s.window, at); err != nil {
			s.window = s.window[:0]
			return nil, s.journal.diskError("read", s.path, err)
		}
	}
	return s.window[at-s.from : at-s.from+n], nil
}

// try reads the frame at an offset; ok is false when there is none.
func (s *scanner) try(at int64) (f frame, size int64, ok bool, err error) {
	if at+frameHeader > s.size {
		return f, 0, false, nil
	}
	b, err := s.bytes(at, frameHeader)
	if err != nil {
		return f, 0, false, err
	}
	size, ok = frameSize(b, s.salt)
	if !ok || at+size > s.size {
		return f, 0, false, nil
	}
	if b, err = s.bytes(at, size); err != nil {
		return f, 0, false, err
	}
	f, ok = parseFrame(b, s.salt)
	return f, size, ok, nil
}

// next returns the next frame; its records are valid until the next call. At the end of the file the error is io.EOF, or
// errTorn when bytes are left that make no frame.
func (s *scanner) next() (frame, error) {
	if s.off == s.size {
		return frame{}, io.EOF
	}
	f, size, ok, err := s.try(s.off)
	if err != nil {
		return f, err
	}
	switch {
	case !ok:
		return s.skip()
	case f.first != s.expect:
		return f, damaged(s.path, s.off, "record %d stands where record %d should", f.first, s.expect)
	}
	s.off, s.expect = s.off+size, f.end()
	return f, nil
}

// skip looks for a frame behind bytes that make none. A frame was written only
// after the ones before it were synced, so that bytes between frames are damage,
// unless no record is missing: a seal is not synced and may be lost.
func (s *scanner) skip() (frame, error) {
	rest, err := s.bytes(s.off, s.size-s.off)
	if err != nil {
		return frame{}, err
	}
	magic := binary.LittleEndian.AppendUint32(nil, frameMagic)
	for i := 0; ; i++ {
		k := bytes.Index(rest[i:], magic)
		if k < 0 {
			return frame{}, errTorn
		}
		i += k
		at := s.off + int64(i)
		f, size, ok, err := s.try(at)
		switch {
		case err != nil:
			return f, err
		case !ok:
		case f.first == s.expect:
			s.off, s.expect = at+size, f.end()
			return f, nil
		default:
			return f, damaged(s.path, s.off, "record %d is missing: record %d follows at byte %d", s.expect, f.first, at)
		}
	}
}

func (s *scanner) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}
