// Package memory is the state backend in memory: one open-addressing table per
// pane, in hash order, key and accumulators inline in one slot, outside the
// collected heap.
//
// # Layout
//
//	slot   = key word 0 | key word 1 | words of the record
//	word 0 = the key's view word 0 with bit 31 of the length set: the slot is taken
//	word 1 = view word 1 of a short key; of a long one: offset in the arena << 32 | low half of the hash
//
// The home slot of a key is its hash scaled to the size of the table, so slots
// are in hash order: growing is two near-sequential passes, a range of key
// groups is a run of slots. Collisions go to the next slot, around the end. The
// load stays under 7/10.
//
// # Cuts
//
// What holds up the task at a cut is a copy of memory: of a pane that is written
// whole its table as it is, holes included (one memmove is twice as fast as picking
// the records out); of others the changed records, by one mark per slot. All the
// rest happens in Chunks. Panes that are written whole anyway keep no marks: those
// made since the last cut, and those of which more than half has changed. So a
// backend that is never cut tracks nothing.
//
//	M1  A cut shares nothing with its panes but the bytes of long keys, which are
//	    never overwritten while a cut may refer to them (see pane.clear).
//	M2  A mark moves with its record: rebuild, sort.
//	M3  A pane that is not fresh names every record that it deletes.
//
// The package does not know what the words of a record mean.
package memory

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/failpoint"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
)

const (
	keyWords = 2
	taken    = 1 << 31
	// The load limit, as a fraction.
	loadNum, loadDen = 7, 10
	minSlots         = 64
	// prefetchFrom is the number of slots from which on a table is larger than
	// the caches near the core, so that asking for lines ahead pays.
	prefetchFrom = 1 << 14
)

// Backend holds panes in memory. See state.Backend.
type Backend struct {
	layout state.Layout
	groups keygroup.Range
	ids    []int64
	panes  []*pane
	spare  *pane // of a dropped pane, for the next one
	hint   int   // slots of the last dropped pane
	order  ordering
	cut    *cut // the only one, reused; nil before the first
	load   loading
}

var (
	_ state.Backend = (*Backend)(nil)
	_ state.Durable = (*Backend)(nil)
)

// New makes a backend for the keys of the given groups.
func New(layout state.Layout, groups keygroup.Range) *Backend {
	return &Backend{layout: layout, groups: groups, hint: minSlots}
}

// Pane returns the pane with the id, new and empty if there is none.
func (s *Backend) Pane(id int64) (state.Pane, error) { return s.pane(id) }

func (s *Backend) pane(id int64) (*pane, error) {
	i, ok := slices.BinarySearch(s.ids, id)
	if ok {
		return s.panes[i], nil
	}
	p := s.spare
	s.spare = nil
	if p != nil {
		p.clear()
	} else {
		p = &pane{owner: s, stride: keyWords + len(s.layout.Init)}
		p.perSlot = math.MaxUint64/uint64(p.stride) + 1
		if err := p.allocate(s.hint); err != nil {
			return nil, err
		}
		p.refresh()
	}
	if failpoint.Bug("memory-recreated-pane-not-new") && s.cut != nil {
		p.fresh = false
	}
	s.ids = slices.Insert(s.ids, i, id)
	s.panes = slices.Insert(s.panes, i, p)
	return p, nil
}

// Panes returns the ids of the panes, ascending.
func (s *Backend) Panes() []int64 { return s.ids }

// Drop deletes a pane.
func (s *Backend) Drop(id int64) {
	i, ok := slices.BinarySearch(s.ids, id)
	if !ok {
		return
	}
	p := s.panes[i]
	s.ids = slices.Delete(s.ids, i, i+1)
	s.panes = slices.Delete(s.panes, i, i+1)
	s.hint = max(minSlots, p.n*loadDen/loadNum+p.n/16)
	// A much too large table is not worth keeping.
	if s.spare == nil && p.slots <= 2*s.hint {
		s.spare = p
		return
	}
	p.release()
}

// Bytes returns the memory that the panes take.
func (s *Backend) Bytes() int64 {
	n := int64(0)
	for _, p := range s.panes {
		n += p.bytes()
	}
	if s.spare != nil {
		n += s.spare.bytes()
	}
	if s.cut != nil {
		n += s.cut.bytes.Load()
	}
	return n
}

// bytes returns the memory of the table, its arenas and what is kept for the next cut.
func (p *pane) bytes() int64 {
	return int64(p.slots)*int64(p.stride)*8 + int64(cap(p.keys)+cap(p.values)) +
		int64(cap(p.marks))*8 + int64(cap(p.gone.Views))*16 + int64(cap(p.gone.Arena))
}

// Close frees the panes.
func (s *Backend) Close() {
	for _, p := range append(s.panes, s.spare) {
		if p != nil {
			p.release()
		}
	}
	s.panes, s.ids, s.spare = nil, nil, nil
	if s.cut != nil {
		s.cut.orphan()
	}
}

