package file

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"github.com/gorge-stream/gorge/internal/connector"
)

// position is where a split stands. As bytes, version 1:
//
//	1 byte   1
//	1 byte   1 when the rest of a record over the limit is still to be skipped, else 0
//	uvarint  offset in the inflated stream
//	uvarint  device, and
//	uvarint  inode of the file; 0 where there is none
//	4 bytes  CRC-32C, little endian, of the first 4 KiB before the offset, and
//	4 bytes  of the last 4 KiB before it; of all that is there when that is less
type position struct {
	offset   int64
	skipping bool
	file     identity // tells people where a file is that was renamed; it decides nothing
	content  fingerprint
}

// fingerprint tells the content of a file from that of others.
type fingerprint struct{ head, tail uint32 }

const positionVersion = 1

func (p position) encode() connector.Position {
	out := make([]byte, 2, 2+3*binary.MaxVarintLen64+8)
	if out[0] = positionVersion; p.skipping {
		out[1] = 1
	}
	out = binary.AppendUvarint(out, uint64(p.offset))
	out = binary.AppendUvarint(out, p.file.device)
	out = binary.AppendUvarint(out, p.file.inode)
	out = binary.LittleEndian.AppendUint32(out, p.content.head)
	return binary.LittleEndian.AppendUint32(out, p.content.tail)
}

// decodePosition reads what encode wrote; no bytes are the start.
func decodePosition(b connector.Position) (position, error) {
	if len(b) == 0 {
		return position{}, nil
	}
	if len(b) < 3 || b[0] != positionVersion || b[1] > 1 {
		return position{}, errors.New("it is not of this version")
	}
	var numbers [3]uint64
	rest := b[2:]
	for i := range numbers {
		n, k := binary.Uvarint(rest)
		if k <= 0 {
			return position{}, errors.New("it is damaged")
		}
		numbers[i], rest = n, rest[k:]
	}
	if len(rest) != 8 || int64(numbers[0]) < 0 {
		return position{}, errors.New("it is damaged")
	}
	return position{
		offset: int64(numbers[0]), skipping: b[1] == 1, file: identity{device: numbers[1], inode: numbers[2]},
		content: fingerprint{head: binary.LittleEndian.Uint32(rest), tail: binary.LittleEndian.Uint32(rest[4:])},
	}, nil
}

// ends keeps what the fingerprint is made of: the CRC of the first bytes that were
// read, and the last ones.
type ends struct {
	size int64 // of all that was read
	head uint32
	last [tailBytes]byte // the last min(size, tailBytes) bytes, at the end of the array
}

// add takes in the next bytes.
func (e *ends) add(b []byte) {
	if room := tailBytes - e.size; room > 0 {
		e.head = crc32.Update(e.head, castagnoli, b[:min(int64(len(b)), room)])
	}
	e.size += int64(len(b))
	if len(b) >= tailBytes {
		copy(e.last[:], b[len(b)-tailBytes:])
		return
	}
	copy(e.last[:], e.last[len(b):])
	copy(e.last[tailBytes-len(b):], b)
}

func (e *ends) fingerprint() fingerprint {
	return fingerprint{head: e.head, tail: crc32.Checksum(e.last[tailBytes-min(e.size, tailBytes):], castagnoli)}
}

// load makes e what it was when the first size bytes of a file had been read.
func (e *ends) load(f io.ReaderAt, size int64) error {
	*e = ends{size: size}
	part := e.last[tailBytes-min(size, tailBytes):]
	if _, err := f.ReadAt(part, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	e.head = crc32.Checksum(part, castagnoli)
	if _, err := f.ReadAt(part, size-int64(len(part))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
