package expr

import (
	"unsafe"

	"github.com/gorge-stream/gorge/internal/batch"
)

// fewElements is the length up to which a list is compared element by element.
const fewElements = 8

// buildIn makes a set of a constant list; any other list becomes a chain of comparisons.
func buildIn(c *call) kernel {
	x, list := c.args[0], c.args[1:]
	if len(list) == 0 { // false even for null: there is nothing to compare with
		c.nullable = false
		return literal(c.e, false, batch.Bool).kernel
	}
	var values []any
	null := false
	for _, o := range list {
		switch {
		case !o.konst:
			return inChain(x, list)
		case o.value == nil:
			null = true
		default:
			values = append(values, o.value)
		}
	}
	var k kernel
	switch x.typ.Kind {
	case batch.Bool:
		return inChain(x, list)
	case batch.Float64:
		k = &test1[float64]{boolScratch(), x.kernel, inNumbers(elements[float64](values))}
	case batch.String, batch.Binary:
		r := rows{scratch: boolScratch(), args: []kernel{x.kernel}, cols: make([]*batch.Column, 1)}
		k = &rowBool{r, inTexts(elements[string](values))}
	default:
		k = &test1[int64]{boolScratch(), x.kernel, inNumbers(elements[int64](values))}
	}
	if null { // found is true, not found is unknown
		k = &orKernel{boolScratch(), k, literal(c.e, nil, batch.Bool).kernel}
	}
	return k
}

func inChain(x operand, list []operand) kernel {
	if !x.konst {
		x.kernel = &shared{kernel: x.kernel}
	}
	var k kernel
	for _, o := range list {
		same := buildEqual(&call{args: []operand{x, o}})
		if k == nil {
			k = same
		} else {
			k = &orKernel{boolScratch(), k, same}
		}
	}
	return k
}

func elements[T any](values []any) []T {
	out := make([]T, len(values))
	for i, v := range values {
		out[i] = v.(T)
	}
	return out
}

func inNumbers[T number](list []T) func(a []T) uint64 {
	if len(list) <= fewElements {
		var tests []func(a []T) uint64
		for _, y := range list {
			tests = append(tests, compareTo(equal, y))
		}
		return func(a []T) (m uint64) {
			for _, test := range tests {
				m |= test(a)
			}
			return m
		}
	}
	set := make(map[T]struct{}, len(list))
	for _, y := range list {
		set[y] = struct{}{}
	}
	return func(a []T) (m uint64) {
		for i, x := range a {
			_, ok := set[x]
			m |= bit(ok) << (uint(i) & 63)
		}
		return m
	}
}

func inTexts(list []string) func(cols []*batch.Column, i int) (v, ok bool) {
	set := make(map[string]struct{}, len(list))
	for _, y := range list {
		set[y] = struct{}{}
	}
	return func(cols []*batch.Column, i int) (bool, bool) {
		b := cols[0].Bytes(i)
		_, found := set[unsafe.String(unsafe.SliceData(b), len(b))]
		return found, true
	}
}
