package json

import "encoding/binary"

// nameMemo remembers to which column names belong, so that the map of columns is
// seldom asked: most names of a stream come again with every record.
type nameMemo [64]struct {
	name [32]byte
	size uint8 // 0: free, since the empty name is not remembered
	col  int32
}

// lookup returns the column of that name, or -1.
func (m *nameMemo) lookup(name []byte, columns map[string]int) int {
	n := len(name)
	if n == 0 || n > len(m[0].name) {
		if c, ok := columns[string(name)]; ok {
			return c
		}
		return -1
	}
	e := &m[nameHash(name)&uint64(len(m)-1)]
	if int(e.size) == n && string(e.name[:n]) == string(name) {
		return int(e.col)
	}
	c, ok := columns[string(name)]
	if !ok {
		c = -1
	}
	e.size, e.col = uint8(copy(e.name[:], name)), int32(c)
	return c
}

// nameHash mixes the first and last bytes and the length.
func nameHash(name []byte) uint64 {
	n := len(name)
	h := uint64(n)
	if n >= 4 {
		h ^= uint64(binary.LittleEndian.Uint32(name)) | uint64(binary.LittleEndian.Uint32(name[n-4:]))<<32
	} else {
		h ^= uint64(name[0])<<8 | uint64(name[n-1])<<16 | uint64(name[n/2])<<24
	}
	return h * 0x9E3779B97F4A7C15 >> 58
}
