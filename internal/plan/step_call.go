package plan

import (
	"math"
	"strings"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/spec"
)

// maxArgs bounds the columns that a function takes.
const maxArgs = 256

// callStep makes a Call of "call".
func (c *compiler) callStep(s *stepPart, n *Node) {
	v := s.key("call")
	if len(v.entries) != 1 {
		c.errorf(codeFunction, v.place, "%s has %d calls, not one", s, len(v.entries)).
			WithHint("write one call a step; a function with several results is written {\"low, high\": \"bounds(x)\"}")
		return
	}
	entry := v.entries[0]
	op, f := c.call(s, entry)
	schema := &batch.Schema{Time: -1}
	taken := map[string]string{}
	if s.schema != nil {
		schema.Time = s.schema.Time
		schema.Fields = append(schema.Fields, s.schema.Fields...)
		for _, name := range s.schema.Names() {
			taken[name] = "a column of the input"
		}
	}
	for i, name := range strings.Split(entry.key, ",") {
		name = strings.TrimSpace(name)
		c.newColumn(s, "call", entry.key, name, taken)
		op.Results = append(op.Results, name)
		if f != nil && i < len(f.Returns) {
			schema.Fields = append(schema.Fields, batch.Field{Name: name, Kind: f.Returns[i], Nullable: true})
		}
	}
	if f != nil && len(f.Returns) > 0 && len(f.Returns) != len(op.Results) {
		c.errorf(codeFunction, entry.place, "%s names %d results, but %s returns %d", s, len(op.Results), f.Name, len(f.Returns)).
			WithHint("write a name for each result, separated by commas, and their types in \"returns\" of the function")
	}
	n.Op, n.Schema = op, schema
}

// call reads the call itself; the function is nil when it is not declared.
func (c *compiler) call(s *stepPart, entry yamlEntry) (*Call, *Function) {
	op := &Call{}
	v := entry.value
	e := c.expression(v)
	if e == nil {
		return op, nil
	}
	name, args, ok := e.Call()
	if !ok {
		c.errorf(codeFunction, v.place, "%q is not a call of a function", clip(v.text)).WithHint("write for example \"my_function(temperature)\"")
		return op, nil
	}
	op.Function, op.Args = name, args
	f := c.functions[name]
	if f == nil {
		e := c.errorf(codeFunction, v.atRunes(e.Place()), "%s calls %q, which the functions section does not declare", s, clip(name))
		if near := nearest(name, sortedKeys(c.functions)); near != "" {
			e.WithHint("did you mean %q?", near)
		} else {
			e.WithHint("declare it, for example functions: {%s: {file: udfs/%s.py}}; to use a function of the expression language write a select step", name, name)
		}
		return op, nil
	}
	if len(args) == 0 || len(args) > maxArgs {
		c.errorf(codeFunction, v.place, "%s calls %s with %d arguments", s, name, len(args)).WithHint("a function takes 1 to %d columns", maxArgs)
		return op, f
	}
	if s.schema == nil {
		return op, f
	}
	for _, arg := range args {
		t, ok := c.typeOf(v, arg, s.schema)
		if ok && (t.Kind == batch.Binary || t.Kind == batch.Timestamp) {
			c.errorf(codeFunction, v.atRunes(arg.Place()), "%s cannot take a value of type %s", name, t.Kind).
				WithHint("functions take numbers, booleans and strings: convert it in the call, for example with string() or float()")
		}
	}
	return op, f
}

// functionDefault is the result of failed rows: NaN stands for null.
func functionDefault(set *spec.Values) float64 {
	if !set.IsSet("default") {
		return math.NaN()
	}
	return set.Float("default")
}

// fitsDefault reports whether results of all the kinds can have the value.
func fitsDefault(v float64, kinds []batch.Kind) bool {
	for _, k := range kinds {
		switch {
		case k == batch.String, k == batch.Bool && v != 0 && v != 1:
			return false
		case k == batch.Int64 && (v != math.Trunc(v) || math.Abs(v) >= 1<<53):
			return false
		}
	}
	return true
}

func returnKinds(names []string) []batch.Kind {
	out := make([]batch.Kind, len(names))
	for i, name := range names {
		out[i] = batch.ParseKind(name)
	}
	return out
}
