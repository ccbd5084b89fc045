package plan

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gorge-stream/gorge/internal/agg"
	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/expr"
)

// StateLayout describes all that the meaning of the node's stored state depends
// on, a line each: the operation and its windows, the key columns in their
// order, and the accumulators in theirs. State of equal layouts is
// interchangeable; nil is a node without state that outlives a block.
//
// The bytes of a key depend on the kinds of its columns alone, but other columns
// of the same kinds would mean other keys, so their names count. So do the
// expressions that are aggregated. The names of the results do not.
func (n *Node) StateLayout() []string {
	switch op := n.Op.(type) {
	case *WindowAggregate:
		rows := n.Inputs[0]
		if op.Combine {
			rows = rows.Node.Inputs[0]
		}
		return stateLayout("window "+windowWords(op.Window), schemaOf(rows), op.Keys, op.Aggregates)
	case *Running:
		what := "running"
		if op.TTL > 0 {
			what += ", with the time of the last row"
		}
		return stateLayout(what, schemaOf(n.Inputs[0]), op.Keys, op.Stats)
	}
	return nil
}

func stateLayout(operation string, rows *batch.Schema, keys []string, list []Aggregate) []string {
	out := []string{operation}
	for _, k := range keys {
		f := rows.Fields[rows.Index(k)]
		out = append(out, fmt.Sprintf("key %s %s", k, expr.Type{Kind: f.Kind, Nullable: f.Nullable}))
	}
	var calls []agg.Call
	columns := map[string]int{} // by the text of the argument: equal ones share accumulators
	for _, a := range list {
		call, text := layoutCall(a, rows, columns)
		calls = append(calls, call)
		out = append(out, text)
	}
	return append(out, fmt.Sprintf("words %d", agg.NewSet(calls).Words()))
}

// layoutCall lays out one aggregate; columns has the columns of the arguments so far.
func layoutCall(a Aggregate, rows *batch.Schema, columns map[string]int) (agg.Call, string) {
	f, ok := agg.Lookup(a.Function)
	if !ok {
		panic(fmt.Sprintf("plan: there is no aggregate %q", a.Function))
	}
	call := agg.Call{Function: f, Params: a.Params}
	var args []string
	for _, e := range a.Args {
		t, err := expr.Check(e, rows)
		if err != nil {
			panic(fmt.Sprintf("plan: %s does not fit %s any more: %v", e, rows, err))
		}
		t.Kind = agg.Widened(t.Kind)
		text := e.String()
		if _, ok := columns[text]; !ok {
			columns[text] = len(columns)
		}
		call.Args = append(call.Args, agg.Arg{Column: columns[text], Kind: t.Kind, Nullable: t.Nullable})
		args = append(args, fmt.Sprintf("%s %s", text, t))
	}
	for _, p := range a.Params {
		args = append(args, strconv.FormatFloat(p, 'g', -1, 64))
	}
	return call, a.Function + "(" + strings.Join(args, ", ") + ")"
}
