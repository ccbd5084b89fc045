package plan

import (
	"fmt"
	"strings"
)

// DOT draws the plan for Graphviz: a box for each stage, an edge for each input.
func (p *Plan) DOT() string {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n", dotText(p.Name))
	for i, s := range p.Stages {
		fmt.Fprintf(&b, "  subgraph cluster_%d {\n    label=%s;\n", i, dotText(fmt.Sprintf("stage %d, %s", i, stageWords(s))))
		for _, n := range s.Nodes {
			kind, what := words(n)
			fmt.Fprintf(&b, "    %s [label=%s];\n", dotText(n.Name), dotText(n.Name+"\n"+kind+" "+what))
		}
		b.WriteString("  }\n")
	}
	for _, n := range p.Nodes {
		for _, in := range n.Inputs {
			attr := ""
			if in.Port != Main {
				attr = fmt.Sprintf(" [label=%s, style=dashed]", dotText(portNames[in.Port]))
			}
			fmt.Fprintf(&b, "  %s -> %s%s;\n", dotText(in.Node.Name), dotText(n.Name), attr)
		}
	}
	b.WriteString("}\n")
	return b.String()
}

// dotText quotes a text: only the quote and the backslash mean something to DOT.
func dotText(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
