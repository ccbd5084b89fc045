package expr

import (
	"math"

	"github.com/gorge-stream/gorge/internal/batch"
)

var mathFunctions = []function{
	{name: "abs", sig: "(x number) number?", cost: 1, build: buildAbs, doc: "Absolute value; null for the smallest int64.", example: "abs(-3)", result: "3"},
	{name: "sign", sig: "(x number) number", cost: 2, build: buildSign, doc: "-1, 0 or 1.", example: "sign(-2.5)", result: "-1"},
	{name: "ceil", sig: "(x number) number", cost: 2, build: rounding(math.Ceil), doc: "The next whole number upwards, of the same type.", example: "ceil(1.2)", result: "2"},
	{name: "floor", sig: "(x number) number", cost: 2, build: rounding(math.Floor), doc: "The next whole number downwards, of the same type.", example: "floor(-1.2)", result: "-2"},
	{name: "trunc", sig: "(x number) number", cost: 2, build: rounding(math.Trunc), doc: "The number without its decimals, of the same type.", example: "trunc(-1.7)", result: "-1"},
	{name: "round", sig: "(x number) number", cost: 2, build: rounding(math.Round), doc: "The nearest whole number, or with digits the nearest number of so many decimals; halves go away from zero.", example: "round(2.346, 2)", result: "2.35"},
	{name: "round", sig: "(x float, digits const int) float", cost: 10, build: buildRound},
	{name: "sqrt", sig: "(x float) float?", cost: 6, build: limited(math.Sqrt, func(x float64) bool { return x < 0 }), doc: "Square root; null for a negative number.", example: "sqrt(16)", result: "4"},
	{name: "exp", sig: "(x float) float", cost: 10, build: plain(math.Exp), doc: "e to the power of x.", example: "exp(0)", result: "1"},
	{name: "log", sig: "(x float) float?", cost: 10, build: limited(math.Log, func(x float64) bool { return x <= 0 }), doc: "Natural logarithm; null for 0 and less.", example: "log(1)", result: "0"},
	{name: "log10", sig: "(x float) float?", cost: 10, build: limited(math.Log10, func(x float64) bool { return x <= 0 }), doc: "Logarithm to base 10; null for 0 and less.", example: "log10(1000)", result: "3"},
	{name: "pow", sig: "(x float, y float) float?", cost: 20, build: buildPow, doc: "x to the power of y, also written x ** y; null for 0 to a negative power and for broken powers of negative numbers.", example: "pow(2, 10)", result: "1024"},
}

func buildAbs(c *call) kernel {
	a := c.args[0].kernel
	if c.kind == batch.Float64 {
		c.total()
		return &map1[float64, float64]{c.result(), a, func(d, a []float64) uint64 {
			d = d[:len(a)]
			for i, x := range a {
				d[i] = math.Abs(x)
			}
			return 0
		}}
	}
	return &map1[int64, int64]{c.result(), a, func(d, a []int64) (bad uint64) {
		d = d[:len(a)]
		for i, x := range a {
			sign := x >> 63
			d[i] = (x ^ sign) - sign
			bad |= uint64(d[i]) >> 63 << (uint(i) & 63)
		}
		return bad
	}}
}

func buildSign(c *call) kernel {
	a := c.args[0].kernel
	if c.kind == batch.Float64 {
		return &map1[float64, float64]{c.result(), a, func(d, a []float64) uint64 {
			for i, x := range a {
				switch {
				case x > 0:
					d[i] = 1
				case x < 0:
					d[i] = -1
				default:
					d[i] = x // 0, -0 and NaN stay
				}
			}
			return 0
		}}
	}
	return &map1[int64, int64]{c.result(), a, func(d, a []int64) uint64 {
		for i, x := range a {
			d[i] = x>>63 | int64(uint64(-x)>>63)
		}
		return 0
	}}
}

// eachFloat makes a block function of a function of one number.
func eachFloat(f func(float64) float64) func(d, a []float64) uint64 {
	return func(d, a []float64) uint64 {
		d = d[:len(a)]
		for i, x := range a {
			d[i] = f(x)
		}
		return 0
	}
}

// plain builds a function that has a result everywhere.
func plain(f func(float64) float64) func(c *call) kernel {
	return func(c *call) kernel {
		return &map1[float64, float64]{c.result(), c.args[0].kernel, eachFloat(f)}
	}
}

// rounding builds a function that leaves whole numbers as they are.
func rounding(f func(float64) float64) func(c *call) kernel {
	return func(c *call) kernel {
		if c.kind != batch.Float64 {
			return c.args[0].kernel
		}
		return plain(f)(c)
	}
}

// limited builds a function that has no result outside its domain.
func limited(f func(float64) float64, outside func(float64) bool) func(c *call) kernel {
	return func(c *call) kernel {
		return &map1[float64, float64]{c.result(), c.args[0].kernel, func(d, a []float64) (bad uint64) {
			for i, x := range a {
				d[i] = f(x)
				bad |= bit(outside(x)) << (uint(i) & 63)
			}
			return bad
		}}
	}
}

// maxDigits bounds the digits of round: a float64 has no more.
const maxDigits = 18

func buildRound(c *call) kernel {
	digits := c.args[1].value.(int64)
	if digits < -maxDigits || digits > maxDigits {
		c.bad(1, "round takes -%d to %d digits, not %d", maxDigits, maxDigits, digits)
		return nil
	}
	scale := math.Pow(10, math.Abs(float64(digits)))
	return &map1[float64, float64]{c.result(), c.args[0].kernel, eachFloat(func(x float64) float64 {
		return roundTo(x, scale, digits < 0)
	})}
}

// wholeFrom is the size from which on every float64 is a whole number.
const wholeFrom = 1 << 52

// roundTo rounds to multiples of scale (tens) or of 1/scale.
func roundTo(x, scale float64, tens bool) float64 {
	if tens {
		return math.Round(x/scale) * scale
	}
	y := x * scale
	if !(math.Abs(y) < wholeFrom) { // also NaN and infinities
		return x
	}
	return math.Round(y) / scale
}

// buildPow makes a power. Squares, the commonest, are products.
func buildPow(c *call) kernel {
	a, b := c.args[0].kernel, c.args[1]
	if b.value == float64(2) {
		c.total()
		return &map1[float64, float64]{c.result(), a, func(d, a []float64) uint64 {
			d = d[:len(a)]
			for i, x := range a {
				d[i] = x * x
			}
			return 0
		}}
	}
	return &map2[float64, float64, float64]{c.result(), a, b.kernel, func(d, a, b []float64) (bad uint64) {
		for i, x := range a {
			y := b[i]
			v := math.Pow(x, y)
			d[i] = v
			none := x == 0 && y < 0 || v != v && x == x && y == y
			bad |= bit(none) << (uint(i) & 63)
		}
		return bad
	}}
}
