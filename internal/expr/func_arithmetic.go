package expr

import (
	"math"
	"math/bits"

	"github.com/gorge-stream/gorge/internal/batch"
)

var arithmeticFunctions = []function{
	{name: "+", sig: "(a number, b number) number?", cost: 1, build: buildAdd, doc: "Sum; of texts, one behind the other; a timestamp moved by microseconds.", example: "1 + 2.5", result: "3.5"},
	{name: "+", sig: "(a string, b string) string", cost: 20, build: buildConcat},
	{name: "+", sig: "(t timestamp, d int) timestamp?", cost: 1, build: buildAdd},
	{name: "+", sig: "(d int, t timestamp) timestamp?", cost: 1, build: buildAdd},
	{name: "-", sig: "(a number, b number) number?", cost: 1, build: buildSub, doc: "Difference; of two timestamps, in microseconds; a timestamp moved back by microseconds; before one value, its negation.", example: "7 - 9", result: "-2"},
	{name: "-", sig: "(a timestamp, b timestamp) int?", cost: 1, build: buildSub},
	{name: "-", sig: "(t timestamp, d int) timestamp?", cost: 1, build: buildSub},
	{name: "-", sig: "(a number) number?", cost: 1, build: buildNegate},
	{name: "*", sig: "(a number, b number) number?", cost: 1, build: buildMul, doc: "Product.", example: "6 * 7", result: "42"},
	{name: "/", sig: "(a float, b float) float?", cost: 3, build: buildDivide, doc: "Quotient, always a float64: div divides whole numbers.", example: "7 / 2", result: "3.5"},
	{name: "%", sig: "(a number, b number) number?", cost: 8, build: buildMod, doc: "Remainder with the sign of a.", example: "-7 % 3", result: "-1"},
	{name: "div", sig: "(a int, b int) int?", cost: 8, build: buildDiv, doc: "Quotient of whole numbers, cut towards zero.", example: "div(-7, 2)", result: "-3"},
	{name: "mod", sig: "(a number, b number) number?", cost: 8, build: buildMod, doc: "Remainder with the sign of a, like %.", example: "mod(7, 3)", result: "1"},
}

// buildAdd makes the sum of two floats, or of two values of 64 bits where a sum
// that does not fit is null.
func buildAdd(c *call) kernel {
	if c.args[0].konst { // the constant to the right
		c.args[0], c.args[1] = c.args[1], c.args[0]
	}
	return arithmetic(c,
		func(k float64) func(d, a []float64) uint64 {
			return func(d, a []float64) uint64 {
				d = d[:len(a)]
				for i, x := range a {
					d[i] = x + k
				}
				return 0
			}
		},
		func(d, a, b []float64) uint64 {
			d, b = d[:len(a)], b[:len(a)]
			for i, x := range a {
				d[i] = x + b[i]
			}
			return 0
		},
		addInts)
}

func buildSub(c *call) kernel {
	return arithmetic(c,
		func(k float64) func(d, a []float64) uint64 {
			return func(d, a []float64) uint64 {
				d = d[:len(a)]
				for i, x := range a {
					d[i] = x - k
				}
				return 0
			}
		},
		func(d, a, b []float64) uint64 {
			d, b = d[:len(a)], b[:len(a)]
			for i, x := range a {
				d[i] = x - b[i]
			}
			return 0
		},
		subInts)
}

func buildMul(c *call) kernel {
	if c.args[0].konst {
		c.args[0], c.args[1] = c.args[1], c.args[0]
	}
	return arithmetic(c,
		func(k float64) func(d, a []float64) uint64 {
			return func(d, a []float64) uint64 {
				d = d[:len(a)]
				for i, x := range a {
					d[i] = x * k
				}
				return 0
			}
		},
		func(d, a, b []float64) uint64 {
			d, b = d[:len(a)], b[:len(a)]
			for i, x := range a {
				d[i] = x * b[i]
			}
			return 0
		},
		mulInts)
}

// arithmetic chooses the loop: floats with a constant, floats, or 64-bit integers.
func arithmetic(
	c *call, constant func(float64) func(d, a []float64) uint64, floats func(d, a, b []float64) uint64,
	ints func(d, a, b []int64) uint64,
) kernel {
	a, b := c.args[0], c.args[1]
	if c.kind != batch.Float64 {
		return &map2[int64, int64, int64]{c.result(), a.kernel, b.kernel, ints}
	}
	c.total()
	if k, ok := b.value.(float64); ok && b.konst {
		return &map1[float64, float64]{c.result(), a.kernel, constant(k)}
	}
	return &map2[float64, float64, float64]{c.result(), a.kernel, b.kernel, floats}
}

