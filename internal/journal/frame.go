package journal

import (
	"encoding/binary"
	"hash/crc32"
)

// Sizes and marks of the format; see docs/formats/journal.md.
const (
	frameHeader  = 48
	frameMagic   = 0x666a_6f67 // "gojf"
	recordHeader = 6
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Key identifies a record to its sender: opaque bytes of the caller.
type Key [24]byte

// Record is what is appended, and comes back unchanged.
type Record struct {
	Tag     uint8 // for the caller
	Keyed   bool  // the record has a key
	Key     Key
	Payload []byte
}

// frame is one group as it stands in a file.
type frame struct {
	first    uint64 // sequence of its first record; all before it were durable when it was written
	count    uint32 // 0: a seal, which says just that
	released uint64 // records below it had been let go of
	time     int64  // when it was written, in microseconds since 1970
	records  []byte
}

// end is the sequence behind the last record.
func (f *frame) end() uint64 { return f.first + uint64(f.count) }

// sealFrame fills in the header of a frame, which b begins with.
func sealFrame(b []byte, f *frame, salt uint64) {
	binary.LittleEndian.PutUint32(b, frameMagic)
	binary.LittleEndian.PutUint32(b[8:], uint32(len(b)-frameHeader))
	binary.LittleEndian.PutUint32(b[12:], f.count)
	binary.LittleEndian.PutUint64(b[16:], f.first)
	binary.LittleEndian.PutUint64(b[24:], salt)
	binary.LittleEndian.PutUint64(b[32:], f.released)
	binary.LittleEndian.PutUint64(b[40:], uint64(f.time))
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
}

// frameSize returns how long the frame at the beginning of b claims to be, and
// whether it can be one of the file with this salt at all. b holds a header.
func frameSize(b []byte, salt uint64) (int64, bool) {
	if binary.LittleEndian.Uint32(b) != frameMagic || binary.LittleEndian.Uint64(b[24:]) != salt {
		return 0, false
	}
	return frameHeader + int64(binary.LittleEndian.Uint32(b[8:])), true
}

// parseFrame reads a frame that b holds exactly; the records are part of b.
func parseFrame(b []byte, salt uint64) (f frame, ok bool) {
	if len(b) < frameHeader {
		return f, false
	}
	if n, ok := frameSize(b, salt); !ok || n != int64(len(b)) || binary.LittleEndian.Uint32(b[4:]) != crc32.Checksum(b[8:], castagnoli) {
		return f, false
	}
	f = frame{
		first: binary.LittleEndian.Uint64(b[16:]), count: binary.LittleEndian.Uint32(b[12:]), released: binary.LittleEndian.Uint64(b[32:]),
		time: int64(binary.LittleEndian.Uint64(b[40:])), records: b[frameHeader:],
	}
	// A sequence of 0 or one that overflows was never written.
	if f.first == 0 || f.end() < f.first {
		return f, false
	}
	rest := f.records
	for range f.count {
		if _, rest, ok = cutRecord(rest); !ok {
			return f, false
		}
	}
	return f, len(rest) == 0
}

// recordSize is what a record takes within a frame.
func recordSize(r *Record) int64 {
	n := int64(recordHeader + len(r.Payload))
	if r.Keyed {
		n += int64(len(r.Key))
	}
	return n
}

func appendRecord(b []byte, r *Record) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.Payload)))
	if r.Keyed {
		b = append(b, r.Tag, 1)
		b = append(b, r.Key[:]...)
	} else {
		b = append(b, r.Tag, 0)
	}
	return append(b, r.Payload...)
}

// cutRecord reads the record at the beginning of b and returns what follows it.
func cutRecord(b []byte) (r Record, rest []byte, ok bool) {
	if len(b) < recordHeader || b[5] > 1 {
		return r, b, false
	}
	n := int64(binary.LittleEndian.Uint32(b))
	r.Tag, r.Keyed, rest = b[4], b[5] == 1, b[recordHeader:]
	if r.Keyed {
		if len(rest) < len(r.Key) {
			return r, b, false
		}
		r.Key, rest = Key(rest[:len(r.Key)]), rest[len(r.Key):]
	}
	if n > int64(len(rest)) {
		return r, b, false
	}
	r.Payload = rest[:n:n]
	return r, rest[n:], true
}

// Group is records that became durable together, from some record on. It is part
// of the Reader that it came from and valid until that is asked for the next.
type Group struct {
	next    uint64
	records []byte
	left    uint32
}

// Next takes the next record; ok is false behind the last.
func (g *Group) Next() (seq uint64, r Record, ok bool) {
	if g.left == 0 {
		return g.next, r, false
	}
	r, rest, ok := cutRecord(g.records)
	if !ok { // every frame was checked when it was read
		return g.next, r, false
	}
	seq, g.next, g.records, g.left = g.next, g.next+1, rest, g.left-1
	return seq, r, true
}

// Peek is Next without taking it.
func (g *Group) Peek() (seq uint64, r Record, ok bool) {
	look := *g
	return look.Next()
}

// groupFrom is the part of a frame from a sequence on.
func groupFrom(f *frame, from uint64) Group {
	g := Group{next: f.first, records: f.records, left: f.count}
	for g.next < from {
		if _, _, ok := g.Next(); !ok {
			break
		}
	}
	return g
}
