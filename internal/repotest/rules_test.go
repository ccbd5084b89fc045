package repotest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
)

// rules by the name that testdata uses.
var rules = map[string]func(*tree) []finding{
	"floors": floorRule, "package docs": packageDocRule, "exported docs": exportedDocRule, "links": linkRule, "interfaces": interfaceRule,
	"files": fileRule, "functions": functionRule, "main": mainRule, "purity": purityRule, "goroutine leaks": goroutineLeakRule,
	"batch leaks": batchLeakRule, "sleep": sleepRule, "names": nameRule, "marks": markRule, "paths": pathRule, "init": initRule,
	"connectors": connectorRule, "dependencies": dependencyRule,
}

// expand lets testdata hold what the rules refuse to see in a tree: marks and
// paths are written with a '~' in them, and "#100" is a hundred lines.
func expand(s string) string {
	s = strings.ReplaceAll(s, "~", "")
	return strings.ReplaceAll(s, "#100\n", strings.Repeat("_ = 0\n", 100))
}

// TestRulesFindWhatTheyLookFor runs each rule over a small tree that breaks it.
// The comment of an archive names the rule and lists what it must find, one
// "where: words" a line, no more and no less.
func TestRulesFindWhatTheyLookFor(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no trees in testdata: %v", err)
	}
	tested := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		archive := txtar.Parse(text)
		lines := strings.Split(strings.TrimSpace(string(archive.Comment)), "\n")
		name := lines[0]
		tested[name] = true
		t.Run(filepath.Base(file), func(t *testing.T) { runRule(t, rules[name], lines[1:], archive) })
	}
	for name := range rules {
		if !tested[name] {
			t.Errorf("rule %q has no tree in testdata that breaks it", name)
		}
	}
}

func runRule(t *testing.T, rule func(*tree) []finding, want []string, archive *txtar.Archive) {
	if rule == nil {
		t.Fatal("the first line names no rule")
	}
	fsys := fstest.MapFS{"go.mod": {Data: []byte("module example.org/m\n\nrequire example.org/dep v1.0.0\n")}}
	for _, f := range archive.Files {
		fsys[f.Name] = &fstest.MapFile{Data: []byte(expand(string(f.Data)))}
	}
	tr, err := load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	found := rule(tr)
	for _, w := range want {
		where, words, _ := strings.Cut(w, ": ")
		i := slices.IndexFunc(found, func(f finding) bool { return f.where == where && strings.Contains(f.what, words) })
		if i < 0 {
			t.Errorf("missing: %s", w)
			continue
		}
		found = slices.Delete(found, i, i+1)
	}
	for _, f := range found {
		t.Errorf("not wanted: %s: %s", f.where, f.what)
	}
}
