package batch

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// InlineMax is the longest value in bytes that a view holds itself.
const InlineMax = 12

// View is a string or binary value in Arrow's view layout, as two little-endian words.
//
//	inline (length <= 12): W0 = length | bytes 0..3 << 32, W1 = bytes 4..11, unused bytes 0
//	long:                  W0 = length | bytes 0..3 << 32, W1 = buffer 0   | offset  << 32
//
// The offset counts from the start of the column's arena. Equal inline values
// have equal words.
type View struct{ W0, W1 uint64 }

// Len returns the length in bytes.
func (v View) Len() int { return int(uint32(v.W0)) }

// Inline reports whether the bytes are in the view itself.
func (v View) Inline() bool { return uint32(v.W0) <= InlineMax }

// Offset returns the place of a long value in the arena.
func (v View) Offset() int { return int(v.W1 >> 32) }

// Bytes returns the bytes of the value; v must be addressable for as long as
// the result is used, arena is the arena of its column. The result is read-only.
func (v *View) Bytes(arena []byte) []byte {
	n := v.Len()
	if n <= InlineMax {
		return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(v), 4)), n)
	}
	o := v.Offset()
	return arena[o : o+n : o+n]
}

// InlineView makes a view of at most InlineMax bytes.
func InlineView(b []byte) View {
	n := len(b)
	switch {
	case n >= 8:
		lo := binary.LittleEndian.Uint64(b)
		hi := binary.LittleEndian.Uint64(b[n-8:]) >> (uint(16-n) * 8 & 63)
		if n == 8 {
			hi = 0
		}
		return View{uint64(n) | lo<<32, lo>>32 | hi<<32}
	case n >= 4:
		lo := uint64(binary.LittleEndian.Uint32(b))
		hi := uint64(binary.LittleEndian.Uint32(b[n-4:])) >> (uint(8-n) * 8 & 63)
		return View{uint64(n) | lo<<32, hi}
	}
	var lo uint64
	for i := n - 1; i >= 0; i-- {
		lo = lo<<8 | uint64(b[i])
	}
	return View{W0: uint64(n) | lo<<32}
}

// LongView makes the view of a value of more than InlineMax bytes that lies at offset in the arena.
func LongView(b []byte, offset int) View {
	return View{uint64(uint32(len(b))) | uint64(binary.LittleEndian.Uint32(b))<<32, uint64(uint32(offset)) << 32}
}

// Hash mixes the two words of an inline value into 64 bits of which the high
// and the low ones are good. It is a folded 64x64 multiplication with seeds, the
// scheme of wyhash (github.com/wangyi-fudan/wyhash), not a cryptographic hash.
func Hash(w0, w1 uint64) uint64 {
	hi, lo := bits.Mul64(w0^hashSeed0, w1^hashSeed1)
	return hi ^ lo
}

const (
	hashSeed0 = 0x9E3779B97F4A7C15
	hashSeed1 = 0xC2B2AE3D27D4EB4F
)

// HashBytes is Hash for values of any length: inline values hash as their view.
func HashBytes(b []byte) uint64 {
	if len(b) <= InlineMax {
		v := InlineView(b)
		return Hash(v.W0, v.W1)
	}
	h := Hash(uint64(len(b)), binary.LittleEndian.Uint64(b[len(b)-8:]))
	for len(b) > 16 {
		h = Hash(h^binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]))
		b = b[16:]
	}
	var t [16]byte
	copy(t[:], b)
	return Hash(h^binary.LittleEndian.Uint64(t[:]), binary.LittleEndian.Uint64(t[8:]))
}
