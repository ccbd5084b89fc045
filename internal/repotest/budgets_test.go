package repotest

import (
	"bytes"
	"fmt"
	"go/ast"
	"path"
	"sort"
	"strings"
	"testing"
)

// measured is the length of one file or function.
type measured struct {
	where string
	lines int
}

// budget bounds lengths: no one above most, and 95 of 100 at or below usual.
type budget struct {
	what        string
	usual, most int
	advice      string
}

var (
	fileBudget     = budget{"file", 500, 800, "split it by role"}
	functionBudget = budget{"function", 45, 100, "name the steps as functions of their own"}
)

func (b budget) check(all []measured) []finding {
	sort.Slice(all, func(i, j int) bool { return all[i].lines > all[j].lines })
	var out []finding
	for _, m := range all {
		if m.lines > b.most {
			out = append(out, finding{m.where, fmt.Sprintf("the %s has %d lines, at most %d: %s", b.what, m.lines, b.most, b.advice)})
		}
	}
	// The longest five of a hundred may exceed the usual length.
	if n := len(all) / 20; len(all) > n && all[n].lines > b.usual {
		worst := make([]string, 0, n+1)
		for _, m := range all[:min(n+1, 12)] {
			worst = append(worst, fmt.Sprintf("%s (%d)", m.where, m.lines))
		}
		out = append(out, finding{"the tree", fmt.Sprintf("more than 5 of 100 %ss have over %d lines (95th percentile %d): %s, beginning with %s",
			b.what, b.usual, all[n].lines, b.advice, strings.Join(worst, ", "))})
	}
	return out
}

// sourceExtensions are the languages under the file budget.
var sourceExtensions = map[string]bool{".go": true, ".py": true, ".sh": true, ".ts": true, ".tsx": true, ".js": true}

func fileRule(t *tree) []finding {
	generated := map[string]bool{}
	for _, p := range t.packages {
		for _, f := range p.files {
			generated[f.name] = f.generated
		}
	}
	var all []measured
	for name, text := range t.texts {
		if sourceExtensions[path.Ext(name)] && !generated[name] {
			all = append(all, measured{name, bytes.Count(text, []byte("\n"))})
		}
	}
	return fileBudget.check(all)
}

func functionRule(t *tree) []finding {
	var all []measured
	for _, p := range t.packages {
		for _, f := range p.code() {
			if f.generated {
				continue
			}
			for _, d := range f.ast.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
					lines := t.fset.Position(fn.Body.End()).Line - t.fset.Position(fn.Pos()).Line + 1
					all = append(all, measured{t.at(fn.Pos()) + " " + fn.Name.Name, lines})
				}
			}
		}
	}
	return functionBudget.check(all)
}

// mainRule keeps the entry point a few lines: the work is in functions that tests can call.
func mainRule(t *tree) []finding {
	const most = 60
	if n := bytes.Count(t.texts["cmd/gorge/main.go"], []byte("\n")); n > most {
		return []finding{{"cmd/gorge/main.go", fmt.Sprintf("has %d lines, at most %d: one file per subcommand", n, most)}}
	}
	return nil
}

func TestFilesStayWithinBudget(t *testing.T)     { check(t, fileRule) }
func TestFunctionsStayWithinBudget(t *testing.T) { check(t, functionRule) }
func TestMainIsShort(t *testing.T)               { check(t, mainRule) }
