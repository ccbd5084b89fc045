package checkpoint

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gorge-stream/gorge/internal/diag"
)

// Need is the state that a step of a job has.
type Need struct {
	Step   string
	Layout []string // see Step.Layout
}

// Edge is a source or sink of a job.
type Edge struct{ Name, Connector string }

// Needs is all of a job that a manifest can have something for.
type Needs struct {
	Steps          []Need
	Sources, Sinks []Edge
}

// Fate is what becomes of one part of a checkpoint or job.
type Fate string

// The fates.
const (
	Kept         Fate = "kept"         // the job goes on with it
	Dropped      Fate = "dropped"      // the checkpoint has it, the job does not
	New          Fate = "new"          // the job has it, the checkpoint does not
	Incompatible Fate = "incompatible" // both have it, but they do not fit
)

// Match is what becomes of one step, source or sink.
type Match struct {
	What string // "step", "source" or "sink"
	// Name is that in the job, or of a dropped part that in the checkpoint; Stored is
	// that in the checkpoint, empty for a new part.
	Name, Stored string
	Fate         Fate
	// Loses: a dropped part had something that is lost by it.
	Loses bool
	// Detail are lines that tell why, or what is lost.
	Detail []string
}

// StatePlan is what becomes of a checkpoint when a job starts from it.
type StatePlan struct {
	Epoch   uint64
	Matches []Match
	// Unused are the names to rename that the checkpoint does not have.
	Unused []string
}

// PlanState compares a checkpoint with what a job needs. The map rename tells the
// names of steps, sources and sinks in the job by those in the checkpoint.
func PlanState(m *Manifest, needs Needs, rename map[string]string) *StatePlan {
	p := &StatePlan{Epoch: m.Epoch}
	used := map[string]bool{}
	renamed := func(stored string) string {
		if to, ok := rename[stored]; ok {
			used[stored] = true
			return to
		}
		return stored
	}
	steps := make([]part, len(m.Steps))
	for i, s := range m.Steps {
		steps[i] = part{renamed(s.Name), s.Name, s.Layout, len(s.Shards) > 0, "its state"}
	}
	sources := make([]part, len(m.Sources))
	for i, s := range m.Sources {
		sources[i] = part{renamed(s.Name), s.Name, []string{"connector " + s.Connector}, true, "where it stands"}
	}
	sinks := make([]part, len(m.Sinks))
	for i, s := range m.Sinks {
		sinks[i] = part{renamed(s.Name), s.Name, []string{"connector " + s.Connector}, len(s.Committables) > 0,
			"its output of the last epoch, unless it came out before the job ended"}
	}
	wanted := make([]Edge, 0, len(needs.Steps))
	layouts := map[string][]string{}
	for _, n := range needs.Steps {
		wanted = append(wanted, Edge{Name: n.Step})
		layouts[n.Step] = n.Layout
	}
	p.match("step", steps, wanted, func(e Edge) []string { return layouts[e.Name] })
	connector := func(e Edge) []string { return []string{"connector " + e.Connector} }
	p.match("source", sources, needs.Sources, connector)
	p.match("sink", sinks, needs.Sinks, connector)
	for old := range rename {
		if !used[old] {
			p.Unused = append(p.Unused, old)
		}
	}
	slices.Sort(p.Unused)
	return p
}

// part is one step, source or sink of a checkpoint.
type part struct {
	name, stored string // in the job, in the checkpoint
	layout       []string
	holds        bool // something is lost when it is dropped,
	loss         string
}

