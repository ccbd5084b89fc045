package failpoint

import (
	"os"
	"path/filepath"
	"testing"
)

func TestATraceHasEachPointOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace")
	if err := Trace(path); err != nil {
		t.Fatal(err)
	}
	defer hook.Store(nil)
	forTest.Hit()
	forTest.Hit()
	if got, err := os.ReadFile(path); err != nil || string(got) != "failpoint/test\n" {
		t.Errorf("%q, %v", got, err)
	}
	if err := Trace(filepath.Join(path, "below-a-file")); err == nil {
		t.Error("a trace into nowhere was taken")
	}
}
