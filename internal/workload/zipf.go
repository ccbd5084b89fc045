package workload

import "math"

// zipf draws ranks 0 .. n-1 with probability proportional to (rank+1)^-s by
// rejection-inversion (Hörmann and Derflinger, 1996): no table, so that ten
// million devices cost nothing, and any s > 0, 1 included.
type zipf struct {
	s        float64
	n        float64
	low      float64 // area up to rank 1, shifted so that rank 1 is never rejected
	high     float64 // area up to rank n
	accepted float64 // distance from the rank within which a draw is accepted at once
}

func newZipf(s float64, n int) *zipf {
	z := &zipf{s: s, n: float64(n)}
	z.low = z.area(1.5) - 1
	z.high = z.area(z.n + 0.5)
	z.accepted = 2 - z.inverse(z.area(2.5)-z.weight(2))
	return z
}

// weight is x^-s.
func (z *zipf) weight(x float64) float64 { return math.Exp(-z.s * math.Log(x)) }

// area is the integral of weight from 1 to x.
func (z *zipf) area(x float64) float64 {
	l := math.Log(x)
	if t := (1 - z.s) * l; math.Abs(t) > 1e-8 {
		return math.Expm1(t) / (1 - z.s)
	}
	return l
}

// inverse is the x whose area is a.
func (z *zipf) inverse(a float64) float64 {
	t := a * (1 - z.s)
	if math.Abs(t) > 1e-8 {
		return math.Exp(math.Log1p(max(t, -1)) / (1 - z.s))
	}
	return math.Exp(a)
}

// draw turns 64 random bits into a rank; further bits it needs follow from them.
func (z *zipf) draw(r uint64) uint64 {
	for {
		u := float64(r>>11) / (1 << 53)
		a := z.high + u*(z.low-z.high)
		x := z.inverse(a)
		k := min(max(math.Floor(x+0.5), 1), z.n)
		if k-x <= z.accepted || a >= z.area(k+0.5)-z.weight(k) {
			return uint64(k) - 1
		}
		r = mix(r + golden)
	}
}
