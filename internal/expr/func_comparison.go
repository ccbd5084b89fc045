package expr

import (
	"bytes"
	"cmp"

	"github.com/gorge-stream/gorge/internal/batch"
)

var comparisonFunctions = []function{
	{name: "==", sig: "(a any, b any) bool", cost: 2, build: buildEqual, doc: "Whether both values are equal.", example: "1 == 1.0", result: "true"},
	{name: "!=", sig: "(a any, b any) bool", cost: 2, build: buildUnequal, doc: "Whether the values differ; true where one of them is NaN.", example: "'a' != 'b'", result: "true"},
	{name: "<", sig: "(a ordered, b ordered) bool", cost: 2, build: order(less, more), doc: "Whether a comes before b; texts compare by their bytes.", example: "'abc' < 'abd'", result: "true"},
	{name: "<=", sig: "(a ordered, b ordered) bool", cost: 2, build: order(lessEqual, moreEqual), doc: "Whether a comes before b or equals it.", example: "2 <= 2", result: "true"},
	{name: ">", sig: "(a ordered, b ordered) bool", cost: 2, build: order(more, less), doc: "Whether a comes behind b.", example: "3 > 2", result: "true"},
	{name: ">=", sig: "(a ordered, b ordered) bool", cost: 2, build: order(moreEqual, lessEqual), doc: "Whether a comes behind b or equals it.", example: "1 >= 2", result: "false"},
	{name: "between", sig: "(x ordered, low ordered, high ordered) bool", cost: 4, build: buildBetween, doc: "Whether low <= x and x <= high: both ends belong to it.", example: "between(5, 1, 5)", result: "true"},
	{name: "in", sig: "(x any, [list any...]) bool", cost: 6, build: buildIn, doc: "Whether x equals an element of the list; null where x, or an element that could decide, is null.", example: "3 in [1, 2, 3]", result: "true"},
	{name: "least", sig: "(a ordered, b ordered...) ordered", cost: 2, build: buildLeast, doc: "The smallest of the values; NaN where one of them is NaN.", example: "least(3, 1, 2)", result: "1"},
	{name: "greatest", sig: "(a ordered, b ordered...) ordered", cost: 2, build: buildGreatest, doc: "The greatest of the values; NaN where one of them is NaN.", example: "greatest(3, 1, 2)", result: "3"},
	{name: "min", sig: "(a ordered, b ordered...) ordered", cost: 2, build: buildLeast, doc: "The smallest of two or more values, like least; min of one column is an aggregate.", example: "min(3, 1)", result: "1"},
	{name: "max", sig: "(a ordered, b ordered...) ordered", cost: 2, build: buildGreatest, doc: "The greatest of two or more values, like greatest; max of one column is an aggregate.", example: "max(3, 1)", result: "3"},
}

// operator is a comparison of two numbers.
type operator uint8

const (
	less operator = iota
	lessEqual
	more
	moreEqual
	equal
)

// order makes the builder of an ordering; swapped is the operator with its sides exchanged.
func order(op, swapped operator) func(c *call) kernel {
	return func(c *call) kernel {
		if c.args[0].konst && !c.args[1].konst {
			return compare(swapped, c.args[1], c.args[0])
		}
		return compare(op, c.args[0], c.args[1])
	}
}

func buildEqual(c *call) kernel {
	a, b := c.args[0], c.args[1]
	if a.konst {
		a, b = b, a
	}
	return compare(equal, a, b)
}

func buildUnequal(c *call) kernel { return &notKernel{boolScratch(), buildEqual(c)} }

func boolScratch() scratch { return scratch{kind: batch.Bool} }

// compare makes the kernel of a comparison of two operands of the same kind.
func compare(op operator, a, b operand) kernel {
	switch a.typ.Kind {
	case batch.Float64:
		return compareNumbers[float64](op, a, b)
	case batch.Bool:
		return &equalBools{boolScratch(), a.kernel, b.kernel}
	case batch.String, batch.Binary:
		return compareTexts(op, a, b)
	default:
		return compareNumbers[int64](op, a, b)
	}
}

