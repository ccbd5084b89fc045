package docs

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/test/engine"
)

func TestMain(m *testing.M) { os.Exit(engine.Main(m)) }

// block is one marked block of a page.
type block struct {
	kind, name string // "check" or "file" with the file name, "run" or "output"
	text       string
	line       int
}

var fence = regexp.MustCompile("^```(\\w+) ((?:check|file)=\\S+|run|output)\\s*$")

// blocks returns the marked blocks of a page.
func blocks(page string) []block {
	var out []block
	var open *block
	line := 0
	for l := range strings.Lines(page) {
		line++
		switch m := fence.FindStringSubmatch(strings.TrimRight(l, "\n")); {
		case open != nil && strings.HasPrefix(l, "```"):
			out = append(out, *open)
			open = nil
		case open != nil:
			open.text += l
		case m != nil:
			kind, name, _ := strings.Cut(m[2], "=")
			open = &block{kind: kind, name: name, line: line}
		}
	}
	return out
}

func TestPagesDoWhatTheySay(t *testing.T) {
	root := engine.Root()
	ran := 0
	for _, page := range pages(t, root) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		session := blocks(string(text))
		if len(session) == 0 {
			continue
		}
		ran++
		name, err := filepath.Rel(root, page)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) { play(t, session) })
	}
	if ran == 0 {
		t.Fatal("no page has a marked block")
	}
}

// pages lists the Markdown files of the documentation.
func pages(t *testing.T, root string) []string {
	out := []string{filepath.Join(root, "README.md"), filepath.Join(root, "CONTRIBUTING.md")}
	for _, folder := range []string{"docs", "examples"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && filepath.Ext(path) == ".md" {
				out = append(out, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// play runs the blocks of one page in order; it stops at the first that fails,
// for the next ones build on it.
func play(t *testing.T, session []block) {
	dir := t.TempDir()
	python := "GORGE_PYTHON=" + engine.Python(t)
	printed := ""
	for _, b := range session {
		if b.kind == "file" { // a page may explain a pipeline before it shows the files that it needs
			save(t, dir, b)
		}
	}
	for _, b := range session {
		switch b.kind {
		case "check":
			save(t, dir, b)
			if r := engine.Run(t, engine.Command{Args: []string{"check", b.name}, Dir: dir, Env: []string{python}}); r.Code != 0 {
				t.Fatalf("line %d: gorge check %s ended with %d\n%s%s", b.line, b.name, r.Code, r.Stdout, r.Stderr)
			}
		case "run":
			cmd := exec.Command("sh", "-eu", "-c", b.text)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), python, "PATH="+filepath.Dir(engine.Binary(t))+string(os.PathListSeparator)+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("line %d: %v\n%s", b.line, err, out)
			}
			printed = string(out)
		case "output":
			for l := range strings.Lines(b.text) {
				if !strings.Contains(printed, l) {
					t.Fatalf("line %d: %q was not printed; printed was\n%s", b.line, strings.TrimRight(l, "\n"), printed)
				}
			}
		}
	}
}

// save writes a named block into the folder of the session.
func save(t *testing.T, dir string, b block) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, b.name), []byte(b.text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestBlocks(t *testing.T) {
	got := blocks("# T\n```yaml check=a.yaml\nname: x\n```\n```yaml\nignored: 1\n```\n```sh run\nls\n```\n```text output\nx\ny\n```\n")
	want := []block{{"check", "a.yaml", "name: x\n", 2}, {"run", "", "ls\n", 8}, {"output", "", "x\ny\n", 11}}
	if len(got) != len(want) {
		t.Fatalf("%+v, want %+v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%+v, want %+v", got[i], want[i])
		}
	}
}
