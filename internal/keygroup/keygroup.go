// Package keygroup maps keys to key groups and key groups to owners.
//
// A key group is the unit of keyed state, of ownership and of movement. A key
// belongs to the group named by the top bits of its hash, so a group is a range
// of hashes and a run of groups is one range too. The number of groups never
// changes; the number of owners may.
//
// The package is arithmetic: no state, no clock.
package keygroup

import "math/bits"

// Bits is the number of hash bits that name the group.
const Bits = 10

// Count is the number of key groups, and the greatest useful parallelism.
const Count = 1 << Bits

// Group is a key group, 0 to Count-1.
type Group uint16

// Of returns the group of a key with the given hash.
func Of(hash uint64) Group { return Group(hash >> (64 - Bits)) }

// Range is the groups First to End-1.
type Range struct {
	First Group `json:"first"`
	End   Group `json:"end"`
}

// All is every group.
var All = Range{0, Count}

// Owned returns the groups of owner i of n: ranges differ by at most one group
// and cover All in order. n is 1 to Count.
func Owned(i, n int) Range {
	return Range{Group(i * Count / n), Group((i + 1) * Count / n)}
}

// Owner returns which of n owners has the key with the given hash; it agrees with Owned.
func Owner(hash uint64, n int) int {
	g := int(Of(hash))
	// Owned(i) starts at floor(i*Count/n); its inverse is floor(((g+1)*n-1)/Count).
	return ((g+1)*n - 1) >> Bits
}

// Len returns the number of groups in the range.
func (r Range) Len() int { return int(r.End) - int(r.First) }

// Contains reports whether the group is in the range.
func (r Range) Contains(g Group) bool { return g >= r.First && g < r.End }

// Overlap returns the groups that are in both ranges; when there are none its Len is 0.
func (r Range) Overlap(o Range) Range {
	first := max(r.First, o.First)
	return Range{first, max(first, min(r.End, o.End))}
}

// Scale maps hashes of a range of groups, in order, onto 0 to size-1: the home
// slots of a table that is in hash order.
type Scale struct {
	lo   uint64
	mult uint64
}

// Scale returns the mapping of the range onto size slots; size is 1 to 1<<31.
func (r Range) Scale(size int) Scale {
	// A range of n groups is n * 2^(64-Bits) hashes; mult = size * 2^64 / that.
	return Scale{uint64(r.First) << (64 - Bits), uint64(size) << Bits / uint64(r.Len())}
}

// Slot returns the home slot of a hash that lies in the range.
func (s Scale) Slot(hash uint64) uint32 {
	hi, _ := bits.Mul64(hash-s.lo, s.mult)
	return uint32(hi)
}
