package table

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
)

// Behind all tables lies what epochs need: docs/formats/table.md.
//
//	applied:  epochSpace u32 | 1 u8 | table id u32
//	staged:   epochSpace u32 | 2 u8 | table id u32 | stage u64 | task u32 | chunk u32
const (
	epochSpace = math.MaxUint32

	tagApplied = 1
	tagStaged  = 2

	appliedVersion = 1
	chunkVersion   = 1
	markVersion    = 1
)

// errStaged is returned for bytes of an epoch that are none.
var errStaged = errors.New("staged rows are malformed")

func epochKey(tag byte, table uint32) []byte {
	return binary.BigEndian.AppendUint32(append(binary.BigEndian.AppendUint32(nil, epochSpace), tag), table)
}

func stagedKey(table uint32, stage uint64, task, chunk uint32) []byte {
	key := binary.BigEndian.AppendUint64(epochKey(tagStaged, table), stage)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(key, task), chunk)
}

// appliedValue is the value of an applied key: version u8 | epoch u64.
func appliedValue(epoch uint64) []byte {
	return binary.LittleEndian.AppendUint64([]byte{appliedVersion}, epoch)
}

func parseApplied(p []byte) (uint64, error) {
	if len(p) != 9 || p[0] != appliedVersion {
		return 0, errors.New("the applied epoch of a table is malformed")
	}
	return binary.LittleEndian.Uint64(p[1:]), nil
}

// A chunk is: version u8 | rows | CRC-32C u32 of all before. A row is: length of key
// uvarint | length of value uvarint | key as in the store | value.
const chunkFrame = 1 + 4

func appendChunkRow(dst, key, value []byte) []byte {
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(len(key))), uint64(len(value)))
	return append(append(dst, key...), value...)
}

// openChunk returns the rows of a chunk and its checksum.
func openChunk(p []byte) (rows []byte, sum uint32, err error) {
	if len(p) < chunkFrame || p[0] != chunkVersion {
		return nil, 0, errStaged
	}
	body := p[:len(p)-4]
	sum = binary.LittleEndian.Uint32(p[len(p)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, 0, errStaged
	}
	return body[1:], sum, nil
}

// cutChunkRow cuts the first row off rows and proves that it is one of the table.
func cutChunkRow(rows []byte, table uint32) (key, value, rest []byte, err error) {
	k, n := binary.Uvarint(rows)
	if n <= 0 {
		return nil, nil, nil, errStaged
	}
	rows = rows[n:]
	v, n := binary.Uvarint(rows)
	if n <= 0 {
		return nil, nil, nil, errStaged
	}
	rows = rows[n:]
	if k < prefixLen || k > prefixLen+maxKeyBytes || v > maxRowBytes || uint64(len(rows)) < k+v {
		return nil, nil, nil, errStaged
	}
	key, value, rest = rows[:k], rows[k:k+v], rows[k+v:]
	if binary.BigEndian.Uint32(key) != table {
		return nil, nil, nil, errStaged
	}
	return key, value, rest, nil
}

// mark is what a checkpoint holds of one writer's output in one epoch: the
// committable. It names what lies in the store, which alone is not enough: the
// store's log may lose its end, and then the mark is the witness.
type mark struct {
	table  uint32
	epoch  uint64
	before uint64 // the epoch that the store had applied before this one
	stage  uint64 // the epoch may have got its number after the first rows were staged
	task   uint32
	cut    uint64   // the first bucket that is kept
	runs   []uint32 // the number of chunks of each sorted run, oldest first; none: no rows
	rows   uint64
	bytes  uint64 // of the chunks
	sum    uint32 // of sumOf of the chunks, by exclusive or
}

// The fixed part of a mark: version u8 | table u32 | epoch, before, stage u64 |
// task u32 | cut, rows, bytes u64 | sum u32. The number of chunks of each run
// follows as uvarint, then a CRC-32C u32.
const markHead = 1 + 4 + 3*8 + 4 + 3*8 + 4

func (m *mark) marshal() []byte {
	p := make([]byte, 0, markHead+2*len(m.runs)+4)
	p = binary.LittleEndian.AppendUint32(append(p, markVersion), m.table)
	p = binary.LittleEndian.AppendUint64(p, m.epoch)
	p = binary.LittleEndian.AppendUint64(p, m.before)
	p = binary.LittleEndian.AppendUint64(p, m.stage)
	p = binary.LittleEndian.AppendUint32(p, m.task)
	p = binary.LittleEndian.AppendUint64(p, m.cut)
	p = binary.LittleEndian.AppendUint64(p, m.rows)
	p = binary.LittleEndian.AppendUint64(p, m.bytes)
	p = binary.LittleEndian.AppendUint32(p, m.sum)
	for _, n := range m.runs {
		p = binary.AppendUvarint(p, uint64(n))
	}
	return binary.LittleEndian.AppendUint32(p, crc32.Checksum(p, castagnoli))
}

func parseMark(p []byte) (*mark, error) {
	bad := errors.New("what the checkpoint says of the table is malformed")
	if len(p) < markHead+4 || p[0] != markVersion {
		return nil, bad
	}
	body := p[:len(p)-4]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(p[len(p)-4:]) {
		return nil, bad
	}
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(body[at:]) }
	u64 := func(at int) uint64 { return binary.LittleEndian.Uint64(body[at:]) }
	m := &mark{table: u32(1), epoch: u64(5), before: u64(13), stage: u64(21), task: u32(29),
		cut: u64(33), rows: u64(41), bytes: u64(49), sum: u32(57)}
	chunks := uint64(0)
	for rest := body[markHead:]; len(rest) > 0; {
		n, w := binary.Uvarint(rest)
		if chunks += n; w <= 0 || n == 0 || n > math.MaxUint32 || chunks > math.MaxUint32 {
			return nil, bad
		}
		m.runs = append(m.runs, uint32(n))
		rest = rest[w:]
	}
	if m.epoch <= m.before || m.stage > m.epoch {
		return nil, bad
	}
	return m, nil
}

// chunks returns the number of chunks of all runs.
func (m *mark) chunks() (n uint32) {
	for _, r := range m.runs {
		n += r
	}
	return n
}

// sumOf is what a chunk adds to the sum of its mark, in whatever order chunks are read.
func sumOf(chunk, sum uint32) uint32 {
	return crc32.Checksum(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, chunk), sum), castagnoli)
}
