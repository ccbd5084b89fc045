package repotest

import (
	"fmt"
	"go/ast"
	"strings"
	"testing"
)

// impureImports are packages that pure code has no business with.
var impureImports = map[string]string{
	"log": "logging", "log/slog": "logging", "os": "the machine", "os/exec": "the machine", "net": "the network",
	"net/http": "the network", "os/signal": "the machine", "syscall": "the machine", "math/rand": "chance without a seed",
}

// impureCalls are selectors that pure code does not use.
var impureCalls = map[string]string{
	"time.Now": "a clock", "time.Since": "a clock", "time.Until": "a clock", "time.After": "a clock", "time.AfterFunc": "a clock",
	"time.Sleep": "a clock", "time.Tick": "a clock", "time.NewTimer": "a clock", "time.NewTicker": "a clock",
	"fmt.Print": "standard output", "fmt.Printf": "standard output", "fmt.Println": "standard output",
}

// pure reports whether the folder may hold neither clock, goroutine nor logging.
func pure(dir string) bool {
	f, ok := floorOf(dir)
	return ok && (f == vocabulary || f == operators) && strings.HasPrefix(dir, "internal/")
}

func purityRule(t *tree) []finding {
	const advice = "the floors vocabulary and operator compute only: take it as an argument from the runtime"
	var out []finding
	for _, p := range t.packages {
		if !pure(p.dir) {
			continue
		}
		for _, f := range p.code() {
			for _, imp := range f.imports() {
				if what := impureImports[imp]; what != "" {
					out = append(out, finding{f.name, fmt.Sprintf("imports %s (%s); %s", imp, what, advice)})
				}
			}
			ast.Inspect(f.ast, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.GoStmt:
					out = append(out, finding{t.at(n.Pos()), "starts a goroutine; " + advice})
				case *ast.SelectorExpr:
					if what := impureCalls[selector(n)]; what != "" {
						out = append(out, finding{t.at(n.Pos()), fmt.Sprintf("uses %s (%s); %s", selector(n), what, advice)})
					}
				}
				return true
			})
		}
	}
	return out
}

// selector returns "package.Name" of a selector on a plain identifier, or "".
func selector(s *ast.SelectorExpr) string {
	if x, ok := s.X.(*ast.Ident); ok {
		return x.Name + "." + s.Sel.Name
	}
	return ""
}

// uses reports whether any of the files uses the selector.
func uses(files []*goFile, want string) bool {
	found := false
	for _, f := range files {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && selector(s) == want {
				found = true
			}
			return !found
		})
	}
	return found
}

func goroutineLeakRule(t *tree) []finding {
	var out []finding
	for _, p := range t.packages {
		starts := ""
		for _, f := range p.code() {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				if g, ok := n.(*ast.GoStmt); ok && starts == "" {
					starts = t.at(g.Pos())
				}
				return starts == ""
			})
		}
		if starts != "" && !uses(p.tests(), "goleak.VerifyTestMain") && !uses(p.tests(), "goleak.VerifyNone") && !uses(p.tests(), "goleak.Find") {
			out = append(out, finding{starts, "the package starts goroutines and does not look for leaks: add func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }"})
		}
	}
	return out
}

// tests returns the test files of the package.
func (p *goPackage) tests() []*goFile {
	var out []*goFile
	for _, f := range p.files {
		if f.test {
			out = append(out, f)
		}
	}
	return out
}

func batchLeakRule(t *tree) []finding {
	var out []finding
	for _, p := range t.packages {
		if f, ok := floorOf(p.dir); ok && f == tests {
			continue // suites: their callers check
		}
		if uses(p.files, "batch.NewPool") && !uses(p.tests(), "batch.Live") && !uses(p.tests(), "testkit.CheckLive") {
			out = append(out, finding{p.dir, "the package makes batches and does not look for leaks: compare batch.Live() before and after in its tests or TestMain, or call testkit.CheckLive"})
		}
	}
	return out
}

// sleepRule: a test that sleeps is slow when it is right and wrong when the machine is slow.
func sleepRule(t *tree) []finding {
	var out []finding
	for _, p := range t.packages {
		for _, f := range p.tests() {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && selector(s) == "time.Sleep" {
					out = append(out, finding{t.at(s.Pos()), "a test sleeps: wait for a condition with a deadline, a channel, or use testing/synctest"})
				}
				return true
			})
		}
	}
	return out
}

func TestPurePackagesHaveNoClockGoroutineOrLog(t *testing.T) { check(t, purityRule) }
func TestPackagesWithGoroutinesLookForLeaks(t *testing.T)    { check(t, goroutineLeakRule) }
func TestPackagesWithBatchesLookForLeaks(t *testing.T)       { check(t, batchLeakRule) }
func TestTestsDoNotSleep(t *testing.T)                       { check(t, sleepRule) }
