//go:build seeded

package file

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/failpoint"
)

// bugs are the seeded bugs of this package.
var bugs = []string{
	"file-truncation-forgotten", "file-not-synced", "file-name-not-synced", "file-renamed-before-decision",
	"file-part-not-synced", "file-pending-name-not-synced", "file-part-renamed-before-decision", "file-folders-synced-in-wrong-order",
}

// TestSeededBugsAreCaught runs the power cuts with each bug switched on.
func TestSeededBugsAreCaught(t *testing.T) {
	if os.Getenv(failpoint.BugVariable) != "" {
		t.Skip("this is one of the runs with a bug")
	}
	for _, bug := range bugs {
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPowerLoss$/^(file|parts)$", "-test.v")
		c.Env = append(os.Environ(), failpoint.BugVariable+"="+bug)
		out, err := c.CombinedOutput()
		if err == nil {
			t.Errorf("%s is not caught", bug)
		}
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "are wrong") && !strings.Contains(line, " 0 of ") {
				t.Logf("%s: %s", bug, strings.TrimSpace(line))
			}
		}
	}
}
