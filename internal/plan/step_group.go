package plan

import (
	"strings"

	"github.com/gorge-stream/gorge/internal/agg"
	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/expr"
)

// The columns that every window step adds.
const (
	windowStart = "window_start"
	windowEnd   = "window_end"
)

// windowStep makes a WindowAggregate of "window" and "aggregate".
func (c *compiler) windowStep(s *stepPart, n *Node) {
	op := &WindowAggregate{Keys: c.keys(s), LateOutput: s.set.String("late") == "side"}
	if t := s.set.Object("window").Object("tumbling"); t != nil {
		op.Window = Window{Kind: Tumbling, Size: t.Duration("size"), Offset: t.Duration("offset")}
	} else {
		c.errorf(codeMissing, s.key("window").place, "%s has no kind of window", s).WithHint("write for example window: {tumbling: 10s}")
	}
	c.needTime(s, "window", "a window")
	schema := &batch.Schema{Time: -1}
	taken := map[string]string{}
	for _, k := range op.Keys {
		if k == windowStart || k == windowEnd {
			c.errorf(codeColumn, s.key("key_by").place, "%s cannot have the key %q: its result has a column of that name", s, k).
				WithHint("rename the column in a select step first")
		}
		taken[k] = "a key"
		if s.schema != nil {
			if i := s.schema.Index(k); i >= 0 {
				schema.Fields = append(schema.Fields, s.schema.Fields[i])
			}
		}
	}
	for _, name := range []string{windowStart, windowEnd} {
		taken[name] = "made by the window"
		schema.Fields = append(schema.Fields, batch.Field{Name: name, Kind: batch.Timestamp})
	}
	op.Aggregates = c.aggregates(s, "aggregate", agg.Names(), taken, schema)
	addHiddenTime(schema)
	n.Op, n.Schema = op, schema
}

// needTime refuses an operation over event time whose input has none.
func (c *compiler) needTime(s *stepPart, key, what string) {
	if s.schema == nil || s.schema.Time >= 0 {
		return
	}
	src := origin(s.input)
	if s.input.Port == Dead {
		c.errorf(codeEventTime, s.keyPlace(key), "%s has %s, but dead letters have no event time", s, what)
		return
	}
	c.errorf(codeEventTime, s.keyPlace(key), "%s has %s, but the source %s has no event time", s, what, src.Name).
		WithHint("add event_time: {column: ...} to the source %s", src.Name)
}

// runningStep makes a Running of "running".
func (c *compiler) runningStep(s *stepPart, n *Node) {
	op := &Running{Keys: c.keys(s), TTL: s.set.Duration("ttl")}
	if op.TTL > 0 {
		c.needTime(s, "ttl", "a ttl")
	}
	schema := &batch.Schema{Time: -1}
	taken := map[string]string{}
	if s.schema != nil {
		schema.Time = s.schema.Time
		schema.Fields = append(schema.Fields, s.schema.Fields...)
		for _, name := range s.schema.Names() {
			taken[name] = "a column of the input"
		}
	}
	op.Stats = c.aggregates(s, "running", agg.RunningNames(), taken, schema)
	n.Op, n.Schema = op, schema
}

// aggregates reads a mapping of column names to calls of aggregate functions
// and adds their columns to schema. names are the functions that may be used.
func (c *compiler) aggregates(s *stepPart, setting string, names []string, taken map[string]string, schema *batch.Schema) []Aggregate {
	v := s.key(setting)
	if len(v.entries) == 0 {
		c.errorf(codeAggregate, v.place, "%s has no aggregate", s).WithHint("write for example %s: {n: count()}", setting)
	}
	var out []Aggregate
	for _, entry := range v.entries {
		c.newColumn(s, setting, entry.key, entry.key, taken)
		a, field, ok := c.aggregate(s, entry.key, entry.value, names)
		if !ok {
			continue
		}
		out = append(out, a)
		schema.Fields = append(schema.Fields, field)
	}
	return out
}

// aggregate reads one call, such as "avg(temperature)".
func (c *compiler) aggregate(s *stepPart, name string, v *yamlValue, names []string) (a Aggregate, field batch.Field, ok bool) {
	e := c.expression(v)
	if e == nil {
		return a, field, false
	}
	fn, args, isCall := e.Call()
	if !isCall {
		c.errorf(codeAggregate, v.place, "%q is not an aggregate", clip(v.text)).
			WithHint("write a call of one of %s; arithmetic on the result goes into a select step", strings.Join(names, ", "))
		return a, field, false
	}
	known := false
	for _, k := range names {
		known = known || k == fn
	}
	f, exists := agg.Lookup(fn)
	if !known || !exists {
		c.errorf(codeAggregate, v.atRunes(e.Place()), "%s cannot use the aggregate %q", s, clip(fn)).WithHint("%s", choices(fn, names))
		return a, field, false
	}
	columns := len(args) - f.Params
	if columns < f.MinArgs || columns > f.MaxArgs {
		c.errorf(codeAggregate, v.place, "%s has the wrong number of arguments", clip(v.text)).WithHint("write it like %s", f.Example)
		return a, field, false
	}
	a = Aggregate{Name: name, Function: fn, Args: args[:columns:columns]}
	if a.Params, ok = c.params(v, args[columns:], f); !ok || s.schema == nil {
		return a, field, false
	}
	kinds := make([]batch.Kind, columns)
	for i, arg := range a.Args {
		t, ok := c.typeOf(v, arg, s.schema)
		if !ok {
			return a, field, false
		}
		kinds[i] = t.Kind
	}
	kind, nullable, err := f.Result(kinds)
	if err != nil {
		place := v.place
		if columns > 0 {
			place = v.atRunes(a.Args[0].Place())
		}
		c.errorf(codeAggregate, place, "%s", err).WithHint("write it like %s", f.Example)
		return a, field, false
	}
	return a, batch.Field{Name: name, Kind: kind, Nullable: nullable}, true
}

// params reads the literals behind the columns of an aggregate.
func (c *compiler) params(v *yamlValue, args []*expr.Expr, f *agg.Function) ([]float64, bool) {
	var out []float64
	for _, arg := range args {
		lit, _ := arg.Literal()
		switch x := lit.(type) {
		case int64:
			out = append(out, float64(x))
		case float64:
			out = append(out, x)
		default:
			c.errorf(codeAggregate, v.atRunes(arg.Place()), "the last argument of %s is a number, not an expression", f.Name).
				WithHint("write it like %s", f.Example)
			return nil, false
		}
	}
	return out, true
}