// addInts adds; the sign bit of over collects overflows, which are rare: only
// then the block is gone through again to find the rows.
func addInts(d, a, b []int64) (bad uint64) {
	d, b = d[:len(a)], b[:len(a)]
	var over int64
	for i, x := range a {
		y := b[i]
		s := x + y
		over |= (x ^ s) & (y ^ s)
		d[i] = s
	}
	if over < 0 {
		for i, x := range a {
			bad |= uint64((x^d[i])&(b[i]^d[i])) >> 63 << uint(i)
		}
	}
	return bad
}

func subInts(d, a, b []int64) (bad uint64) {
	d, b = d[:len(a)], b[:len(a)]
	var over int64
	for i, x := range a {
		y := b[i]
		s := x - y
		over |= (x ^ y) & (x ^ s)
		d[i] = s
	}
	if over < 0 {
		for i, x := range a {
			bad |= uint64((x^b[i])&(x^d[i])) >> 63 << uint(i)
		}
	}
	return bad
}

// mulInts multiplies; when all factors of the block fit into 32 bits nothing can overflow.
func mulInts(d, a, b []int64) (bad uint64) {
	d, b = d[:len(a)], b[:len(a)]
	var wide uint64
	for i, x := range a {
		y := b[i]
		wide |= uint64(x+1<<31) | uint64(y+1<<31)
		d[i] = x * y
	}
	if wide>>32 != 0 {
		for i, x := range a {
			_, ok := mulInt(x, b[i])
			bad |= bit(!ok) << uint(i)
		}
	}
	return bad
}

// mulInt returns the product, and false where it does not fit.
func mulInt(x, y int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(x), uint64(y))
	// The high word of the signed product, see Hacker's Delight 8-3.
	high := int64(hi) - x>>63&y - y>>63&x
	return int64(lo), high == int64(lo)>>63
}

func buildNegate(c *call) kernel {
	if c.kind == batch.Float64 {
		c.total()
		return &map1[float64, float64]{c.result(), c.args[0].kernel, func(d, a []float64) uint64 {
			d = d[:len(a)]
			for i, x := range a {
				d[i] = -x
			}
			return 0
		}}
	}
	return &map1[int64, int64]{c.result(), c.args[0].kernel, func(d, a []int64) (bad uint64) {
		d = d[:len(a)]
		for i, x := range a {
			d[i] = -x
			bad |= bit(x == math.MinInt64) << uint(i)
		}
		return bad
	}}
}

func buildDivide(c *call) kernel {
	a, b := c.args[0], c.args[1]
	if k, ok := b.value.(float64); ok && b.konst && k != 0 {
		c.total()
		return &map1[float64, float64]{c.result(), a.kernel, func(d, a []float64) uint64 {
			d = d[:len(a)]
			for i, x := range a {
				d[i] = x / k
			}
			return 0
		}}
	}
	return &map2[float64, float64, float64]{c.result(), a.kernel, b.kernel, func(d, a, b []float64) (bad uint64) {
		d, b = d[:len(a)], b[:len(a)]
		for i, x := range a {
			d[i] = x / b[i]
			bad |= bit(b[i] == 0) << uint(i)
		}
		return bad
	}}
}

// notZero notes that a constant divisor makes the result null only for null arguments.
func (c *call) notZero(safe func(v any) bool) {
	if b := c.args[1]; b.konst && b.value != nil && safe(b.value) {
		c.total()
	}
}

func buildDiv(c *call) kernel {
	c.notZero(func(v any) bool { return v != int64(0) && v != int64(-1) })
	return &map2[int64, int64, int64]{c.result(), c.args[0].kernel, c.args[1].kernel, func(d, a, b []int64) (bad uint64) {
		d, b = d[:len(a)], b[:len(a)]
		for i, x := range a {
			switch y := b[i]; {
			case y == 0 || y == -1 && x == math.MinInt64:
				bad |= 1 << uint(i)
			default:
				d[i] = x / y
			}
		}
		return bad
	}}
}

func buildMod(c *call) kernel {
	c.notZero(func(v any) bool { return v != int64(0) && v != float64(0) })
	a, b := c.args[0].kernel, c.args[1].kernel
	if c.kind == batch.Float64 {
		return &map2[float64, float64, float64]{c.result(), a, b, func(d, a, b []float64) (bad uint64) {
			for i, x := range a {
				d[i] = math.Mod(x, b[i])
				bad |= bit(b[i] == 0) << uint(i)
			}
			return bad
		}}
	}
	return &map2[int64, int64, int64]{c.result(), a, b, func(d, a, b []int64) (bad uint64) {
		d, b = d[:len(a)], b[:len(a)]
		for i, x := range a {
			switch y := b[i]; y {
			case 0:
				bad |= 1 << uint(i)
			case -1: // the smallest int64 would trap on some processors
				d[i] = 0
			default:
				d[i] = x % y
			}
		}
		return bad
	}}
}

func intsToFloats(d []float64, a []int64) uint64 {
	d = d[:len(a)]
	for i, x := range a {
		d[i] = float64(x)
	}
	return 0
}
