package httpio

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// bugs are the seeded bugs, and the test that has to catch each.
var bugs = map[string]string{
	"http-acknowledge-what-was-placed": "TestNoPowerCutLosesAnAnsweredRequest",
	"http-keys-let-go-with-requests":   "TestARepetitionIsTakenOnce",
	"journal-keys-forgotten-at-start":  "TestNoPowerCutLosesAnAnsweredRequest",
	"journal-acknowledge-before-sync":  "TestNoPowerCutLosesAnAnsweredRequest",

	"http-send-before-decision":       "TestNoPowerCutLosesOrRepeatsAnAlert/0",
	"http-cursor-ahead-of-answer":     "TestNoPowerCutLosesOrRepeatsAnAlert/0",
	"http-letters-ahead-of-cursor":    "TestNoPowerCutLosesOrRepeatsAnAlert/0",
	"http-named-file-deleted":         "TestNoPowerCutLosesOrRepeatsAnAlert/0",
	"http-key-without-file":           "TestNoPowerCutLosesOrRepeatsAnAlert/0",
	"http-letters-forgotten-at-close": "TestAGracefulStopRepeatsNothing",
	"http-ledger-not-written":         "TestNoPowerCutLosesOrRepeatsAnAlert/0",
	"http-outbox-not-synced":          "TestNoPowerCutLosesOrRepeatsAnAlert/0",
	"http-outbox-name-not-synced":     "TestNoPowerCutLosesOrRepeatsAnAlert/0",
}

// TestSeededBugsAreCaught builds the tests with the bugs in and switches on one at a time.
func TestSeededBugsAreCaught(t *testing.T) {
	if os.Getenv("GORGE_BUG") != "" {
		t.Skip("this is a run with a bug")
	}
	binary := filepath.Join(t.TempDir(), "http.test")
	if out, err := exec.Command("go", "test", "-c", "-tags", "seeded", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := func(bug, test string) (string, error) {
		c := exec.Command(binary, "-test.run=^"+strings.ReplaceAll(test, "/", "$/^")+"$")
		c.Env = append(os.Environ(), "GORGE_BUG="+bug)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	sound := map[string]bool{}
	for bug, test := range bugs {
		if !sound[test] {
			sound[test] = true
			if out, err := run("none", test); err != nil {
				t.Errorf("%s without a bug: %v\n%s", test, err, out)
			}
		}
		if out, err := run(bug, test); err == nil || !strings.Contains(out, "--- FAIL: "+test) {
			t.Errorf("%s is not caught by %s: %v\n%.2000s", bug, test, err, out)
		}
	}
}
