//go:build seeded

package checkpoint

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/failpoint"
)

// TestHistoryCatchesSeededBugs runs the tests of the history in processes of their
// own, each with one bug switched on.
func TestHistoryCatchesSeededBugs(t *testing.T) {
	if os.Getenv(failpoint.BugVariable) != "" {
		t.Skip("a bug is on already")
	}
	for _, bug := range []string{
		"checkpoint-claim-leaves-gaps", "checkpoint-claim-trusts-a-free-name",
		"checkpoint-collect-at-once", "checkpoint-collect-what-is-named",
	} {
		t.Run(bug, func(t *testing.T) {
			c := exec.Command(os.Args[0], "-test.run=Engine|GivenUp|GivenWay|BeganAnew", "-rapid.nofailfile", "-rapid.shrinktime=0s", "-rapid.checks=300")
			c.Env = append(os.Environ(), failpoint.BugVariable+"="+bug)
			if out, err := c.CombinedOutput(); err == nil || !strings.Contains(string(out), "--- FAIL") {
				t.Errorf("not caught (%v):\n%s", err, out)
			}
		})
	}
}
