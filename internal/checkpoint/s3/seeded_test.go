package s3

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// bugs are plausible mistakes in this package, and the test that catches each.
var bugs = map[string]string{
	"checkpoint-s3-claim-without-condition": "TestABucketIsAStoreWithoutAFolder",
	"checkpoint-s3-lost-answer-is-success":  "TestALostAnswerOfAClaim",
	"checkpoint-s3-late-claim-is-anothers":  "TestALostAnswerOfAClaim",
}

// The tests of faults would be of no use if they let wrong code pass.
func TestSeededBugsAreCaught(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "seeded.test")
	if out, err := exec.Command("go", "test", "-c", "-tags", "seeded", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for bug, test := range bugs {
		for _, on := range []string{bug, ""} {
			c := exec.Command(binary, "-test.run=^"+test+"$", "-test.timeout=5m")
			c.Env = append(os.Environ(), "GORGE_BUG="+on)
			out, err := c.CombinedOutput()
			switch {
			case on == "" && err != nil:
				t.Errorf("without a bug %s fails: %v\n%s", test, err, out)
			case on != "" && err == nil:
				t.Errorf("%s was not caught by %s", bug, test)
			case on != "" && !bytes.Contains(out, []byte("--- FAIL: "+test)):
				t.Errorf("%s: %v\n%s", bug, err, out) // a panic or a hang is no verdict
			}
		}
	}
}
