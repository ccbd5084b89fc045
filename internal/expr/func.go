package expr

import (
	"slices"
	"strings"

	"github.com/gorge-stream/gorge/internal/batch"
)

// function is one line of a table of functions: a name with one signature.
// Several lines with the same name overload it; the first that fits is taken.
type function struct {
	name string
	// sig is the signature, for people and for the type check; the package doc
	// explains it. Without "?" or "!" the result may be null when an argument may be.
	sig  string
	cost int // of a row, in additions
	// build makes the kernel from arguments that have the kinds of the signature.
	build           func(c *call) kernel
	doc             string // one sentence
	example, result string // a constant expression and what it gives

	params []param // parsed from sig
	ret    string
	may    byte // '?', '!' or 0
}

// param is one parameter of a signature.
type param struct {
	name, kind      string
	constant        bool
	optional, rests bool
}

// group is a table of functions.
type group struct {
	title     string
	functions []function
}

// groups lists every table; the reference page has their order.
var groups = []group{
	{"Arithmetic", arithmeticFunctions},
	{"Comparison", comparisonFunctions},
	{"Logic and conditions", logicFunctions},
	{"Conversion", castFunctions},
	{"Mathematics", mathFunctions},
	{"Text", textFunctions},
	{"Time", timeFunctions},
}

// registry holds the functions by name, in the order of the tables.
var registry = func() map[string][]*function {
	m := map[string][]*function{}
	for _, g := range groups {
		for i := range g.functions {
			f := &g.functions[i]
			f.parse()
			m[f.name] = append(m[f.name], f)
		}
	}
	return m
}()

// names lists every function that can be called, for "did you mean".
var names = func() []string {
	var out []string
	for name := range registry {
		if name[0] >= 'a' {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}()

// parse reads the signature.
func (f *function) parse() {
	inner, ret, _ := strings.Cut(strings.TrimPrefix(f.sig, "("), ")")
	f.ret = strings.TrimSpace(ret)
	if last := f.ret[len(f.ret)-1]; last == '?' || last == '!' {
		f.may, f.ret = last, f.ret[:len(f.ret)-1]
	}
	if inner == "" {
		return
	}
	for _, text := range strings.Split(inner, ", ") {
		p := param{optional: strings.HasPrefix(text, "["), rests: strings.Contains(text, "...")}
		text = strings.TrimSuffix(strings.Trim(text, "[]"), "...")
		words := strings.Fields(text)
		p.name, p.kind, p.constant = words[0], words[len(words)-1], len(words) == 3
		f.params = append(f.params, p)
	}
}

// arity returns the least and the most number of arguments; most is -1 for any.
func (f *function) arity() (least, most int) {
	for _, p := range f.params {
		if !p.optional {
			least++
		}
		if p.rests {
			return least, -1
		}
	}
	return least, len(f.params)
}

// param returns the parameter of argument i.
func (f *function) param(i int) *param { return &f.params[min(i, len(f.params)-1)] }

// classes maps the words for several kinds to the kinds.
var classes = map[string][]batch.Kind{
	"number":  {batch.Int64, batch.Float64},
	"ordered": {batch.Int64, batch.Float64, batch.Timestamp, batch.String},
	"any":     {batch.Bool, batch.Int64, batch.Float64, batch.Timestamp, batch.String, batch.Binary},
}

// kinds maps the words for one kind.
var kinds = map[string]batch.Kind{
	"bool": batch.Bool, "int": batch.Int64, "float": batch.Float64, "string": batch.String,
	"binary": batch.Binary, "timestamp": batch.Timestamp,
}

// unify returns the kind that values of both kinds become, Invalid when there
// is none. Invalid as argument is the kind of null and becomes any other.
func unify(a, b batch.Kind) batch.Kind {
	switch {
	case a == b || b == batch.Invalid:
		return a
	case a == batch.Invalid:
		return b
	case a.Numeric() && b.Numeric():
		return batch.Float64
	}
	return batch.Invalid
}

// match checks the kinds of arguments against the signature. It returns the kind
// that the class of the signature stands for and the kinds that the arguments
// are to have, or the index of the first argument that does not fit.
func (f *function) match(args []operand) (class batch.Kind, want []batch.Kind, bad int) {
	for i, a := range args {
		members, generic := classes[f.param(i).kind]
		if !generic || a.typ.Kind == batch.Invalid {
			continue
		}
		both := unify(class, a.typ.Kind)
		if both == batch.Invalid || !slices.Contains(members, both) {
			return 0, nil, i
		}
		class = both
	}
	if class == batch.Invalid { // nothing but nulls
		class = batch.Int64
	}
	want = make([]batch.Kind, len(args))
	for i, a := range args {
		kind, single := kinds[f.param(i).kind]
		if !single {
			kind = class
		}
		if unify(kind, a.typ.Kind) != kind {
			return 0, nil, i
		}
		want[i] = kind
	}
	return class, want, -1
}

// FunctionDoc describes a function for the generated reference.
type FunctionDoc struct {
	Name       string
	Group      string
	Signatures []string // one per overload, such as "(x number) number?"; the package doc explains them
	Doc        string   // one sentence
	Example    string   // a constant expression
	Result     string   // what the example gives
	Operator   bool     // written between its arguments (or before, for not), not called
}

// Functions lists every function and operator, in the order of the reference.
func Functions() []FunctionDoc {
	var out []FunctionDoc
	at := map[string]int{}
	for _, g := range groups {
		for _, f := range g.functions {
			i, ok := at[f.name]
			if !ok {
				i = len(out)
				at[f.name] = i
				_, between := infix[f.name]
				out = append(out, FunctionDoc{
					Name: f.name, Group: g.title, Doc: f.doc, Example: f.example, Result: f.result,
					Operator: between || f.name == "not",
				})
			}
			out[i].Signatures = append(out[i].Signatures, f.sig)
		}
	}
	return out
}

// unknownCost is the cost of a function that the package does not know.
const unknownCost = 100

func costOf(name string) int {
	if fs := registry[name]; len(fs) > 0 {
		return fs[0].cost
	}
	return unknownCost
}
