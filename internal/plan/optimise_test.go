package plan

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/expr"
)

// The tests here draw pipelines and rows at random, and run the typed graph
// before and after the optimiser by a row-by-row interpreter.

type drawnColumn struct {
	name string
	kind batch.Kind
}

type drawnStep struct {
	name    string
	columns []drawnColumn
}

// drawPipeline writes a pipeline of a few steps over one source.
func drawPipeline(t *rapid.T) string {
	var b strings.Builder
	b.WriteString(`name: drawn
sources:
  src:
    file: in.ndjson
    format: json
    schema: {k1: string, k2: string, ts: timestamp, x: float64, y: int64, flag: bool}
    event_time: ts
functions:
  twice: {file: f.py, on_error: dead_letter}
steps:
`)
	steps := []drawnStep{{"src", []drawnColumn{{"k1", batch.String}, {"k2", batch.String}, {"ts", batch.Timestamp}, {"x", batch.Float64}, {"y", batch.Int64}, {"flag", batch.Bool}}}}
	for i := range rapid.IntRange(2, 7).Draw(t, "steps") {
		back := rapid.SampledFrom([]int{0, 0, 0, 0, 0, 1, 2}).Draw(t, "back")
		from := steps[max(0, len(steps)-1-back)]
		name := fmt.Sprintf("s%d", i)
		text, columns := drawStep(t, name, from.columns)
		fmt.Fprintf(&b, "  %s: {from: %s, %s}\n", name, from.name, text)
		steps = append(steps, drawnStep{name, columns})
	}
	b.WriteString("sinks:\n")
	for i := range rapid.IntRange(1, 3).Draw(t, "sinks") {
		from := steps[len(steps)-1]
		if i > 0 {
			from = rapid.SampledFrom(steps).Draw(t, "read")
		}
		fmt.Fprintf(&b, "  out%d: {from: %s, %s}\n", i, from.name, rapid.SampledFrom([]string{"stdout: {}", "\"null\": {}", "file: x, format: json"}).Draw(t, "sink"))
	}
	return b.String()
}

func ofKind(columns []drawnColumn, kinds ...batch.Kind) []string {
	var out []string
	for _, c := range columns {
		if slices.Contains(kinds, c.kind) {
			out = append(out, c.name)
		}
	}
	return out
}

func drawStep(t *rapid.T, name string, in []drawnColumn) (string, []drawnColumn) {
	numbers := ofKind(in, batch.Float64, batch.Int64)
	keys := ofKind(in, batch.String, batch.Bool)
	op := rapid.SampledFrom([]string{"where", "where", "where", "where", "select", "window", "running", "call"}).Draw(t, "op")
	if len(numbers) == 0 || len(keys) == 0 {
		op = "select"
	}
	switch op {
	case "where":
		return fmt.Sprintf("where: '%s'", drawCondition(t, keys, numbers, in)), in
	case "call":
		return fmt.Sprintf("call: {%s_r: twice(%s)}", name, rapid.SampledFrom(numbers).Draw(t, "arg")), append(slices.Clone(in), drawnColumn{name + "_r", batch.Float64})
	case "select":
		var parts []string
		var out []drawnColumn
		for i, c := range in {
			if i > 0 && rapid.IntRange(0, 2).Draw(t, "leave out") == 0 {
				continue
			}
			text, kind := c.name, c.kind
			if kind == batch.Float64 && rapid.Bool().Draw(t, "compute") {
				text += " * 2.0 + 1.0"
			}
			col := drawnColumn{fmt.Sprintf("%s_%d", name, i), kind}
			parts = append(parts, col.name+": "+text)
			out = append(out, col)
		}
		return "select: {" + strings.Join(parts, ", ") + "}", out
	}
	by := rapid.SliceOfNDistinct(rapid.SampledFrom(keys), 0, min(2, len(keys)), rapid.ID[string]).Draw(t, "keys")
	keyBy := ""
	if len(by) > 0 {
		keyBy = "key_by: [" + strings.Join(by, ", ") + "], "
	}
	x := rapid.SampledFrom(numbers).Draw(t, "aggregated")
	added := []drawnColumn{{name + "_n", batch.Int64}, {name + "_max", batch.Float64}}
	aggregates := fmt.Sprintf("{%s_n: count(), %s_max: max(%s * 1.0)}", name, name, x)
	if op == "running" {
		return keyBy + "running: " + aggregates, append(slices.Clone(in), added...)
	}
	var out []drawnColumn
	for _, k := range by {
		out = append(out, in[slices.IndexFunc(in, func(c drawnColumn) bool { return c.name == k })])
	}
	out = append(out, added...)
	return keyBy + "window: {tumbling: 10ms}, aggregate: " + aggregates, out
}