// match puts the parts of a checkpoint and those of a job together.
func (p *StatePlan) match(what string, have []part, wanted []Edge, layout func(Edge) []string) {
	taken := map[string]string{} // stored by name
	for _, w := range wanted {
		m := Match{What: what, Name: w.Name, Fate: New}
		for _, h := range have {
			if h.name != w.Name {
				continue
			}
			if before, twice := taken[w.Name]; twice {
				m.Fate = Incompatible
				m.Detail = []string{fmt.Sprintf("both %s and %s of the checkpoint would be it", before, h.stored)}
				continue
			}
			taken[w.Name] = h.stored
			m.Stored, m.Fate = h.stored, Kept
			if m.Detail = difference(h.layout, layout(w)); m.Detail != nil {
				m.Fate = Incompatible
			}
		}
		p.Matches = append(p.Matches, m)
	}
	for _, h := range have {
		if taken[h.name] != "" {
			continue
		}
		m := Match{What: what, Name: h.stored, Stored: h.stored, Fate: Dropped, Loses: h.holds}
		if h.name != h.stored {
			m.Detail = append(m.Detail, fmt.Sprintf("the job has no %s %s either", what, h.name))
		}
		if h.holds {
			m.Detail = append(m.Detail, "lost: "+h.loss)
		}
		p.Matches = append(p.Matches, m)
	}
}

// difference returns the lines that only one of the layouts has, nil when they are equal.
func difference(stored, needed []string) []string {
	if slices.Equal(stored, needed) {
		return nil
	}
	var out []string
	for _, l := range stored {
		if !slices.Contains(needed, l) {
			out = append(out, "checkpoint: "+l)
		}
	}
	for _, l := range needed {
		if !slices.Contains(stored, l) {
			out = append(out, "job: "+l)
		}
	}
	if out == nil { // the same lines in another order, or another number of times
		out = []string{"checkpoint: " + strings.Join(stored, "; "), "job: " + strings.Join(needed, "; ")}
	}
	return out
}

// Err returns an error when the job cannot start from the checkpoint: some part does
// not fit, or would be lost and the user has not allowed that.
func (p *StatePlan) Err(allowDropped bool) error {
	var lines []string
	wrong, lost := 0, 0
	for _, m := range p.Matches {
		switch {
		case m.Fate == Incompatible:
			wrong++
		case m.Fate == Dropped && m.Loses && !allowDropped:
			lost++
		default:
			continue
		}
		lines = append(lines, fmt.Sprintf("%s %s: %s", m.What, m.Name, m.Fate))
		for _, d := range m.Detail {
			lines = append(lines, "  "+d)
		}
	}
	if len(p.Unused) > 0 {
		return diag.New("checkpoint/rename", "the checkpoint of epoch %d has no step, source or sink %s to rename", p.Epoch, strings.Join(p.Unused, ", ")).
			WithHint("--rename old=new: old is the name in the checkpoint, which gorge checkpoint inspect shows")
	}
	if len(lines) == 0 {
		return nil
	}
	err := diag.New("checkpoint/mismatch", "the checkpoint of epoch %d does not fit the pipeline: %d incompatible, %d would be lost", p.Epoch, wrong, lost).
		WithCause(errors.New(strings.Join(lines, "\n")))
	const fresh = "--fresh starts without the checkpoint"
	if lost > 0 {
		return err.WithHint("--rename old=new tells the new name of a part, --drop-state lets go of what would be lost; " + fresh)
	}
	return err.WithHint("give an incompatible part another name and let go of what it had by --drop-state; " + fresh)
}

// String returns a table for people.
func (p *StatePlan) String() string {
	width := 0
	for _, m := range p.Matches {
		width = max(width, utf8.RuneCountInString(m.shown()))
	}
	var b strings.Builder
	for _, m := range p.Matches {
		fmt.Fprintf(&b, "%-6s  %-*s  %s\n", m.What, width, m.shown(), m.Fate)
		for _, d := range m.Detail {
			fmt.Fprintf(&b, "          %s\n", d)
		}
	}
	return b.String()
}

// shown returns the name of the part, and the one it had.
func (m *Match) shown() string {
	if m.Stored != "" && m.Stored != m.Name {
		return m.Name + " (was " + m.Stored + ")"
	}
	return m.Name
}

// Names returns the names in the job by those in the checkpoint, of one kind of part,
// for what is kept.
func (p *StatePlan) Names(what string) map[string]string {
	out := map[string]string{}
	for _, m := range p.Matches {
		if m.What == what && m.Fate == Kept {
			out[m.Stored] = m.Name
		}
	}
	return out
}
