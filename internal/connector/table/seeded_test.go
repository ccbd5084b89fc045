//go:build seeded

package table

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/failpoint"
)

// TestSeededBugsAreCaught runs the crash sweeps once for each bug that this build
// can be given, and expects them to fail by what they find.
func TestSeededBugsAreCaught(t *testing.T) {
	for _, bug := range []string{
		"table-applied-before-decision",
		"table-staged-without-sync",
		"table-witness-without-sync",
		"table-staged-rows-deleted-first",
		"table-epoch-outside-of-the-batch",
		"table-leftovers-kept",
	} {
		t.Run(bug, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run", "^TestCrashSweep$", "-test.v")
			cmd.Env = append(os.Environ(), failpoint.BugVariable+"="+bug)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "states are wrong") || strings.Contains(string(out), " 0 of ") {
				t.Errorf("the sweep did not catch it: %v\n%.2000s", err, out)
			}
			t.Log(summary(string(out)))
		})
	}
}

// summary is the line that counts.
func summary(out string) string {
	for line := range strings.Lines(out) {
		if strings.Contains(line, "states are wrong") {
			return strings.TrimSpace(line)
		}
	}
	return "no count"
}
