package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/keygroup"
)

// The format of a segment; docs/formats/segment.md has the pictures. All numbers
// are little endian.
const (
	magic    = "GORGESEG"
	endMagic = "GORGEEND"
	version  = 1

	headerBytes  = 8 + 4 + 2 + 2 + 8 + 8 + 4*2 + 2 // and the name of the step
	entryBytes   = 4 + 4
	trailerBytes = 4 + 4 + 8
	chunkBytes   = 4 + 4 + 8 + 4 + 4 + 4

	maxStep   = 1 << 10
	maxWords  = 1 << 12
	maxObject = 1 << 31
)

// Header is what a cut is written with.
type Header struct {
	Epoch uint64
	// Run is the epoch of the opening manifest of the engine that writes: no two
	// engines have it in common, and so no two segments their bytes.
	Run    uint64
	Step   string
	Groups keygroup.Range // of the task
	Base   keygroup.Range // of the cut, as it was asked for
	Words  int            // length of a record
}

// appendHeader appends the header of one segment, whose Groups and Base are its own.
func appendHeader(dst []byte, h *Header) []byte {
	from := len(dst)
	dst = append(dst, magic...)
	dst = append(dst, 0, 0, 0, 0) // the checksum
	dst = binary.LittleEndian.AppendUint16(dst, version)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(h.Words))
	dst = binary.LittleEndian.AppendUint64(dst, h.Epoch)
	dst = binary.LittleEndian.AppendUint64(dst, h.Run)
	for _, g := range []keygroup.Group{h.Groups.First, h.Groups.End, h.Base.First, h.Base.End} {
		dst = binary.LittleEndian.AppendUint16(dst, uint16(g))
	}
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(h.Step)))
	dst = append(dst, h.Step...)
	binary.LittleEndian.PutUint32(dst[from+8:], checkpoint.Checksum(dst[from+12:]))
	return dst
}

// decodeHeader reads the header and returns its length.
func decodeHeader(data []byte) (h Header, n int, err error) {
	if len(data) < headerBytes || string(data[:8]) != magic {
		return h, 0, errors.New("it does not begin like a segment")
	}
	n = headerBytes + int(binary.LittleEndian.Uint16(data[headerBytes-2:]))
	if len(data) < n || checkpoint.Checksum(data[12:n]) != binary.LittleEndian.Uint32(data[8:]) {
		return h, 0, errors.New("the checksum of its header differs")
	}
	if v := binary.LittleEndian.Uint16(data[12:]); v != version {
		return h, 0, fmt.Errorf("it has version %d, and this engine reads version %d", v, version)
	}
	group := func(i int) keygroup.Group { return keygroup.Group(binary.LittleEndian.Uint16(data[32+2*i:])) }
	h = Header{
		Epoch: binary.LittleEndian.Uint64(data[16:]), Run: binary.LittleEndian.Uint64(data[24:]), Step: string(data[headerBytes:n]),
		Groups: keygroup.Range{First: group(0), End: group(1)}, Base: keygroup.Range{First: group(2), End: group(3)},
		Words: int(binary.LittleEndian.Uint16(data[14:])),
	}
	if h.Groups.First > h.Groups.End || h.Groups.End > keygroup.Count || h.Words > maxWords || len(h.Step) > maxStep {
		return h, 0, errors.New("its header cannot be")
	}
	return h, n, nil
}

// entry is where the chunks of a key group begin.
type entry struct {
	group  keygroup.Group
	offset uint32
}

// appendIndex appends the index of the chunks and the trailer.
func appendIndex(dst []byte, index []entry) []byte {
	from := len(dst)
	for _, e := range index {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(e.group))
		dst = binary.LittleEndian.AppendUint32(dst, e.offset)
	}
	sum := checkpoint.Checksum(dst[from:])
	dst = binary.LittleEndian.AppendUint32(dst, sum)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(index)))
	return append(dst, endMagic...)
}

// segment is the bytes of a segment, taken apart.
type segment struct {
	header Header
	data   []byte
	chunks int // where the first chunk begins
	index  int // where they end
}

// open takes the bytes of a segment apart. The chunks are not looked at.
func open(data []byte) (*segment, error) {
	h, n, err := decodeHeader(data)
	if err != nil {
		return nil, err
	}
	end := len(data) - trailerBytes
	if end < n || string(data[end+8:]) != endMagic {
		return nil, errors.New("it does not end like a segment")
	}
	count := binary.LittleEndian.Uint32(data[end+4:])
	if uint64(count)*entryBytes > uint64(end-n) {
		return nil, fmt.Errorf("its index has %d entries, more than there is room for", count)
	}
	s := &segment{header: h, data: data, chunks: n, index: end - int(count)*entryBytes}
	if checkpoint.Checksum(data[s.index:end]) != binary.LittleEndian.Uint32(data[end:]) {
		return nil, errors.New("the checksum of its index differs")
	}
	return s, s.checkIndex()
}

// groups returns the number of key groups in the index.
func (s *segment) groups() int { return (len(s.data) - trailerBytes - s.index) / entryBytes }

// at returns key group i of the index and its chunks.
func (s *segment) at(i int) (g keygroup.Group, chunks []byte) {
	e := s.index + i*entryBytes
	from, to := int(binary.LittleEndian.Uint32(s.data[e+4:])), s.index
	if i+1 < s.groups() {
		to = int(binary.LittleEndian.Uint32(s.data[e+entryBytes+4:]))
	}
	return keygroup.Group(binary.LittleEndian.Uint32(s.data[e:])), s.data[from:to]
}

// checkIndex holds that the index covers the chunks, in order.
func (s *segment) checkIndex() error {
	if s.groups() == 0 && s.chunks != s.index {
		return errors.New("it has chunks that are not in its index")
	}
	at, next := s.chunks, s.header.Groups.First
	for i := range s.groups() {
		e := s.index + i*entryBytes
		group, offset := binary.LittleEndian.Uint32(s.data[e:]), binary.LittleEndian.Uint32(s.data[e+4:])
		wrong := group < uint32(next) || group >= uint32(s.header.Groups.End) || int64(offset) >= int64(s.index)
		if i == 0 {
			wrong = wrong || int64(offset) != int64(at)
		} else {
			wrong = wrong || int64(offset) <= int64(at)
		}
		if wrong {
			return fmt.Errorf("entry %d of its index cannot be", i)
		}
		at, next = int(offset), keygroup.Group(group)+1
	}
	return nil
}