func compareNumbers[T number](op operator, a, b operand) kernel {
	if k, ok := b.value.(T); ok && b.konst {
		return &test1[T]{boolScratch(), a.kernel, compareTo(op, k)}
	}
	switch op {
	case more:
		a, b, op = b, a, less
	case moreEqual:
		a, b, op = b, a, lessEqual
	}
	f := equalColumns[T]
	switch op {
	case less:
		f = lessColumns[T]
	case lessEqual:
		f = lessEqualColumns[T]
	}
	return &test2[T]{boolScratch(), a.kernel, b.kernel, f}
}

// compareTo returns the comparison of a block with a constant. Each operator has
// its own loop: with NaN none is the negation of another.
func compareTo[T number](op operator, k T) func(a []T) uint64 {
	switch op {
	case less:
		return func(a []T) uint64 {
			var f flags
			for i, x := range a {
				f[i%blockRows] = x < k
			}
			return f.word()
		}
	case lessEqual:
		return func(a []T) uint64 {
			var f flags
			for i, x := range a {
				f[i%blockRows] = x <= k
			}
			return f.word()
		}
	case more:
		return func(a []T) uint64 {
			var f flags
			for i, x := range a {
				f[i%blockRows] = x > k
			}
			return f.word()
		}
	case moreEqual:
		return func(a []T) uint64 {
			var f flags
			for i, x := range a {
				f[i%blockRows] = x >= k
			}
			return f.word()
		}
	}
	return func(a []T) uint64 {
		var f flags
		for i, x := range a {
			f[i%blockRows] = x == k
		}
		return f.word()
	}
}

func lessColumns[T number](a, b []T) uint64 {
	var f flags
	b = b[:len(a)]
	for i, x := range a {
		f[i%blockRows] = x < b[i]
	}
	return f.word()
}

func lessEqualColumns[T number](a, b []T) uint64 {
	var f flags
	b = b[:len(a)]
	for i, x := range a {
		f[i%blockRows] = x <= b[i]
	}
	return f.word()
}

func equalColumns[T number](a, b []T) uint64 {
	var f flags
	b = b[:len(a)]
	for i, x := range a {
		f[i%blockRows] = x == b[i]
	}
	return f.word()
}

type equalBools struct {
	scratch
	a, b kernel
}

func (k *equalBools) eval(f *frame) *batch.Column {
	a, b := k.a.eval(f), k.b.eval(f)
	out := k.begin(f)
	inherit(out, f.n, a, b)
	dst, x, y := out.Bits(), a.Bits(), b.Bits()
	for w := range words(f.n) {
		dst[w] = ^(x[w] ^ y[w])
	}
	return out
}

// compareTexts compares by bytes.
func compareTexts(op operator, a, b operand) kernel {
	if k, ok := b.value.(string); ok && b.konst && op == equal {
		return newEqualText(a.kernel, k)
	}
	r := rows{scratch: boolScratch(), args: []kernel{a.kernel, b.kernel}, cols: make([]*batch.Column, 2)}
	var test func(order int) bool
	switch op {
	case less:
		test = func(o int) bool { return o < 0 }
	case lessEqual:
		test = func(o int) bool { return o <= 0 }
	case more:
		test = func(o int) bool { return o > 0 }
	case moreEqual:
		test = func(o int) bool { return o >= 0 }
	default:
		return &equalTexts{boolScratch(), a.kernel, b.kernel}
	}
	return &rowBool{r, func(cols []*batch.Column, i int) (v, ok bool) {
		return test(bytes.Compare(cols[0].Bytes(i), cols[1].Bytes(i))), true
	}}
}

// equalTexts compares two columns of texts. The first word, length and
// beginning, decides most rows.
type equalTexts struct {
	scratch
	a, b kernel
}

func (k *equalTexts) eval(f *frame) *batch.Column {
	a, b := k.a.eval(f), k.b.eval(f)
	out := k.begin(f)
	inherit(out, f.n, a, b)
	bits, x, y := out.Bits(), a.Views(), b.Views()
	for lo := 0; lo < f.n; lo += blockRows {
		var m flags
		for i := lo; i < min(lo+blockRows, f.n); i++ {
			v, w := &x[i], &y[i]
			switch {
			case v.W0 != w.W0:
			case v.Inline():
				m[i%blockRows] = v.W1 == w.W1
			default: // under a null a view may point nowhere
				m[i%blockRows] = !out.IsNull(i) && bytes.Equal(v.Bytes(a.Arena()), w.Bytes(b.Arena()))
			}
		}
		bits[lo/blockRows] = m.word()
	}
	return out
}