func drawCondition(t *rapid.T, keys, numbers []string, in []drawnColumn) string {
	key := rapid.SampledFrom(keys).Draw(t, "column")
	a := fmt.Sprintf(`%s == "a"`, key)
	if slices.Contains(ofKind(in, batch.Bool), key) {
		a = key
	}
	b := fmt.Sprintf("%s > %d", rapid.SampledFrom(numbers).Draw(t, "column"), rapid.IntRange(-2, 3).Draw(t, "bound"))
	return rapid.SampledFrom([]string{a, "not (" + a + ")", b, a + " and " + b, a + " or " + b}).Draw(t, "condition")
}

// drawRows makes rows of the source with the event time ascending.
func drawRows(t *rapid.T) []row {
	var rows []row
	now := int64(0)
	for range rapid.IntRange(5, 25).Draw(t, "rows") {
		now += int64(rapid.IntRange(0, 6000).Draw(t, "step"))
		rows = append(rows, row{
			"k1": rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "k1"), "k2": rapid.SampledFrom([]string{"a", "z"}).Draw(t, "k2"),
			"ts": now, "x": float64(rapid.IntRange(-3, 5).Draw(t, "x")), "y": int64(rapid.IntRange(-3, 5).Draw(t, "y")),
			"flag": rapid.Bool().Draw(t, "flag"), "": now,
		})
	}
	return rows
}

// typed compiles src without the optimiser.
func typed(t *rapid.T, src string) *compiler {
	c := &compiler{cat: testCatalog(), parts: map[string]*part{}, functions: map[string]*Function{}, plan: &Plan{}}
	c.errs = &c.found
	root := readYAML("drawn.yaml", []byte(src), c.errs)
	c.file(root)
	if err := c.result(); err != nil {
		t.Fatalf("%s\n%s", src, diag.Format(err))
	}
	return c
}

func TestTheOptimiserKeepsEveryResult(t *testing.T) {
	for range 5 { // a draw is cheap, and few of them move a filter
		rapid.Check(t, checkOptimiser)
	}
}

func checkOptimiser(t *rapid.T) {
	src := drawPipeline(t)
	rows := drawRows(t)
	want := (&interpreter{t: t, rows: rows}).sinks(typed(t, src).plan)
	p, _, err := Compile("drawn.yaml", []byte(src), testCatalog(), Options{})
	if err != nil {
		t.Fatalf("%s\n%s", src, diag.Format(err))
	}
	got := (&interpreter{t: t, rows: rows}).sinks(p)
	if fmt.Sprint(want) != fmt.Sprint(got) {
		t.Fatalf("%s\n%s\nwant %v\ngot  %v", src, p.Text(), want, got)
	}
	checkPruned(t, p)
	checkStages(t, p)
}

// checkPruned proves that every column of a source is used, by following it to its use.
func checkPruned(t *rapid.T, p *Plan) {
	for _, n := range p.Nodes {
		if _, ok := n.Op.(*Source); !ok {
			continue
		}
		for _, name := range n.Schema.Names() {
			if !p.uses(n, name) && len(n.Schema.Fields) > 1 {
				t.Fatalf("%s is read and not used:\n%s", name, p.Text())
			}
		}
	}
}

