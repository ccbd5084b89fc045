package plan

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gorge-stream/gorge/internal/expr"
)

// words say in the language of the pipeline file what a node does. Settings of
// connectors are not shown: they may hold secrets.
func words(n *Node) (kind, what string) {
	switch op := n.Op.(type) {
	case *Source:
		return "source", withFormat(op.Connector, op.Format)
	case *Filter:
		return "where", oneLine(op.Where)
	case *Project:
		parts := make([]string, len(op.Columns))
		for i, c := range op.Columns {
			parts[i] = c.Name
			if src := oneLine(c.Expr); src != c.Name {
				parts[i] += " = " + src
			}
		}
		return "select", strings.Join(parts, ", ")
	case *WindowAggregate:
		return "window", windowWords(op.Window) + byWords(op.Keys) + ": " + aggregateWords(op.Aggregates)
	case *Combine:
		return "combine", windowWords(op.Of.Window) + byWords(op.Of.Keys) + ": " + aggregateWords(op.Of.Aggregates)
	case *Running:
		what = strings.TrimSpace(byWords(op.Keys)+": ") + " " + aggregateWords(op.Stats)
		if op.TTL > 0 {
			what += ", forgotten after " + formatDuration(op.TTL)
		}
		return "running", what
	case *Call:
		return "call", fmt.Sprintf("%s = %s(%s)", strings.Join(op.Results, ", "), op.Function, strings.Join(sourcesOf(op.Args), ", "))
	case *Encode:
		return "encode", op.Format
	case *Sink:
		return "sink", withFormat(op.Connector, op.Format)
	}
	return "", ""
}

func withFormat(connector, format string) string {
	if format == "" {
		return connector
	}
	return connector + ", " + format
}

func byWords(keys []string) string {
	if len(keys) == 0 {
		return " over all rows"
	}
	return " by " + strings.Join(keys, ", ")
}

func windowWords(w Window) string {
	s := "tumbling " + formatDuration(w.Size)
	if w.Offset != 0 {
		s += " offset " + formatDuration(w.Offset)
	}
	return s
}

func aggregateWords(list []Aggregate) string {
	parts := make([]string, len(list))
	for i, a := range list {
		args := sourcesOf(a.Args)
		for _, p := range a.Params {
			args = append(args, strconv.FormatFloat(p, 'g', -1, 64))
		}
		parts[i] = fmt.Sprintf("%s = %s(%s)", a.Name, a.Function, strings.Join(args, ", "))
	}
	return strings.Join(parts, ", ")
}

func sourcesOf(list []*expr.Expr) []string {
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = oneLine(e)
	}
	return out
}

// oneLine is the expression as written, or printed anew where it has several lines.
func oneLine(e *expr.Expr) string {
	if s := e.Source(); !strings.ContainsAny(s, "\n\r") {
		return s
	}
	return e.String()
}

// refWords names what a ref reads: "averages" or "averages.late".
func refWords(r Ref) string {
	if r.Port == Main {
		return r.Node.Name
	}
	return r.Node.Name + "." + portNames[r.Port]
}

// inputWords names all that a node reads.
func inputWords(n *Node) string {
	out := make([]string, len(n.Inputs))
	for i, in := range n.Inputs {
		out[i] = refWords(in)
	}
	return strings.Join(out, ", ")
}

// stageWords says how rows reach the tasks of a stage.
func stageWords(s Stage) string {
	switch s.Partitioning {
	case ByKey:
		return "by key " + strings.Join(s.Keys, ", ")
	case Single:
		return "one task"
	}
	return "by split"
}

// notes are the further lines about a node.
func (p *Plan) notes(n *Node) []string {
	var out []string
	switch op := n.Op.(type) {
	case *Source:
		names, of := op.Reads(n.Schema)
		out = append(out, fmt.Sprintf("reads %d of %d columns: %s", len(names), of, strings.Join(names, ", ")))
		if t := op.EventTime; t.Column != "" {
			out = append(out, eventTimeWords(t))
		}
		if op.Format != "" {
			out = append(out, "bad records "+p.deadWords(n, op.OnBadRecord == Fail, op.OnBadRecord == Skip))
		}
	case *WindowAggregate:
		if op.LateOutput {
			out = append(out, fmt.Sprintf("late rows go to %s.late", n.Name))
		} else {
			out = append(out, "late rows are dropped and counted")
		}
	case *Call:
		for _, f := range p.Functions {
			if f.Name == op.Function {
				out = append(out, "rows that fail "+p.failWords(n, f))
			}
		}
	}
	return append(out, n.Pushed...)
}

func eventTimeWords(t EventTime) string {
	s := fmt.Sprintf("event time %s, up to %s out of order", t.Column, formatDuration(t.MaxDisorder))
	if t.IdleAfter > 0 {
		s += ", idle after " + formatDuration(t.IdleAfter)
	} else {
		s += ", never idle"
	}
	if t.MaxAhead > 0 {
		s += ", at most " + formatDuration(t.MaxAhead) + " ahead of the clock"
	}
	return s
}

func (p *Plan) failWords(n *Node, f Function) string {
	if f.OnError == ErrorDefault {
		if f.Default != f.Default { // NaN stands for null
			return "get null"
		}
		return "get " + strconv.FormatFloat(f.Default, 'g', -1, 64)
	}
	return p.deadWords(n, f.OnError == ErrorFail, false)
}

func (p *Plan) deadWords(n *Node, fail, skip bool) string {
	switch {
	case fail:
		return "end the job"
	case skip:
		return "are skipped and counted"
	}
	switch readers := p.readers(n, Dead); {
	case len(readers) == 0:
		return "are dropped and counted"
	case IsDeadLetters(readers[0]):
		return "go to " + DeadLetters
	}
	return "go to " + n.Name + ".dead"
}
