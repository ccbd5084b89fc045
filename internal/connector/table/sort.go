package table

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// A row waits in a writer's arena as: length of key u32 | length of value u32 |
// key | value, so that one place in memory has all of it.
const rowHead = 8

// rowAt returns key and value of the row at off.
func rowAt(arena []byte, off uint32) (key, value []byte) {
	p := arena[off:]
	n := rowHead + binary.LittleEndian.Uint32(p)
	return p[rowHead:n], p[n : n+binary.LittleEndian.Uint32(p[4:])]
}

// item is a row in an arena with the eight bytes of its key that the sorter looks at.
type item struct {
	word uint64
	off  uint32
}

// sorter puts rows in order of their keys, equal keys in the order they came.
// Keys of one table share long prefixes ("dev-00012345"), so each round skips
// what all keys of a run have in common and sorts by the next eight bytes.
type sorter struct {
	arena []byte
	spare []item
}

// few is the length of a run from which radix passes pay.
const few = 96

// sort sorts items, which are rows in arena.
func (s *sorter) sort(arena []byte, items []item) {
	s.arena = arena
	s.spare = slices.Grow(s.spare[:0], len(items))[:len(items)]
	s.run(items, 0)
}

func (s *sorter) key(i item) []byte {
	p := s.arena[i.off:]
	return p[rowHead : rowHead+binary.LittleEndian.Uint32(p)]
}

// run sorts items whose keys are equal up to skip.
func (s *sorter) run(items []item, skip int) {
	for len(items) > 1 {
		if len(items) < few {
			s.compare(items)
			return
		}
		skip = s.shared(items, skip)
		ends := false
		for i := range items {
			items[i].word, ends = word(s.key(items[i]), skip, ends)
		}
		radix(items, s.spare)
		switch {
		case ends: // zeros behind the end of a key tie with zeros in another
			ties(items, s.compareTie)
			return
		case items[0].word != items[len(items)-1].word:
			ties(items, func(tie []item) { s.run(tie, skip+8) })
			return
		}
		skip += 8
	}
}

// word returns the eight bytes of key behind skip, zeros beyond its end, and
// whether this or an earlier key ended before.
func word(key []byte, skip int, ends bool) (uint64, bool) {
	if len(key) >= skip+8 {
		return binary.BigEndian.Uint64(key[skip:]), ends
	}
	var w [8]byte
	copy(w[:], key[min(skip, len(key)):])
	return binary.BigEndian.Uint64(w[:]), true
}

// ties calls fn for every run of equal words.
func ties(items []item, fn func(tie []item)) {
	for i := 0; i < len(items); {
		j := i + 1
		for j < len(items) && items[j].word == items[i].word {
			j++
		}
		if j-i > 1 {
			fn(items[i:j])
		}
		i = j
	}
}

// compareTie sorts a run that is most often one key, written many times.
func (s *sorter) compareTie(items []item) {
	first := s.key(items[0])
	for _, i := range items[1:] {
		if !bytes.Equal(s.key(i), first) {
			s.compare(items)
			return
		}
	}
}

func (s *sorter) compare(items []item) {
	slices.SortStableFunc(items, func(a, b item) int { return bytes.Compare(s.key(a), s.key(b)) })
}

// shared returns how many bytes all keys of a run have in common, at least skip.
func (s *sorter) shared(items []item, skip int) int {
	first := s.key(items[0])
	n := len(first)
	for _, i := range items[1:] {
		key := s.key(i)
		n = min(n, len(key))
		if bytes.Equal(key[skip:n], first[skip:n]) {
			continue
		}
		for n = skip; key[n] == first[n]; n++ {
		}
		if n == skip {
			break
		}
	}
	return n
}

// radix sorts by word, stable, a byte at a time from the last; bytes that are
// the same in all words cost nothing but their count.
func radix(items, spare []item) {
	var counts [8][256]uint32
	sorted := true
	last := uint64(0)
	for _, i := range items {
		w := i.word
		sorted = sorted && w >= last
		last = w
		for b := range 8 {
			counts[b][byte(w>>(8*b))]++
		}
	}
	if sorted {
		return
	}
	src, dst := items, spare[:len(items)]
	for b := range 8 {
		c := &counts[b]
		shift := 8 * b
		if c[byte(src[0].word>>shift)] == uint32(len(items)) {
			continue
		}
		at := uint32(0)
		for v := range c {
			c[v], at = at, at+c[v]
		}
		for _, i := range src {
			v := byte(i.word >> shift)
			dst[c[v]] = i
			c[v]++
		}
		src, dst = dst, src
	}
	if &src[0] != &items[0] {
		copy(items, src)
	}
}