func (p *Plan) uses(n *Node, name string) bool {
	in := func(list ...*expr.Expr) bool {
		return slices.ContainsFunc(list, func(e *expr.Expr) bool { return slices.Contains(e.Columns(), name) })
	}
	args := func(list []Aggregate) bool {
		return slices.ContainsFunc(list, func(a Aggregate) bool { return in(a.Args...) })
	}
	for _, m := range p.readers(n, Main) {
		switch op := m.Op.(type) {
		case *Sink, *Encode:
			return true
		case *Filter:
			if in(op.Where) || p.uses(m, name) {
				return true
			}
		case *Project:
			for _, c := range op.Columns {
				if in(c.Expr) {
					return true
				}
			}
		case *Call:
			if in(op.Args...) || p.uses(m, name) {
				return true
			}
		case *Running:
			if slices.Contains(op.Keys, name) || args(op.Stats) || p.uses(m, name) {
				return true
			}
		case *WindowAggregate:
			if slices.Contains(op.Keys, name) || args(op.Aggregates) {
				return true
			}
		case *Combine:
			if slices.Contains(op.Of.Keys, name) || args(op.Of.Aggregates) {
				return true
			}
		}
	}
	return false
}

// checkStages proves that a stage has its sources or exactly one edge that
// enters it, that of dead letters one from the source and each call.
func checkStages(t *rapid.T, p *Plan) {
	seen, refusing := 0, 0
	for _, n := range p.Nodes {
		switch n.Op.(type) {
		case *Source, *Call:
			refusing++
		}
	}
	for i, s := range p.Stages {
		entering := 0
		for _, n := range s.Nodes {
			seen++
			if n.Stage != i {
				t.Fatalf("%s is in stage %d and says %d", n.Name, i, n.Stage)
			}
			for _, in := range n.Inputs {
				if in.Node.Stage != i {
					entering++
				}
			}
			if _, ok := n.Op.(*WindowAggregate); ok && n.Inputs[0].Port == Main && n.Inputs[0].Node.Schema != nil && n.Inputs[0].Node.Schema.Time < 0 {
				t.Fatalf("%s has no event time:\n%s", n.Name, p.Text())
			}
		}
		want := 1
		switch {
		case s.Partitioning == BySplit:
			want = 0
		case IsDeadLetters(s.Nodes[0]):
			want = refusing
		}
		if entering != want {
			t.Fatalf("stage %d is entered by %d edges:\n%s", i, entering, p.Text())
		}
	}
	if seen != len(p.Nodes) {
		t.Fatalf("%d of %d nodes are in stages", seen, len(p.Nodes))
	}
}

// row is a row by column; the empty name is its event time.
type row map[string]any

// interpreter runs a graph over rows of its source, node by node.
type interpreter struct {
	t    *rapid.T
	rows []row
	out  map[*Node][]row
}

func (i *interpreter) sinks(p *Plan) map[string][]string {
	i.out = map[*Node][]row{}
	results := map[string][]string{}
	for _, n := range p.Nodes {
		if _, ok := n.Op.(*Sink); !ok || IsDeadLetters(n) {
			continue
		}
		in := n.Inputs[0].Node
		if _, ok := in.Op.(*Encode); ok {
			in = in.Inputs[0].Node
		}
		var lines []string
		for _, r := range i.rowsOf(in) {
			delete(r, "") // not the sink's business
			lines = append(lines, fmt.Sprint(r))
			sort.Strings(lines)
		}
		results[n.Name] = lines
	}
	return results
}

// rowsOf returns copies of the rows that a node makes.
func (i *interpreter) rowsOf(n *Node) []row {
	if _, done := i.out[n]; !done {
		i.out[n] = i.run(n)
	}
	out := make([]row, len(i.out[n]))
	for j, r := range i.out[n] {
		out[j] = row{}
		for k, v := range r {
			out[j][k] = v
		}
	}
	return out
}

