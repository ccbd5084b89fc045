// Package testkit is what tests of several packages share: text scripts of
// behaviour over time, rows as text, and a recorder of what operators emit.
//
// It is imported by tests only.
package testkit

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write what the scripts print into their files")

// Step is one command of a script: a verb with name=value arguments on the first
// line, and the lines below it.
type Step struct {
	Verb  string
	Args  map[string]string
	Lines []string
	Place string // file:line
}

// Arg returns an argument or a default.
func (s *Step) Arg(name, def string) string {
	if v, ok := s.Args[name]; ok {
		return v
	}
	return def
}

// Scripts runs every script of the glob as a subtest. A script is steps, each
// followed by a line "----", what the step must print, and an empty line; lines
// that begin with # tell the story. start makes a fresh runner per script; the
// runner returns what a step prints.
func Scripts(t *testing.T, glob string, start func(t *testing.T) func(*Step) string) {
	t.Helper()
	files, err := filepath.Glob(glob)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts at %s (%v)", glob, err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), filepath.Ext(f)), func(t *testing.T) { runScript(t, f, start(t)) })
	}
}

func runScript(t *testing.T, file string, run func(*Step) string) {
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	lines := strings.Split(string(src), "\n")
	for i := 0; i < len(lines); {
		if l := strings.TrimSpace(lines[i]); l == "" || strings.HasPrefix(l, "#") {
			if i < len(lines)-1 {
				out.WriteString(lines[i] + "\n")
			}
			i++
			continue
		}
		step := &Step{Place: fmt.Sprintf("%s:%d", file, i+1), Args: map[string]string{}}
		from := i
		for i < len(lines) && lines[i] != "----" {
			i++
		}
		if i == len(lines) {
			t.Fatalf("%s: no ---- behind the step", step.Place)
		}
		step.parse(lines[from:i])
		out.WriteString(strings.Join(lines[from:i+1], "\n") + "\n")
		i++
		wantFrom := i
		for i < len(lines) && lines[i] != "" {
			i++
		}
		want := strings.Join(lines[wantFrom:i], "\n")
		got := strings.TrimRight(run(step), "\n")
		if got != want && !*rewrite {
			t.Errorf("%s: %s printed\n%s\nwant\n%s", step.Place, step.Verb, got, want)
		}
		if got != "" {
			out.WriteString(got + "\n")
		}
	}
	if *rewrite {
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *Step) parse(lines []string) {
	words := strings.Fields(lines[0])
	s.Verb = words[0]
	for _, w := range words[1:] {
		k, v, _ := strings.Cut(w, "=")
		s.Args[k] = v
	}
	s.Lines = lines[1:]
}
