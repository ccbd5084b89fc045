package expr

import (
	"math"

	"github.com/gorge-stream/gorge/internal/batch"
)

var logicFunctions = []function{
	{name: "and", sig: "(a bool, b bool) bool", cost: 1, build: buildAnd, doc: "Whether both are true: false and null is false. Also written &&.", example: "true and 1 < 2", result: "true"},
	{name: "or", sig: "(a bool, b bool) bool", cost: 1, build: buildOr, doc: "Whether one is true: true or null is true. Also written ||.", example: "false or 1 < 2", result: "true"},
	{name: "not", sig: "(a bool) bool", cost: 1, build: buildNot, doc: "The opposite; of null, null. Also written !.", example: "not (1 > 2)", result: "true"},
	{name: "if", sig: "(condition bool, a any, b any) any", cost: 2, build: buildIf, doc: "a where the condition is true, b where it is false or null. Also written condition ? a : b.", example: "if(2 > 1, 'yes', 'no')", result: "yes"},
	{name: "coalesce", sig: "(a any, b any...) any", cost: 2, build: buildCoalesce, doc: "The first value that is not null. Of two also written a ?? b.", example: "coalesce(null, 2)", result: "2"},
	{name: "is_null", sig: "(x any) bool!", cost: 1, build: buildIsNull, doc: "Whether the value is null; NaN is not null.", example: "is_null(int('x'))", result: "true"},
	{name: "is_nan", sig: "(x float) bool", cost: 1, build: buildIsNaN, doc: "Whether the value is the float NaN.", example: "is_nan(1.5)", result: "false"},
}

func buildAnd(c *call) kernel {
	return &andKernel{boolScratch(), c.args[0].kernel, c.args[1].kernel}
}

func buildOr(c *call) kernel {
	return &orKernel{boolScratch(), c.args[0].kernel, c.args[1].kernel}
}

func buildNot(c *call) kernel { return &notKernel{boolScratch(), c.args[0].kernel} }

// andKernel is the three-valued and: false wins over null, null over true.
type andKernel struct {
	scratch
	a, b kernel
}

func (k *andKernel) eval(f *frame) *batch.Column {
	a, b := k.a.eval(f), k.b.eval(f)
	out := k.begin(f)
	dst, x, y := out.Bits(), a.Bits(), b.Bits()
	n := words(f.n)
	if !a.HasNulls() && !b.HasNulls() {
		x, y = x[:n], y[:n]
		for w := range dst[:n] {
			dst[w] = x[w] & y[w]
		}
		return out
	}
	valid := out.MakeNullable()
	for w := range n {
		va, vb := validWord(a, w), validWord(b, w)
		yes := x[w] & va & y[w] & vb
		dst[w] = yes
		valid[w] = yes | va&^x[w] | vb&^y[w]
	}
	return out
}

// orKernel is the three-valued or: true wins over null, null over false.
type orKernel struct {
	scratch
	a, b kernel
}

func (k *orKernel) eval(f *frame) *batch.Column {
	a, b := k.a.eval(f), k.b.eval(f)
	out := k.begin(f)
	dst, x, y := out.Bits(), a.Bits(), b.Bits()
	n := words(f.n)
	if !a.HasNulls() && !b.HasNulls() {
		x, y = x[:n], y[:n]
		for w := range dst[:n] {
			dst[w] = x[w] | y[w]
		}
		return out
	}
	valid := out.MakeNullable()
	for w := range n {
		va, vb := validWord(a, w), validWord(b, w)
		yes := x[w]&va | y[w]&vb
		dst[w] = yes
		valid[w] = yes | va&vb
	}
	return out
}

type notKernel struct {
	scratch
	a kernel
}

func (k *notKernel) eval(f *frame) *batch.Column {
	a := k.a.eval(f)
	out := k.begin(f)
	inherit(out, f.n, a)
	n := words(f.n)
	dst, x := out.Bits()[:n], a.Bits()[:n]
	for w := range dst {
		dst[w] = ^x[w]
	}
	return out
}

func buildIf(c *call) kernel {
	a, b := c.args[1], c.args[2]
	c.nullable = a.typ.Nullable || b.typ.Nullable
	return &selectKernel{c.result(), c.args[0].kernel, a.kernel, b.kernel}
}

func buildCoalesce(c *call) kernel {
	c.nullable = true
	for _, a := range c.args {
		c.nullable = c.nullable && a.typ.Nullable
	}
	last := len(c.args) - 1
	k := c.args[last].kernel
	for i := last - 1; i >= 0; i-- {
		k = &coalesce2{c.result(), c.args[i].kernel, k}
	}
	return k
}

type isNull struct {
	scratch
	a kernel
}

func buildIsNull(c *call) kernel { return &isNull{boolScratch(), c.args[0].kernel} }

func (k *isNull) eval(f *frame) *batch.Column {
	a := k.a.eval(f)
	out := k.begin(f)
	dst := out.Bits()
	for w := range words(f.n) {
		dst[w] = ^validWord(a, w)
	}
	return out
}

func buildIsNaN(c *call) kernel {
	return &test1[float64]{boolScratch(), c.args[0].kernel, func(a []float64) (m uint64) {
		for i, x := range a {
			m |= bit(math.IsNaN(x)) << (uint(i) & 63)
		}
		return m
	}}
}
