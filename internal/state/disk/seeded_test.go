//go:build seeded

package disk

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/failpoint"
)

// TestSeededBugsAreCaught runs the suite of cuts once per bug that is seeded in
// this package: it must fail.
func TestSeededBugsAreCaught(t *testing.T) {
	for _, bug := range []string{
		"disk-tombstone-forgotten", "disk-evicted-change-forgotten",
		"disk-stored-row-beside-copy", "disk-dropped-rows-stay",
	} {
		t.Run(bug, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestDurable$", "-test.failfast", "-rapid.nofailfile")
			cmd.Env = append(os.Environ(), failpoint.BugVariable+"="+bug)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestDurable") && !strings.Contains(string(out), "panic: ") {
				t.Errorf("not caught: %v\n%s", err, out)
			}
		})
	}
}
