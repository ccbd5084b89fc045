package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// errorEntry is what docs/reference/errors.md says about a code.
type errorEntry struct {
	sentences []string
	example   string
}

func (e *errorEntry) add(sentence string) {
	if sentence != "" && !slices.Contains(e.sentences, sentence) {
		e.sentences = append(e.sentences, sentence)
	}
}

// errorsPage writes the page of all error codes: the sentences are those of the
// calls that make them, the examples those of the planner's golden files.
func errorsPage(t *testing.T) []byte {
	entries := map[string]*errorEntry{}
	entry := func(code string) *errorEntry {
		if entries[code] == nil {
			entries[code] = &errorEntry{}
		}
		return entries[code]
	}
	for _, root := range []string{"../../internal", "."} {
		for _, dir := range packageDirs(t, root) {
			scanPackage(t, dir, entry)
		}
	}
	addExamples(t, entry)
	var b bytes.Buffer
	b.WriteString("# Errors\n\n<!-- Made from the code: do not edit. -->\n\n" +
		"Every refusal has a code, one sentence, the place in your file where there is one, the cause, and a hint. A code never changes its meaning.\n" +
		"Below are the sentences of each code (... stands for a value of yours) and examples of `gorge check`.\n")
	for _, code := range slices.Sorted(maps.Keys(entries)) {
		e := entries[code]
		fmt.Fprintf(&b, "\n## %s\n\n", code)
		for _, s := range e.sentences {
			fmt.Fprintf(&b, "- %s\n", s)
		}
		if e.example != "" {
			if len(e.sentences) > 0 {
				b.WriteByte('\n')
			}
			fmt.Fprintf(&b, "```text\n%s\n```\n", e.example)
		}
	}
	return b.Bytes()
}

func packageDirs(t *testing.T, root string) []string {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			if d.Name() == "testdata" {
				return filepath.SkipDir
			}
			dirs = append(dirs, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// scanPackage finds the codes in the calls and constants of one package.
func scanPackage(t *testing.T, dir string, entry func(string) *errorEntry) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	set := token.NewFileSet()
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	constants := map[string]string{}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if ok && isCodeType(v.Type) && len(v.Values) == 1 {
				code, _ := literal(v.Values[0])
				constants[v.Names[0].Name] = code
				entry(code).add(strings.TrimSpace(v.Comment.Text()))
			}
			return true
		})
	}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				scanCall(call, constants, entry)
			}
			return true
		})
	}
}

func isCodeType(e ast.Expr) bool {
	s, ok := e.(*ast.SelectorExpr)
	return ok && s.Sel.Name == "Code"
}

func literal(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(l.Value)
	return s, err == nil
}

var (
	codeText  = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9]+(-[a-z0-9]+)*$`)
	mediaType = regexp.MustCompile(`^(application|text)/`)
	quoted    = regexp.MustCompile(`%q`)
	verb      = regexp.MustCompile(`%[+#]?[0-9.*]*[a-zA-Z]`)
)

// scanCall takes the code among the arguments of a call and the first sentence behind it.
func scanCall(call *ast.CallExpr, constants map[string]string, entry func(string) *errorEntry) {
	code := ""
	for _, arg := range call.Args {
		text, ok := literal(arg)
		switch id, isName := arg.(*ast.Ident); {
		case code == "" && isName:
			code = constants[id.Name]
		case code == "" && ok && codeText.MatchString(text) && !mediaType.MatchString(text) && makesError(call):
			code = text
			entry(code)
		case code != "" && ok && strings.Contains(text, " "):
			text = verb.ReplaceAllString(quoted.ReplaceAllString(text, `"..."`), "...")
			entry(code).add(text)
			return
		}
	}
}

// makesError reports whether the call is one that takes a code.
func makesError(call *ast.CallExpr) bool {
	name := ""
	switch f := call.Fun.(type) {
	case *ast.Ident:
		name = f.Name
	case *ast.SelectorExpr:
		if in, ok := f.X.(*ast.Ident); ok && in.Name == "failpoint" {
			return false
		}
		name = f.Sel.Name
	}
	return name == "New" || strings.HasPrefix(name, "refuse") || strings.HasSuffix(name, "rrorf")
}

// addExamples takes the first message of each code from the golden files.
func addExamples(t *testing.T, entry func(string) *errorEntry) {
	paths, err := filepath.Glob("../../internal/plan/testdata/errors/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, message := range strings.Split(string(text), "\nerror[") {
			message = "error[" + strings.TrimPrefix(strings.TrimRight(message, "\n"), "error[")
			code, _, _ := strings.Cut(strings.TrimPrefix(message, "error["), "]")
			e := entry(code)
			own := strings.HasPrefix(filepath.Base(path), strings.TrimPrefix(code, "plan/"))
			if e.example == "" || own && !strings.Contains(e.example, strings.TrimPrefix(code, "plan/")+".yaml") {
				e.example = message
			}
		}
	}
}