func (i *interpreter) run(n *Node) []row {
	switch n.Op.(type) {
	case *Source:
		var out []row
		for _, r := range i.rows {
			narrow := row{"": r[""]}
			for _, name := range n.Schema.Names() {
				narrow[name] = r[name]
			}
			out = append(out, narrow)
		}
		return out
	case *Combine:
		return i.rowsOf(n.Inputs[0].Node)
	}
	input := n.Inputs[0].Node
	in, schema := i.rowsOf(input), input.Schema
	if _, ok := input.Op.(*Combine); ok {
		schema = input.Inputs[0].Node.Schema
	}
	var out []row
	switch op := n.Op.(type) {
	case *Filter:
		for j, v := range i.eval(op.Where, schema, in) {
			if v == true {
				out = append(out, in[j])
			}
		}
	case *Project:
		for _, r := range in {
			out = append(out, row{"": r[""]})
		}
		for _, c := range op.Columns {
			for j, v := range i.eval(c.Expr, schema, in) {
				out[j][c.Name] = v
			}
		}
	case *Call:
		for j, v := range i.eval(op.Args[0], schema, in) {
			in[j][op.Results[0]] = twice(v)
		}
		out = in
	case *Running:
		return i.group(op.Keys, op.Stats, schema, in, 0)
	case *WindowAggregate:
		return i.group(op.Keys, op.Aggregates, schema, in, op.Window.Size.Microseconds())
	}
	return out
}

func twice(v any) any {
	switch v := v.(type) {
	case int64:
		return float64(v) * 2
	case float64:
		return v * 2
	}
	return nil
}

// group computes count and max per key, and per window when size is not 0:
// then only the last row of each group comes out, as the result.
func (i *interpreter) group(keys []string, list []Aggregate, schema *batch.Schema, in []row, size int64) []row {
	type state struct {
		n    int64
		most any
		last int
	}
	groups := map[string]*state{}
	var args [][]any
	for _, a := range list {
		var column []any
		if len(a.Args) > 0 {
			column = i.eval(a.Args[0], schema, in)
		}
		args = append(args, column)
	}
	var order []string
	results := make([]row, len(in))
	for j, r := range in {
		id := ""
		if size > 0 {
			id = fmt.Sprintf("%020d", r[""].(int64)/size)
		}
		for _, k := range keys {
			id += fmt.Sprintf("|%v", r[k])
		}
		g := groups[id]
		if g == nil {
			g = &state{}
			groups[id] = g
			order = append(order, id)
		}
		g.n++
		g.last = j
		results[j] = r
		if size > 0 {
			results[j] = row{"": r[""].(int64) / size * size, windowStart: r[""].(int64) / size, windowEnd: r[""].(int64)/size + 1}
			for _, k := range keys {
				results[j][k] = r[k]
			}
		}
		for k, a := range list {
			if a.Function == "count" {
				results[j][a.Name] = g.n
				continue
			}
			if v, ok := args[k][j].(float64); ok && (g.most == nil || v > g.most.(float64)) {
				g.most = v
			}
			results[j][a.Name] = g.most
		}
	}
	if size == 0 {
		return results
	}
	sort.Strings(order)
	var out []row
	for _, id := range order {
		out = append(out, results[groups[id].last])
	}
	return out
}

// eval computes an expression over rows by the real kernels.
func (i *interpreter) eval(e *expr.Expr, schema *batch.Schema, rows []row) []any {
	schema = visible(schema)
	p, err := expr.Compile(e, schema)
	if err != nil {
		i.t.Fatalf("%s over %s: %v", e, schema, err)
	}
	b := batch.NewPool(schema, max(len(rows), 1)).Get()
	defer b.Release()
	for c, f := range schema.Fields {
		for j, r := range rows {
			set(b.Col(c), j, r[f.Name])
		}
	}
	b.SetLen(len(rows))
	col, err := p.Eval(b)
	if err != nil {
		i.t.Fatal(err)
	}
	out := make([]any, len(rows))
	for j := range rows {
		out[j] = get(col, j)
	}
	return out
}

func set(c *batch.Column, i int, v any) {
	switch v := v.(type) {
	case nil:
		c.SetNull(i)
	case bool:
		c.SetBool(i, v)
	case int64:
		c.Int64s()[i] = v
	case float64:
		c.Float64s()[i] = v
	case string:
		c.SetText(i, v)
	}
}

func get(c *batch.Column, i int) any {
	if c.IsNull(i) {
		return nil
	}
	switch c.Kind() {
	case batch.Bool:
		return c.Bool(i)
	case batch.Int64, batch.Timestamp:
		return c.Int64s()[i]
	case batch.Float64:
		return c.Float64s()[i]
	}
	return strings.Clone(c.Text(i))
}
