package plan

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gorge-stream/gorge/internal/diag"
)

var update = flag.Bool("update", false, "rewrite the expected outputs in testdata")

// golden compares got with a file of testdata.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test ./internal/plan -update writes it)", err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s differs (-want +got); go test ./internal/plan -update rewrites it:\n%s", path, d)
	}
}

// testEnv are the environment variables of the golden files.
func testEnv(name string) (string, bool) {
	v, ok := map[string]string{"PLAIN": "plain", "LIST": "[a, b]", "EMPTY": "", "COLUMN": "temperature"}[name]
	return v, ok
}

// flags returns the --set flags of a golden file: its lines "# --set a.b=c".
func flags(src string) []string {
	var out []string
	for line := range strings.Lines(src) {
		if f, ok := strings.CutPrefix(line, "# --set "); ok {
			out = append(out, strings.TrimRight(f, "\r\n"))
		}
	}
	return out
}

func compileFile(t *testing.T, path string) (*Plan, string) {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, warnings, err := Compile(filepath.Base(path), src, testCatalog(), Options{Env: testEnv, Set: flags(string(src))})
	var b strings.Builder
	b.WriteString(diag.Format(err))
	for _, w := range warnings {
		b.WriteString("warning " + diag.Format(w))
	}
	if err != nil {
		return nil, b.String()
	}
	return p, b.String()
}

func goldenFiles(t testing.TB, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	return files
}

func TestPlansAreExplained(t *testing.T) {
	for _, path := range goldenFiles(t, "testdata/plans/*.yaml") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			p, messages := compileFile(t, path)
			if p == nil {
				t.Fatal(messages)
			}
			base := strings.TrimSuffix(path, ".yaml")
			golden(t, base+".txt", messages+p.Text())
			if _, err := os.Stat(base + ".json"); err == nil || *update && filepath.Base(base) == "city-sensors" {
				js, err := p.JSON()
				if err != nil {
					t.Fatal(err)
				}
				golden(t, base+".json", string(js))
				golden(t, base+".dot", p.DOT())
			}
		})
	}
}

func TestWrongFilesAreRefused(t *testing.T) {
	for _, path := range goldenFiles(t, "testdata/errors/*.yaml") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			p, messages := compileFile(t, path)
			if p != nil {
				t.Fatalf("the file passes:\n%s%s", messages, p.Text())
			}
			golden(t, strings.TrimSuffix(path, ".yaml")+".txt", messages)
		})
	}
}
