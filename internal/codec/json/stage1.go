package json

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// Stage 1 looks at every byte once, 64 at a time: where are the newlines, and is
// there anything that makes strings hard. A segment is the unit of the second answer.
const (
	segmentWords = 64
	segmentBytes = segmentWords * 64
)

// stage1 writes the newline bits of n*64 bytes from p on to nl, n words, and
// reports whether there is a byte that is neither a newline nor printable ASCII
// other than a backslash. It is set once, by the abilities of the processor.
var stage1 = bestStage1()

// stage1Go is stage1 for every processor.
func stage1Go(p *byte, n int, nl *uint64) (unclean bool) {
	const low7 = 0x7F * ones
	words := unsafe.Slice(nl, n)
	text := unsafe.Slice(p, n*64)
	dirty := uint64(0)
	for w := range words {
		line := text[w*64 : w*64+64]
		found := uint64(0)
		for j := 0; j < 64; j += 8 {
			x := binary.LittleEndian.Uint64(line[j:])
			// exact tests without carries between bytes: the high bit of a byte tells
			t := x ^ '\n'*ones
			newline := ^((t&low7 + low7) | t | low7)
			control := ^(x&low7 + (0x80-' ')*ones) & highs
			b := x ^ '\\'*ones
			dirty |= control&^newline | x&highs | (b-ones)&^b&highs
			found |= newline >> 7 * 0x0102040810204080 >> 56 << uint(j&63)
		}
		words[w] = found
	}
	return dirty != 0
}

// scanner cuts a block into lines by the newline bits of one segment after the other.
type scanner struct {
	base    unsafe.Pointer // of the block
	size    int
	pos     int  // where the next line begins
	at      int  // where the next segment begins
	unclean bool // the current segment
	next    int  // of ends
	count   int  // of ends
	bitmap  [segmentWords]uint64
	ends    [segmentBytes]uint32 // places of the newlines of the segment
}

// start begins a block, which has codec.Pad readable bytes behind it.
func (s *scanner) start(block []byte) {
	s.base, s.size = unsafe.Pointer(unsafe.SliceData(block)), len(block)
	s.pos, s.at, s.next, s.count, s.unclean = 0, 0, 0, 0, false
}

// segment takes the next segment and reports whether there was one.
func (s *scanner) segment() bool {
	left := s.size - s.at
	if left <= 0 {
		return false
	}
	words := min((left+63)/64, segmentWords)
	s.unclean = stage1((*byte)(unsafe.Add(s.base, s.at)), words, &s.bitmap[0])
	if left < words*64 {
		s.bitmap[words-1] &= 1<<(uint(left)&63) - 1 // newlines behind the block are not its own
	}
	k, offset := 0, uint32(s.at)
	for _, w := range s.bitmap[:words] {
		// Most lines are longer than a word: the first newline of a word is stored
		// without asking whether there is one, since nobody could predict that.
		s.ends[k&(segmentBytes-1)] = offset + uint32(bits.TrailingZeros64(w))
		k += int((w | -w) >> 63)
		for w &= w - 1; w != 0; w &= w - 1 {
			s.ends[k&(segmentBytes-1)] = offset + uint32(bits.TrailingZeros64(w))
			k++
		}
		offset += 64
	}
	s.next, s.count = 0, k
	s.at += segmentBytes
	return true
}

// gather puts the next lines into g, at most most and only such that end with a
// newline, and returns how many.
func (s *scanner) gather(g *group, most int) int {
	g.clean = !s.unclean
	n := 0
	for n < most {
		if s.next == s.count {
			if !s.segment() {
				break
			}
			g.clean = g.clean && !s.unclean
		}
		k := copy(g.end[n:most], s.ends[s.next:s.count])
		s.next += k
		n += k
	}
	from := uint32(s.pos)
	end := g.end[:n]
	start := g.start[:len(end)]
	for i, e := range end {
		start[i] = from
		from = e + 1
	}
	s.pos = int(from)
	return n
}
