package agg

import (
	"fmt"
	"sort"

	"github.com/gorge-stream/gorge/internal/batch"
)

// Function is the declaration of an aggregate function.
type Function struct {
	Name string
	Doc  string // one sentence
	// Example is a call as in the pipeline file.
	Example string
	// MinArgs and MaxArgs bound the number of columns; Params is the number of
	// numeric literals that follow them.
	MinArgs, MaxArgs, Params int
	// Mergeable: partial accumulators of disjoint rows can be merged to the exact result of all rows.
	Mergeable bool
	// Running: the function can be used in a running step; Windowed: in a window.
	Running, Windowed bool
	// Result returns the type of the result for the kinds of the arguments.
	Result func(args []batch.Kind) (kind batch.Kind, nullable bool, err error)
	// build names the parts and how the result is made of them.
	build func(args []Arg, params []float64) recipe
}

// Arg is one argument column of a call.
type Arg struct {
	Column   int // index of the column among the inputs of the set
	Kind     batch.Kind
	Nullable bool
}

// Functions are all aggregate functions, in the order of the reference page: one line each.
var Functions = []*Function{
	countFunc, sumFunc, avgFunc, meanFunc, minFunc, maxFunc, firstFunc, lastFunc,
	varianceFunc, stddevFunc, ewmMeanFunc,
}

// Lookup returns the function with the name.
func Lookup(name string) (*Function, bool) {
	for _, f := range Functions {
		if f.Name == name {
			return f, true
		}
	}
	return nil, false
}

// Names returns the names of the functions for windows, sorted.
func Names() []string { return names(func(f *Function) bool { return f.Windowed }) }

// RunningNames returns the names of the functions for running steps, sorted.
func RunningNames() []string { return names(func(f *Function) bool { return f.Running }) }

func names(keep func(*Function) bool) []string {
	var out []string
	for _, f := range Functions {
		if keep(f) {
			out = append(out, f.Name)
		}
	}
	sort.Strings(out)
	return out
}

// numeric is the check of functions over numbers; it returns widen(args[0]).
func numeric(name string, args []batch.Kind) error {
	if !args[0].Numeric() {
		return fmt.Errorf("%s needs a number, not %s", name, args[0])
	}
	return nil
}

// floatResult is Result of functions that give a float64, null over no values.
func floatResult(name string) func([]batch.Kind) (batch.Kind, bool, error) {
	return func(args []batch.Kind) (batch.Kind, bool, error) {
		return batch.Float64, true, numeric(name, args)
	}
}

// Widened returns the kind in which values of kind k are accumulated: int32 as
// int64 and float32 as float64.
func Widened(k batch.Kind) batch.Kind {
	switch k {
	case batch.Int32:
		return batch.Int64
	case batch.Float32:
		return batch.Float64
	}
	return k
}
