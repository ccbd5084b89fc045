package repotest

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// drawers are names that attract everything and say nothing.
var drawers = []string{"util", "utils", "common", "helper", "helpers", "types", "manager", "managers", "misc"}

func nameRule(t *tree) []finding {
	var out []finding
	for _, p := range t.packages {
		for _, n := range []string{path.Base(p.dir), strings.TrimSuffix(p.files[0].ast.Name.Name, "_test")} {
			if slices.Contains(drawers, n) {
				out = append(out, finding{p.dir, fmt.Sprintf("the name %s says nothing: name the package after what it is about", n)})
				break
			}
		}
	}
	return out
}

// The marks and paths are put together so that this file does not hold them.
var (
	marks = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`)
	paths = regexp.MustCompile(`(^|[^\w.])/(wo` + `rk|ro` + `ot|ho` + `me/[a-z]+|Us` + `ers/[a-z]+)/|\.\./sha` + `red|\bsha` + `red/(design|proto|peers|data)`)
)

// proseExtensions are the files that the rules about marks and paths read.
var proseExtensions = map[string]bool{
	".go": true, ".py": true, ".sh": true, ".md": true, ".yml": true, ".yaml": true, ".toml": true, ".json": true,
	".ts": true, ".js": true, ".html": true, ".css": true, ".txt": true, "": true, ".env": true, ".mod": true,
}

func lineRule(re *regexp.Regexp, what string) func(*tree) []finding {
	return func(t *tree) []finding {
		var out []finding
		for name, text := range t.texts {
			if !proseExtensions[path.Ext(name)] || !re.Match(text) {
				continue
			}
			n := 0
			for line := range strings.Lines(string(text)) {
				n++
				if m := re.FindString(line); m != "" {
					out = append(out, finding{fmt.Sprintf("%s:%d", name, n), fmt.Sprintf("%q: %s", strings.TrimSpace(m), what)})
				}
			}
		}
		return out
	}
}

var (
	markRule = lineRule(marks, "do it now, or open an issue and say nothing here")
	pathRule = lineRule(paths, "a path of somebody's machine: name the file from the root of the tree")
)

// initRule: registration is a visible list, not a side effect of an import.
func initRule(t *tree) []finding {
	var out []finding
	for _, p := range t.packages {
		for _, f := range p.code() {
			for _, d := range f.ast.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					out = append(out, finding{t.at(fn.Pos()), "func init runs behind the reader's back: compute in a variable, or list it in cmd/gorge/connectors.go"})
				}
			}
		}
	}
	return out
}

const connectorList = "cmd/gorge/connectors.go"

// connectorRule: every connector and format is named in one file.
func connectorRule(t *tree) []finding {
	listed := map[string]bool{}
	var out []finding
	for _, p := range t.packages {
		for _, f := range p.code() {
			for _, imp := range f.imports() {
				if f.name == connectorList {
					listed[t.local(imp)] = true
				}
			}
		}
	}
	for _, p := range t.packages {
		if isConnector(p.dir) && len(p.code()) > 0 && !listed[p.dir] {
			out = append(out, finding{p.dir, "the connector or format is not in the list of " + connectorList + ": add it there"})
		}
	}
	return out
}

// isConnector reports whether the folder holds one connector or one format.
func isConnector(dir string) bool {
	c := contractOf(dir)
	if c != "connector" && c != "codec" {
		return false
	}
	f, _ := floorOf(dir)
	return f == edges && strings.Count(dir, "/") == 2
}

const dependencyPage = "docs/dependencies.md"

// licences that may be linked into the binary or used in tests unmodified.
var licences = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0"}

var dependencyRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([^|]+) \\|")

// dependencyRule: each direct module stands in a table with its licence and its reason.
func dependencyRule(t *tree) []finding {
	var out []finding
	have := map[string]bool{}
	for _, m := range dependencyRow.FindAllStringSubmatch(string(t.texts[dependencyPage]), -1) {
		module, licence := m[1], strings.TrimSpace(m[2])
		have[module] = true
		if !slices.Contains(licences, licence) {
			out = append(out, finding{dependencyPage, fmt.Sprintf("%s has the licence %s, allowed are %s", module, licence, strings.Join(licences, ", "))})
		}
		if !slices.Contains(t.requires, module) {
			out = append(out, finding{dependencyPage, module + " is no direct requirement of go.mod any more: remove the row"})
		}
	}
	for _, r := range t.requires {
		if !have[r] {
			out = append(out, finding{"go.mod", r + " has no row in " + dependencyPage + ": add its licence and what it is used for"})
		}
	}
	return out
}

func TestNamesSayWhatThingsAre(t *testing.T)         { check(t, nameRule) }
func TestNothingIsLeftForLater(t *testing.T)         { check(t, markRule) }
func TestNoMachinePaths(t *testing.T)                { check(t, pathRule) }
func TestNothingRunsOnImport(t *testing.T)           { check(t, initRule) }
func TestConnectorsAreListedInOnePlace(t *testing.T) { check(t, connectorRule) }
func TestDependenciesHaveLicenceAndUse(t *testing.T) { check(t, dependencyRule) }