// equalText compares a column with a constant text.
type equalText struct {
	scratch
	a    kernel
	want []byte
	view batch.View // of want; for a long one only W0 counts
}

func newEqualText(a kernel, want string) kernel {
	k := &equalText{scratch: boolScratch(), a: a, want: []byte(want)}
	if len(want) <= batch.InlineMax {
		k.view = batch.InlineView(k.want)
	} else {
		k.view = batch.LongView(k.want, 0)
	}
	return k
}

func (k *equalText) eval(f *frame) *batch.Column {
	a := k.a.eval(f)
	out := k.begin(f)
	inherit(out, f.n, a)
	bits, views := out.Bits(), a.Views()[:f.n]
	for lo := 0; lo < f.n; lo += blockRows {
		block := views[lo:min(lo+blockRows, f.n)]
		if k.view.Inline() {
			bits[lo/blockRows] = matchInline(block, k.view)
		} else {
			bits[lo/blockRows] = k.matchLong(block, a, lo)
		}
	}
	return out
}

func matchInline(views []batch.View, want batch.View) uint64 {
	var f flags
	for i := range views {
		v := &views[i]
		f[i%blockRows] = (v.W0^want.W0)|(v.W1^want.W1) == 0
	}
	return f.word()
}

func (k *equalText) matchLong(views []batch.View, a *batch.Column, lo int) (m uint64) {
	for i := range views {
		// Under a null a view may point nowhere.
		if views[i].W0 == k.view.W0 && !a.IsNull(lo+i) && bytes.Equal(views[i].Bytes(a.Arena()), k.want) {
			m |= 1 << uint(i)
		}
	}
	return m
}

func buildBetween(c *call) kernel {
	x := c.args[0]
	if !x.konst {
		x.kernel = &shared{kernel: x.kernel}
	}
	low := operand{kernel: order(moreEqual, lessEqual)(&call{args: []operand{x, c.args[1]}})}
	high := operand{kernel: order(lessEqual, moreEqual)(&call{args: []operand{x, c.args[2]}})}
	return &andKernel{boolScratch(), low.kernel, high.kernel}
}

func buildLeast(c *call) kernel {
	return pairwise(c, minOf[int64], minOf[float64], func(order int) bool { return order <= 0 })
}

func buildGreatest(c *call) kernel {
	return pairwise(c, maxOf[int64], maxOf[float64], func(order int) bool { return order >= 0 })
}

// minOf and maxOf follow Go's min and max: a NaN makes the result NaN.
func minOf[T cmp.Ordered](d, a, b []T) uint64 {
	d, b = d[:len(a)], b[:len(a)]
	for i, x := range a {
		d[i] = min(x, b[i])
	}
	return 0
}

func maxOf[T cmp.Ordered](d, a, b []T) uint64 {
	d, b = d[:len(a)], b[:len(a)]
	for i, x := range a {
		d[i] = max(x, b[i])
	}
	return 0
}

// pairwise folds the arguments from the left.
func pairwise(
	c *call, ints func(d, a, b []int64) uint64, floats func(d, a, b []float64) uint64, first func(order int) bool,
) kernel {
	k := c.args[0].kernel
	for _, b := range c.args[1:] {
		switch c.kind {
		case batch.Float64:
			k = &map2[float64, float64, float64]{c.result(), k, b.kernel, floats}
		case batch.String:
			r := rows{scratch: c.result(), args: []kernel{k, b.kernel}, cols: make([]*batch.Column, 2)}
			k = &rowText{r, func(cols []*batch.Column, i int) ([]byte, bool) {
				x, y := cols[0].Bytes(i), cols[1].Bytes(i)
				if first(bytes.Compare(x, y)) {
					return x, true
				}
				return y, true
			}}
		default:
			k = &map2[int64, int64, int64]{c.result(), k, b.kernel, ints}
		}
	}
	return k
}
