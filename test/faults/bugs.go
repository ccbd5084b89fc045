package faults

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Bug is a seeded bug of the tree.
type Bug struct {
	Name   string
	Folder string // of the package, from the root of the repository
	// Tests are the test files of the package that name it.
	Tests []string
	// Scenarios are those that catch it by kills alone, if any do.
	Scenarios []string
}

// byKills tells the scenarios that have caught a bug by kills alone. The others take
// a power cut, an error of the disk or an order of events that hardly comes by chance;
// the tests of their packages make it.
var byKills = map[string][]string{
	"checkpoint-commit-before-decision":    {"windows"},
	"checkpoint-persist-before-all-passed": {"windows"},
	"file-part-renamed-before-decision":    {"windows"},
	"file-renamed-before-decision":         {"windows"},
	"http-acknowledge-what-was-placed":     {"ingest"},
	"http-cursor-ahead-of-answer":          {"alerts"},
	"http-key-without-file":                {"alerts"},
	"http-keys-let-go-with-requests":       {"ingest"},
	"http-letters-ahead-of-cursor":         {"from-file"},
	"journal-keys-forgotten-at-start":      {"ingest"},
	"task-positions-of-later-blocks":       {"rescale"},
}

var seeded = regexp.MustCompile(`failpoint\.Bug\("([a-z0-9-]+)"\)`)

// Bugs finds the seeded bugs of the tree, sorted by name.
func Bugs(root string) ([]Bug, error) {
	found := map[string]*Bug{}
	tests := map[string]map[string]string{} // text by file, by folder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "testdata" || d.Name() == "faults") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, "_test.go") {
			if tests[folder] == nil {
				tests[folder] = map[string]string{}
			}
			tests[folder][filepath.Base(path)] = string(b)
			return nil
		}
		for _, m := range seeded.FindAllStringSubmatch(string(b), -1) {
			found[m[1]] = &Bug{Name: m[1], Folder: folder, Scenarios: byKills[m[1]]}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []Bug
	for _, name := range sortedKeys(found) {
		bug := found[name]
		for _, file := range sortedKeys(tests[bug.Folder]) {
			if strings.Contains(tests[bug.Folder][file], `"`+name+`"`) {
				bug.Tests = append(bug.Tests, file)
			}
		}
		out = append(out, *bug)
	}
	return out, nil
}

// Selftest switches on one seeded bug after the other in a binary that has them,
// and looks whether the scenarios see it. A harness that never finds anything
// proves nothing.
type Selftest struct {
	Engine *Engine // built with the tag seeded
	Bugs   []Bug
	Seed   uint64
	Rounds int // at most, of each scenario of a bug
	Kills  int
	Out    io.Writer
	// All tries every scenario on every bug, not only those that are known to catch it.
	All bool
}

// Run tries all bugs, writes a table of them and returns the names of those that
// should have been caught and were not.
func (s *Selftest) Run() (missed []string, err error) {
	fmt.Fprintf(s.Out, "| seeded bug | caught by kills | caught by tests of the package |\n|---|---|---|\n")
	for _, b := range s.Bugs {
		how, err := s.try(b)
		if err != nil {
			return missed, err
		}
		if how == "" && len(b.Scenarios) > 0 {
			missed = append(missed, b.Name)
			how = "MISSED by " + strings.Join(b.Scenarios, ", ")
		}
		var tests []string
		for _, t := range b.Tests {
			tests = append(tests, "`"+b.Folder+"/"+t+"`")
		}
		fmt.Fprintf(s.Out, "| `%s` | %s | %s |\n", b.Name, how, strings.Join(tests, ", "))
	}
	return missed, nil
}

// try runs the scenarios of a bug until one of them sees it, and says which did.
func (s *Selftest) try(b Bug) (string, error) {
	list := Scenarios()
	if !s.All {
		list = slices.DeleteFunc(list, func(sc *Scenario) bool { return !slices.Contains(b.Scenarios, sc.Name) })
	}
	if s.Engine.Python == "" {
		list = WithoutPython(list)
	}
	engine := *s.Engine
	engine.Patience = 20 * time.Second // a bug may well make it wait for ever
	engine.Env = append(slices.Clone(s.Engine.Env), "GORGE_BUG="+b.Name)
	for n := range s.Rounds {
		for _, sc := range list {
			c := &Campaign{Engine: &engine, Scenarios: []*Scenario{sc}, Seed: s.Seed + uint64(n), Rounds: 1, Kills: s.Kills, Out: io.Discard}
			res, err := c.Run()
			if err != nil {
				return "", err
			}
			for _, w := range res.Wrong {
				if err := os.RemoveAll(w.Dir); err != nil {
					return "", err
				}
			}
			if len(res.Wrong) > 0 {
				w := res.Wrong[0]
				first, _, _ := strings.Cut(w.Err.Error(), "\n")
				return fmt.Sprintf("%s, seed %d: %s", sc.Name, w.Seed, clip(strings.ReplaceAll(first, "|", `\|`))), nil
			}
		}
	}
	return "", nil
}

func clip(s string) string { return s[:min(len(s), 160)] }
