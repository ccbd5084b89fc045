package plan

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/diag"
)

// codesOf returns the codes of an error in order.
func codesOf(err error) []diag.Code {
	var out []diag.Code
	var l diag.List
	if errors.As(err, &l) {
		for _, e := range l {
			out = append(out, e.Code)
		}
	}
	return out
}

func TestWhatIsTooLargeIsRefused(t *testing.T) {
	head := "name: p\nsources: {a: {file: x, format: json, schema: {v: int64}}}\nsinks: {out: {from: a, stdout: {}}}\n"
	var many, keys strings.Builder
	for i := range maxParts {
		fmt.Fprintf(&many, "  s%d: {from: a, where: v > 1}\n", i)
	}
	for i := range maxErrors * 3 {
		fmt.Fprintf(&keys, "k%d: 1\n", i)
	}
	for name, src := range map[string]string{
		"bytes":         head + strings.Repeat("# comment\n", maxFile/10),
		"tokens":        head + "steps: [" + strings.Repeat("a,", maxTokens/2) + "a]",
		"flow depth":    head + "steps: " + strings.Repeat("[", 1000),
		"dash depth":    head + "steps:\n" + strings.Repeat("- ", 1000),
		"parts":         head + "steps:\n" + many.String(),
		"substitutions": head + "steps: {s: {from: a, where: \"" + strings.Repeat("${BIG}", 2000) + "\"}}",
		"errors":        head + keys.String(),
	} {
		t.Run(name, func(t *testing.T) {
			big := strings.Repeat("x", 1000)
			_, _, err := Compile("p.yaml", []byte(src), testCatalog(), Options{Env: func(string) (string, bool) { return big, true }})
			codes := codesOf(err)
			if len(codes) == 0 || codes[len(codes)-1] != codeTooLarge || len(codes) > maxErrors+1 {
				t.Errorf("refused with %v", codes)
			}
		})
	}
}

// A long chain of steps must cost time by its length, not by a power of it.
func TestALongChainCompiles(t *testing.T) {
	var b strings.Builder
	b.WriteString("name: p\nsources: {a: {file: x, format: json, schema: {k: string, v: int64}}}\nsteps:\n")
	from := "a"
	for i := range maxParts - 2 {
		op := "where: v > 1"
		if i%2 == 0 {
			op = "select: {k: k, v: v + v}" // doubles what a filter below it would have to compute
		}
		fmt.Fprintf(&b, "  s%d: {from: %s, %s}\n", i, from, op)
		from = fmt.Sprintf("s%d", i)
	}
	fmt.Fprintf(&b, "sinks: {out: {from: %s, stdout: {}}}\n", from)
	p, _, err := Compile("p.yaml", []byte(b.String()), testCatalog(), Options{})
	if err != nil {
		t.Fatal(diag.Format(err))
	}
	if len(p.Nodes) != maxParts+2 { // and the sink of dead letters with its encoder
		t.Errorf("%d nodes", len(p.Nodes))
	}
}

func TestSubstitutedTextIsNeverStructure(t *testing.T) {
	src := "name: p\nsources: {a: {file: \"${X}\", format: json, schema: {v: int64}}}\nsinks: {out: {from: a, stdout: {}}}\n"
	for _, x := range []string{"{path: y}", "a\nformat: csv", "x, y: z", "${Y}", "$$", "&a", "*a", "# c"} {
		p, _, err := Compile("p.yaml", []byte(src), testCatalog(), Options{Env: func(name string) (string, bool) { return x, name == "X" }})
		if err != nil {
			t.Errorf("%q: %v", x, err)
			continue
		}
		if got := p.Nodes[0].Op.(*Source).Set.String("path"); got != x {
			t.Errorf("%q became %q", x, got)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, pattern := range []string{"testdata/plans/*.yaml", "testdata/errors/*.yaml"} {
		for _, path := range goldenFiles(f, pattern) {
			src, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(src), "sinks.out.from=s")
		}
	}
	cat := testCatalog()
	f.Fuzz(func(t *testing.T, src, set string) {
		p, warnings, err := Compile("fuzz.yaml", []byte(src), cat, Options{Env: testEnv, Set: []string{set}})
		if (p == nil) != (err != nil) {
			t.Fatalf("plan %v, error %v", p, err)
		}
		_ = diag.Format(err)
		for _, w := range warnings {
			_ = diag.Format(w)
		}
		if err != nil {
			return
		}
		_ = p.Text() + p.DOT()
		if _, err := p.JSON(); err != nil {
			t.Fatal(err)
		}
	})
}
