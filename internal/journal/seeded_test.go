package journal

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// bugs are the seeded bugs of the package, and the test that has to catch each.
var bugs = map[string]string{
	"journal-acknowledge-before-sync":        "TestNoPowerCutLosesWhatWasAcknowledged",
	"journal-segment-without-directory-sync": "TestNoPowerCutLosesWhatWasAcknowledged",
	"journal-last-segment-taken-as-it-is":    "TestNoKillTakesBackWhatWasServed",
	"journal-trim-too-much":                  "TestNoPowerCutLosesWhatWasAcknowledged",
	"journal-keys-forgotten-at-trim":         "TestNoPowerCutLosesWhatWasAcknowledged",
	"journal-keys-forgotten-at-start":        "TestNoPowerCutLosesWhatWasAcknowledged",
}

// TestSeededBugsAreCaught builds the tests with the bugs in and switches on one at a time.
func TestSeededBugsAreCaught(t *testing.T) {
	if os.Getenv("GORGE_BUG") != "" {
		t.Skip("this is a run with a bug")
	}
	binary := filepath.Join(t.TempDir(), "journal.test")
	if out, err := exec.Command("go", "test", "-c", "-tags", "seeded", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := func(bug, test string) (string, error) {
		c := exec.Command(binary, "-test.run=^"+test+"$")
		c.Env = append(os.Environ(), "GORGE_BUG="+bug)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	if out, err := run("none", "TestNoKillTakesBackWhatWasServed"); err != nil {
		t.Errorf("without a bug: %v\n%s", err, out)
	}
	for bug, test := range bugs {
		out, err := run(bug, test)
		if err == nil || !strings.Contains(out, "--- FAIL: "+test) {
			t.Errorf("%s is not caught by %s: %v\n%.2000s", bug, test, err, out)
		}
	}
}
