package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gorge-stream/gorge/internal/delivery"
)

// Text explains the plan to a person on a terminal: the stages with what runs
// in them, and what each path from a source to a sink holds.
func (p *Plan) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "pipeline %s\n%s; %s\n", p.Name, checkpointWords(p.Checkpoint), stateWords(p.State))
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
	p.delivery(&b)
	return b.String()
}

// delivery says what each path holds, and each reason once.
func (p *Plan) delivery(b *strings.Builder) {
	b.WriteString("\ndelivery after a crash\n")
	var reasons []string
	for _, path := range p.Paths {
		fmt.Fprintf(b, "  %s: %s (%s)\n", strings.Join(path.Nodes, " -> "), path.Guarantee, path.Weakest)
		r := fmt.Sprintf("weakest link %s: %s", path.Weakest, path.Why)
		if path.Guarantee == delivery.ExactlyOnce {
			r = "every link holds exactly_once: " + path.Why
		}
		if !slices.Contains(reasons, r) {
			reasons = append(reasons, r)
		}
	}
	if len(p.Functions) > 0 && !p.Checkpoint.Off {
		reasons = append(reasons, "functions may be called again with the same rows after a crash: their results count once, what else they do may happen twice")
	}
	for _, r := range reasons {
		fmt.Fprintf(b, "  %s\n", r)
	}
}