// pane is one table. See the package doc.
type pane struct {
	owner     *Backend
	base      unsafe.Pointer
	free      func()
	stride    int // words of a slot
	slots     int
	limit     int // records before the table grows
	scale     keygroup.Scale
	n         int
	keys      []byte // bytes of long keys
	values    []byte // arena of the accumulators
	compacted int    // bytes of values when texts of deleted records were last dropped
	// bytesAt is scratch of probeLong.
	bytesAt []uint32
	// wrapped is the number of records at the start of the table that are last in
	// the order of the hashes, as of the start of the last Scan.
	wrapped int

	// fresh: the cut before knows nothing of the pane; the next one writes it whole.
	fresh bool
	// marks tells by slot which records were located since the last cut. Empty: the
	// next cut writes the pane whole, and nobody needs to know.
	marks   []uint64
	perSlot uint64 // 2^64 / stride, rounded up: the upper half of its product with a word offset is the slot
	located int    // a bound of the number of marks; see mark
	gone    state.Keys
	loaded  []int32 // records by group, while the state is loaded; see expect
	// keysIn is the cut that has keys, or nil.
	keysIn *cut
}

func (p *pane) allocate(slots int) error {
	if slots > math.MaxUint32/p.stride {
		return fmt.Errorf("state of one pane would take %d records: more than a task can hold; raise the parallelism", slots)
	}
	base, free, err := allocate(slots * p.stride * 8)
	if err != nil {
		return fmt.Errorf("allocate state: %w", err)
	}
	p.base, p.free = base, free
	p.slots, p.limit = slots, slots*loadNum/loadDen
	p.scale = p.owner.groups.Scale(slots)
	return nil
}

func (p *pane) release() {
	p.free()
	p.base, p.keys, p.values = nil, nil, nil
}

// clear empties the pane, so that it can be another one.
func (p *pane) clear() {
	clear(unsafe.Slice((*uint64)(p.base), p.slots*p.stride))
	p.n, p.keys, p.values = 0, p.keys[:0], p.values[:0]
	if p.keysIn.refersTo() && !failpoint.Bug("memory-keys-shared-with-reused-pane") {
		p.keys = nil
	}
	p.keysIn, p.loaded, p.compacted = nil, nil, 0
	p.refresh()
}

func (p *pane) slot(i uint32) *[keyWords]uint64 {
	return (*[keyWords]uint64)(unsafe.Add(p.base, uintptr(i)*uintptr(p.stride)*8))
}

// Block returns the records.
func (p *pane) Block() record.Block { return record.Block{Base: p.base, Arena: &p.values} }

// Locate finds or makes the records of the keys.
func (p *pane) Locate(k *state.Keys, refs []record.Ref) error {
	if p.n+len(k.Views) > p.limit {
		if err := p.grow(p.n + len(k.Views)); err != nil {
			return err
		}
	}
	n := len(k.Views)
	if n == 0 {
		return nil
	}
	refs = refs[:n]
	stride := uint32(p.stride)
	for i, h := range k.Hashes[:n] {
		refs[i] = p.scale.Slot(h) * stride
	}
	if p.slots > prefetchFrom {
		prefetch(p.base, &refs[0], n)
	}
	if k.Long {
		if err := p.probeLong(k, refs); err != nil {
			return err
		}
	} else {
		p.probe(k, refs)
	}
	if len(p.marks) > 0 {
		p.mark(refs)
	}
	return nil
}

// probe finds or makes the records of short keys from their home slots in refs on.
func (p *pane) probe(k *state.Keys, refs []record.Ref) {
	stride := uint32(p.stride)
	base, end := p.base, uint32(p.slots)*stride
	for i, v := range k.Views {
		w0, at := v.W0|taken, refs[i]
		for {
			s := (*[keyWords]uint64)(unsafe.Add(base, uintptr(at)*8))
			if s[0] == w0 && s[1] == v.W1 {
				break
			}
			if s[0] == 0 {
				s[0], s[1] = w0, v.W1
				p.start(at)
				break
			}
			if at += stride; at == end {
				at = 0
			}
		}
		refs[i] = at + keyWords
	}
}

// start fills in the words of a new record in the slot at the word offset.
func (p *pane) start(at uint32) {
	p.n++
	w := unsafe.Slice((*uint64)(unsafe.Add(p.base, (uintptr(at)+keyWords)*8)), len(p.owner.layout.Init))
	copy(w, p.owner.layout.Init)
}

// long reports whether the bytes of the key with this word 0 are in an arena.
func long(w0 uint64) bool {
	l := uint32(w0) &^ taken
	return l > batch.InlineMax && l != math.MaxUint32&^taken
}

