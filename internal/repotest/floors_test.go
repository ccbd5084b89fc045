package repotest

import (
	"fmt"
	"path"
	"strings"
	"testing"
)

// floor is a level of the house. A package imports its own floor and lower ones,
// with the exceptions that floorOf's callers state.
type floor int

const (
	vocabulary floor = iota + 1
	contracts
	operators
	runtime
	edges
	tests // suites and harnesses, imported by tests only
)

func (f floor) String() string {
	return [...]string{"?", "vocabulary", "contracts", "operator", "runtime", "edges", "tests"}[f]
}

// floors places every folder below internal/. A folder takes the place of the
// nearest folder above it, except below a contract: there live its
// implementations, on the edges.
var floors = map[string]floor{
	"diag": vocabulary, "spec": vocabulary, "delivery": vocabulary, "batch": vocabulary, "record": vocabulary,
	"keygroup": vocabulary, "watermark": vocabulary, "window": vocabulary, "agg": vocabulary, "expr": vocabulary,
	"plan": vocabulary, "deadletter": vocabulary,

	// the events of benchmarks, tests and the generate source
	"workload": vocabulary,

	// streams of bytes, shared by the connectors
	"compress": contracts,

	"failpoint": contracts, "snapshot": contracts, "journal": contracts,

	"codec": contracts, "state": contracts, "checkpoint": contracts, "connector": contracts, "udf": contracts,

	"operator": operators,

	"exchange": runtime, "task": runtime, "job": runtime,

	"server": edges, "query": edges,

	"testkit": tests, "repotest": tests,
}

// floorOf returns the floor of a folder of the module and whether it is placed.
func floorOf(dir string) (floor, bool) {
	if dir == "python" || dir == "api" {
		return vocabulary, true // embedded files: they are data
	}
	inside, ok := strings.CutPrefix(dir, "internal/")
	if !ok {
		return edges, true // cmd, bench, test, examples
	}
	top, below, nested := strings.Cut(inside, "/")
	f, ok := floors[top]
	if strings.HasSuffix(below, "test") {
		return tests, ok // a conformance suite: codec/codectest
	}
	if ok && nested && f == contracts {
		return edges, true
	}
	return f, ok
}

// contractOf returns the contract that a folder implements: "codec" for internal/codec/json.
func contractOf(dir string) string {
	inside, ok := strings.CutPrefix(dir, "internal/")
	if !ok {
		return ""
	}
	top, _, nested := strings.Cut(inside, "/")
	if nested && floors[top] == contracts {
		return top
	}
	return ""
}

func floorRule(t *tree) []finding {
	var out []finding
	for _, p := range t.packages {
		from, ok := floorOf(p.dir)
		if !ok {
			out = append(out, finding{p.dir, "the package stands on no floor: add its folder to the table floors in internal/repotest/floors_test.go, as low as its imports allow"})
			continue
		}
		for _, f := range p.code() {
			for _, imp := range f.imports() {
				if to := t.local(imp); to != "" && to != p.dir {
					if why := forbidden(p.dir, from, to); why != "" {
						out = append(out, finding{f.name, fmt.Sprintf("imports %s, but %s", to, why)})
					}
				}
			}
		}
		out = append(out, planAndOperator(t, p)...)
	}
	return out
}

// forbidden returns why a package may not import another, or "".
func forbidden(dir string, from floor, to string) string {
	target, ok := floorOf(to)
	if !ok {
		return "" // reported where it stands
	}
	mine, theirs := contractOf(dir), contractOf(to)
	switch {
	case from == tests:
		return ""
	case target == tests:
		return "suites and harnesses are for tests: move the import into a _test.go file"
	case target > from:
		return fmt.Sprintf("%s is above %s: pass what is needed from above, or move the shared part down", target, from)
	case from == operators && to == "internal/plan":
		return "operators never see the plan: internal/job turns its nodes into operators"
	case mine != "" && theirs != "" && !strings.HasPrefix(to+"/", path.Dir(dir)+"/"):
		return "implementations of contracts do not know each other: use the contract, and let cmd put them together"
	case mine != "" && theirs == mine && !family(dir, to):
		return "implementations of contracts do not know each other: move what they share into the contract's package"
	case mine != "" && target >= operators && theirs == "":
		return "an implementation knows contracts and vocabulary only, never operators or the runtime"
	}
	return ""
}

// family reports whether one folder lies in the other, or both belong to the
// Python bridge, which is one implementation in several rooms.
func family(a, b string) bool {
	return strings.HasPrefix(b, a+"/") || strings.HasPrefix(a, b+"/") || contractOf(a) == "udf" && contractOf(b) == "udf"
}

// planAndOperator holds that internal/job alone knows both.
func planAndOperator(t *tree, p *goPackage) []finding {
	if p.dir == "internal/job" {
		return nil
	}
	seen := map[string]bool{}
	for _, f := range p.code() {
		for _, imp := range f.imports() {
			seen[t.local(imp)] = true
		}
	}
	if seen["internal/plan"] && seen["internal/operator"] {
		return []finding{{p.dir, "imports both plan and operator: only internal/job turns plan nodes into operators"}}
	}
	return nil
}

func TestPackagesImportOnlyLowerFloors(t *testing.T) { check(t, floorRule) }
