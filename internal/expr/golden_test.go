package expr

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// TestErrorsAreGolden compares what a person sees of each refused expression in testdata/errors.txt.
func TestErrorsAreGolden(t *testing.T) {
	const file = "testdata/errors.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cases := strings.Split(strings.TrimSpace(string(text)), "\n\n")
	var out strings.Builder
	out.WriteString(cases[0] + "\n")
	for _, c := range cases[1:] {
		src, _, _ := strings.Cut(c, "\n")
		out.WriteString("\n" + describe(src))
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got := out.String(); got != string(text) {
		t.Errorf("the errors changed (go test -run Golden -rewrite writes them anew):\n%s", got)
	}
}

func describe(src string) string {
	e, err := Parse(src)
	if err == nil {
		_, err = Check(e, testSchema)
	}
	bad, ok := err.(*Error)
	if !ok {
		return fmt.Sprintf("%s\n%T %v\n", src, err, err)
	}
	out := fmt.Sprintf("%s\n%s%s\n%s: %s\n", src, strings.Repeat(" ", bad.Offset), strings.Repeat("^", bad.Width), bad.Code, bad.Message)
	if bad.Hint != "" {
		out += "hint: " + bad.Hint + "\n"
	}
	return out
}
