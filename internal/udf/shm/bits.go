package shm

import "encoding/binary"

// copyBits writes n bits to dst from its bit 0 on, taken from src from bit from on.
// dst has (n+7)/8 bytes; bits behind the last are undefined.
func copyBits(dst []byte, src []uint64, from, n int) {
	w, s := from>>6, uint(from)&63
	for i := 0; i < (n+7)/8; i += 8 {
		v := src[w] >> s
		if w++; s != 0 && w < len(src) {
			v |= src[w] << (64 - s)
		}
		if len(dst)-i >= 8 {
			binary.LittleEndian.PutUint64(dst[i:], v)
			continue
		}
		for j := i; j < len(dst); j++ {
			dst[j] = byte(v)
			v >>= 8
		}
	}
}

// putBits sets k bits of dst from bit at on to the low bits of v; k is 1 to 64.
func putBits(dst []uint64, at int, v uint64, k int) {
	mask := ^uint64(0) >> uint(64-k)
	v &= mask
	w, s := at>>6, uint(at)&63
	dst[w] = dst[w]&^(mask<<s) | v<<s
	if int(s)+k > 64 {
		dst[w+1] = dst[w+1]&^(mask>>(64-s)) | v>>(64-s)
	}
}

// bitsToBytes writes one byte, 0 or 1, for each of n bits of src from bit from on.
func bitsToBytes(dst []byte, src []uint64, from, n int) {
	for i := range n {
		k := from + i
		dst[i] = byte(src[k>>6] >> (uint(k) & 63) & 1)
	}
}

// packBytes returns up to 64 bytes as bits; a byte that is not zero is a one.
func packBytes(b []byte) uint64 {
	var v uint64
	for i, x := range b {
		if x != 0 {
			v |= 1 << uint(i)
		}
	}
	return v
}
