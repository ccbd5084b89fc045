package repotest

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// goFile is one parsed Go file.
type goFile struct {
	name      string // path from the root of the tree
	ast       *ast.File
	lines     int
	test      bool
	generated bool
}

// goPackage is the Go files of one folder.
type goPackage struct {
	dir   string // path from the root, "internal/batch"
	files []*goFile
}

// tree is the source tree under test.
type tree struct {
	module   string
	fset     *token.FileSet
	packages []*goPackage
	texts    map[string][]byte // every text file by path
	requires []string          // direct modules of go.mod
}

// finding is one breach of a rule: where, and what to do.
type finding struct{ where, what string }

// skipped folders hold what make builds, or inputs of tests that are broken on purpose.
func skipped(name string) bool {
	switch name {
	case "bin", "dist", "state", "gorge-data": // of the root
		return true
	}
	switch base := path.Base(name); base {
	case "testdata", "node_modules", "__pycache__":
		return true
	default:
		return len(base) > 1 && base[0] == '.' && base != ".ci"
	}
}

// load reads a tree. Go files that do not parse are the compiler's business.
func load(fsys fs.FS) (*tree, error) {
	t := &tree{fset: token.NewFileSet(), texts: map[string][]byte{}}
	byDir := map[string]*goPackage{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && skipped(name) {
				return fs.SkipDir
			}
			return nil
		}
		return t.add(fsys, name, byDir)
	})
	if err != nil {
		return nil, err
	}
	for _, p := range byDir {
		t.packages = append(t.packages, p)
	}
	sort.Slice(t.packages, func(i, j int) bool { return t.packages[i].dir < t.packages[j].dir })
	t.readGoMod(string(t.texts["go.mod"]))
	return t, nil
}

// readGoMod takes the module path and the direct requirements out of go.mod.
func (t *tree) readGoMod(text string) {
	for line := range strings.Lines(text) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "require ")
		words := strings.Fields(line)
		switch {
		case len(words) == 2 && words[0] == "module":
			t.module = words[1]
		case len(words) == 2 && strings.HasPrefix(words[1], "v"):
			t.requires = append(t.requires, words[0])
		}
	}
}

// maxText is the largest file that counts as text; data files are beyond it.
const maxText = 1 << 20

func (t *tree) add(fsys fs.FS, name string, byDir map[string]*goPackage) error {
	info, err := fs.Stat(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // gone meanwhile
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() > maxText {
		return nil // a socket, a device or data: not source
	}
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	if bytes.IndexByte(text, 0) >= 0 {
		return nil // binary
	}
	t.texts[name] = text
	if path.Ext(name) != ".go" {
		return nil
	}
	parsed, err := parser.ParseFile(t.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("parse: %w", err)
	}
	dir := path.Dir(name)
	p := byDir[dir]
	if p == nil {
		p = &goPackage{dir: dir}
		byDir[dir] = p
	}
	p.files = append(p.files, &goFile{
		name: name, ast: parsed, lines: bytes.Count(text, []byte("\n")),
		test: strings.HasSuffix(name, "_test.go"), generated: ast.IsGenerated(parsed),
	})
	return nil
}

// code returns the files of the package that are not tests.
func (p *goPackage) code() []*goFile {
	var out []*goFile
	for _, f := range p.files {
		if !f.test {
			out = append(out, f)
		}
	}
	return out
}

// imports returns the import paths of a file.
func (f *goFile) imports() []string {
	var out []string
	for _, s := range f.ast.Imports {
		if p, err := strconv.Unquote(s.Path.Value); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// local returns the folder of an import path of this module, or "".
func (t *tree) local(importPath string) string {
	rest, ok := strings.CutPrefix(importPath, t.module+"/")
	if !ok {
		return ""
	}
	return rest
}

// at formats a position for a finding.
func (t *tree) at(pos token.Pos) string {
	p := t.fset.Position(pos)
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// root is the folder of go.mod, above this package.
const root = "../.."

var loadRepository = sync.OnceValues(func() (*tree, error) { return load(os.DirFS(root)) })

// check runs a rule over the repository and reports each finding.
func check(t *testing.T, rule func(*tree) []finding) {
	t.Helper()
	repo, err := loadRepository()
	if err != nil {
		t.Fatal(err)
	}
	if repo.module == "" || len(repo.packages) < 5 {
		t.Fatalf("found module %q with %d packages under %s: the rules look at the wrong folder", repo.module, len(repo.packages), root)
	}
	for _, f := range rule(repo) {
		t.Errorf("%s: %s", f.where, f.what)
	}
}
