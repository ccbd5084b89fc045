package plan

import (
	"fmt"
	"slices"
	"strings"
)

// Text explains the plan to a person on a terminal: the stages with what runs
// in them, and what each path from a source to a sink holds.
func (p *Plan) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "pipeline %s\n", p.Name)
	width := 0
	for _, n := range p.Nodes {
		width = max(width, len(n.Name))
	}
	for i, s := range p.Stages {
		fmt.Fprintf(&b, "\nstage %d, %s\n", i, stageWords(s))
		for _, n := range s.Nodes {
			kind, what := words(n)
			line := kind + " " + what
			if len(n.Inputs) > 0 {
				line += "  <- " + inputWords(n)
			}
			fmt.Fprintf(&b, "  %-*s  %s\n", width, n.Name, line)
			for _, note := range p.notes(n) {
				fmt.Fprintf(&b, "  %-*s    %s\n", width, "", note)
			}
		}
	}
	b.WriteString("\ndelivery after a crash\n")
	var reasons []string
	for _, path := range p.Paths {
		fmt.Fprintf(&b, "  %s: %s (%s)\n", strings.Join(path.Nodes, " -> "), path.Guarantee, path.Weakest)
		if r := fmt.Sprintf("weakest link %s: %s", path.Weakest, path.Why); !slices.Contains(reasons, r) {
			reasons = append(reasons, r)
		}
	}
	for _, r := range reasons {
		fmt.Fprintf(&b, "  %s\n", r)
	}
	return b.String()
}
