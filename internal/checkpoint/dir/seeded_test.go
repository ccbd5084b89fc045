package dir

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// bugs are plausible mistakes in this package, and the test that catches each.
var bugs = map[string]string{
	"checkpoint-dir-object-not-synced":  "TestAPowerCutAtEveryOperation",
	"checkpoint-dir-name-not-synced":    "TestAPowerCutAtEveryOperation",
	"checkpoint-dir-claim-renames-over": "TestAPowerCutAtEveryOperation",
	"checkpoint-dir-open-not-synced":    "TestAKillAndThenAPowerCut",
	"checkpoint-dir-loser-not-synced":   "TestALoserIsToldOnlyWhatStays",
}

// The tests of crashes would be of no use if they let wrong code pass.
func TestSeededBugsAreCaught(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "seeded.test")
	if out, err := exec.Command("go", "test", "-c", "-tags", "seeded", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := func(bug, test string) error {
		c := exec.Command(binary, "-test.run=^"+test+"$", "-test.timeout=5m")
		c.Env = append(os.Environ(), "GORGE_BUG="+bug)
		out, err := c.CombinedOutput()
		if err != nil && !bytes.Contains(out, []byte("--- FAIL: "+test)) {
			t.Errorf("%s: %v\n%s", bug, err, out) // a panic or a hang is no verdict
		}
		return err
	}
	for bug, test := range bugs {
		if run(bug, test) == nil {
			t.Errorf("%s was not caught by %s", bug, test)
		}
		if err := run("", test); err != nil {
			t.Errorf("without a bug %s fails: %v", test, err)
		}
	}
}
