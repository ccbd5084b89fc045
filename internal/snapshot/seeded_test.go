//go:build seeded

package snapshot

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/failpoint"
)

// TestSeededBugsAreCaught runs the tests in processes of their own, each with one bug switched on.
func TestSeededBugsAreCaught(t *testing.T) {
	if os.Getenv(failpoint.BugVariable) != "" {
		t.Skip("a bug is on already")
	}
	for _, bug := range []string{
		"snapshot-empty-base-is-not-written", "snapshot-pane-of-another-life",
		"snapshot-cut-after-a-lost-one-is-not-full", "snapshot-new-pane-keeps-its-birth",
	} {
		t.Run(bug, func(t *testing.T) {
			c := exec.Command(os.Args[0], "-test.run=Restored|Chain|Base|Written", "-rapid.nofailfile", "-rapid.shrinktime=0s", "-rapid.checks=300")
			c.Env = append(os.Environ(), failpoint.BugVariable+"="+bug)
			if out, err := c.CombinedOutput(); err == nil || !strings.Contains(string(out), "--- FAIL") {
				t.Errorf("not caught (%v):\n%s", err, out)
			}
		})
	}
}