// probeLong is probe for keys of any length, in two passes: the first goes by
// what is in the slots and asks for the bytes of long keys, which lie elsewhere;
// the second compares them. A key that only looks alike is looked for further on.
func (p *pane) probeLong(k *state.Keys, refs []record.Ref) error {
	need := 0
	for _, v := range k.Views {
		if long(v.W0) {
			need += v.Len()
		}
	}
	if len(p.keys)+need > math.MaxUint32 {
		return fmt.Errorf("long keys of one pane take more than 4 GiB in a task; raise the parallelism")
	}
	if cap(p.bytesAt) < len(refs) {
		p.bytesAt = make([]uint32, len(refs))
	}
	places := p.bytesAt[:len(refs)]
	for i := range k.Views {
		refs[i] = p.candidate(refs[i], &k.Views[i], k, i)
		places[i] = 0
		if s := p.at(refs[i]); long(s[0]) {
			places[i] = uint32(s[1] >> 35) // the offset in words of 8 bytes
		}
	}
	if p.slots > prefetchFrom && len(p.keys) > 0 {
		prefetch(unsafe.Pointer(unsafe.SliceData(p.keys)), &places[0], len(places))
	}
	for i := range k.Views {
		v := &k.Views[i]
		for long(v.W0) && !bytes.Equal(p.longKey(p.at(refs[i])), v.Bytes(k.Arena)) {
			refs[i] = p.candidate(p.next(refs[i]), v, k, i)
		}
		refs[i] += keyWords
	}
	return nil
}

// at returns the key words of the slot at a word offset.
func (p *pane) at(word uint32) *[keyWords]uint64 {
	return (*[keyWords]uint64)(unsafe.Add(p.base, uintptr(word)*8))
}

// next returns the word offset of the slot behind.
func (p *pane) next(word uint32) uint32 {
	if word += uint32(p.stride); word == uint32(p.slots)*uint32(p.stride) {
		return 0
	}
	return word
}

// candidate returns the first slot from word on that may have key i: a short key
// surely, a long one by its length, first bytes and half of its hash. A free slot
// is given to the key.
func (p *pane) candidate(word uint32, v *batch.View, k *state.Keys, i int) uint32 {
	w0, w1 := v.W0|taken, v.W1
	isLong := long(w0)
	if isLong {
		w1 = k.Hashes[i] & math.MaxUint32
	}
	for ; ; word = p.next(word) {
		s := p.at(word)
		switch {
		case s[0] == 0:
			s[0], s[1] = w0, w1
			if isLong {
				s[1] |= uint64(len(p.keys)) << 32
				p.keys = append(p.keys, v.Bytes(k.Arena)...)
			}
			p.start(word)
			return word
		case s[0] != w0:
		case isLong && s[1]&math.MaxUint32 == w1, s[1] == w1:
			return word
		}
	}
}

func (p *pane) longKey(s *[keyWords]uint64) []byte { return longKey(s, p.keys) }

func longKey(s *[keyWords]uint64, arena []byte) []byte {
	at := s[1] >> 32
	return arena[at : at+s[0]&(taken-1)]
}

// hash returns the hash of the key in a taken slot.
func (p *pane) hash(s *[keyWords]uint64) uint64 { return hashOf(s, p.keys) }

// hashOf returns the hash of the key in a taken slot whose long keys are in the arena.
func hashOf(s *[keyWords]uint64, arena []byte) uint64 {
	if long(s[0]) {
		return batch.HashBytes(longKey(s, arena))
	}
	return batch.Hash(viewWord(s[0]), s[1])
}

// viewWord returns word 0 of the view of a key from word 0 of its slot.
func viewWord(w0 uint64) uint64 {
	if uint32(w0) == math.MaxUint32 {
		return w0
	}
	return w0 &^ taken
}

// viewOf returns the view of the key in a taken slot, in the pane's arena.
func viewOf(s *[keyWords]uint64) batch.View {
	if long(s[0]) {
		return batch.View{W0: viewWord(s[0]), W1: s[1] >> 32 << 32}
	}
	return batch.View{W0: viewWord(s[0]), W1: s[1]}
}

// Scan walks the taken slots in the order of the hashes. At the start it puts
// them in this order.
func (p *pane) Scan(cursor uint64, refs []record.Ref) (int, uint64) {
	if cursor == 0 {
		p.sort()
	}
	n := 0
	at := int(cursor) + p.wrapped
	for ; cursor < uint64(p.slots) && n < len(refs); cursor++ {
		if at >= p.slots {
			at -= p.slots
		}
		if p.slot(uint32(at))[0] != 0 {
			refs[n] = uint32(at)*uint32(p.stride) + keyWords
			n++
		}
		at++
	}
	return n, cursor
}

// Keys appends the keys of the records.
func (p *pane) Keys(refs []record.Ref, k *state.Keys) {
	k.Arena = p.keys
	for _, r := range refs {
		s := p.slot((r - keyWords) / uint32(p.stride))
		k.Long = k.Long || long(s[0])
		k.Views = append(k.Views, viewOf(s))
	}
}
