package keygroup

import (
	"testing"
)

func TestOwnersCoverAllGroupsOnce(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 64, 1000, Count} {
		next := Group(0)
		for i := range n {
			r := Owned(i, n)
			if r.First != next || r.Len() < Count/n || r.Len() > Count/n+1 {
				t.Fatalf("owner %d of %d has %v, want it to start at %d", i, n, r, next)
			}
			next = r.End
		}
		if next != Count {
			t.Fatalf("%d owners cover %d groups", n, next)
		}
	}
}

func TestOwnerAgreesWithOwned(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 64, 999, Count} {
		for g := range Count {
			h := uint64(g)<<(64-Bits) | 12345
			if o := Owner(h, n); !Owned(o, n).Contains(Of(h)) {
				t.Fatalf("group %d of %d owners: owner %d owns %v", g, n, o, Owned(o, n))
			}
		}
	}
}

func TestScaleKeepsTheOrderAndStaysInside(t *testing.T) {
	for _, groups := range []Range{All, Owned(0, 2), Owned(6, 7), {1023, 1024}, {5, 6}} {
		for _, size := range []int{1, 2, 64, 1000, 1 << 20, 1<<31 - 1} {
			s := groups.Scale(size)
			lo := uint64(groups.First) << (64 - Bits)
			width := uint64(groups.Len()) << (64 - Bits) // 0 stands for 2^64
			last := uint32(0)
			for i := range 1000 {
				h := lo + uint64(float64(i)/1000*float64(width-1))
				if got := s.Slot(h); got < last || int(got) >= size {
					t.Fatalf("%v of size %d: slot %d after %d", groups, size, got, last)
				} else {
					last = got
				}
			}
			if got := s.Slot(lo + width - 1); int(got) >= size || int(got) < size-1-size/1000 {
				t.Fatalf("%v of size %d: the last hash is at slot %d", groups, size, got)
			}
		}
	}
}

func TestOverlap(t *testing.T) {
	for _, c := range []struct{ a, b, want Range }{
		{All, Range{3, 9}, Range{3, 9}}, {Range{0, 5}, Range{3, 9}, Range{3, 5}}, {Range{0, 3}, Range{3, 9}, Range{3, 3}},
		{Range{7, 9}, Range{1, 4}, Range{7, 7}}, {Range{}, All, Range{}},
	} {
		if got := c.a.Overlap(c.b); got != c.want {
			t.Errorf("%v and %v: %v, want %v", c.a, c.b, got, c.want)
		}
		if got := c.b.Overlap(c.a); got.Len() != c.want.Len() {
			t.Errorf("%v and %v: %v", c.b, c.a, got)
		}
	}
}
