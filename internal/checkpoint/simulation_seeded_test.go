//go:build seeded

package checkpoint_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/failpoint"
)

// seededBugs are the bugs of the coordinator and of the driver of the simulation.
var seededBugs = []string{
	"checkpoint-persist-before-all-passed",
	"checkpoint-decide-after-failed-persist",
	"checkpoint-commit-before-decision",
	"checkpoint-commit-after-unknown-decision",
	"checkpoint-finish-before-commit",
	"checkpoint-not-full-after-abandon",
	"checkpoint-barrier-before-drained",
	"simulation-forget-output-of-abandoned",
	"simulation-names-of-abandoned-left-free",
	"simulation-recover-before-opening",
	"simulation-finished-is-not-recovered",
}

// TestSimulationCatchesSeededBugs runs the simulation in processes of its own, each with one bug switched on.
func TestSimulationCatchesSeededBugs(t *testing.T) {
	if os.Getenv(failpoint.BugVariable) != "" {
		t.Skip("a bug is on already")
	}
	for _, bug := range seededBugs {
		t.Run(bug, func(t *testing.T) {
			c := exec.Command(os.Args[0], "-test.run=^TestSimulation$", "-test.v")
			c.Env = append(os.Environ(), failpoint.BugVariable+"="+bug)
			out, err := c.CombinedOutput()
			if _, after, ok := strings.Cut(string(out), "_test.go:"); ok && err != nil && strings.Contains(string(out), "seed ") {
				line, _, _ := strings.Cut(after, "\n")
				t.Logf("caught: %.300s", line)
				return
			}
			t.Errorf("not caught (%v):\n%s", err, out)
		})
	}
}
