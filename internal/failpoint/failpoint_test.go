package failpoint

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

var forTest = New("failpoint/test")

func TestAnArmedPointKillsTheProcessInItsTurn(t *testing.T) {
	if setting := os.Getenv(Variable); setting != "" {
		if err := Arm(setting); err != nil {
			t.Fatal(err)
		}
		forTest.Hit()
		_, _ = os.Stdout.WriteString("behind the first hit\n")
		forTest.Hit()
		_, _ = os.Stdout.WriteString("behind the second hit\n")
		return
	}
	c := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	c.Env = append(os.Environ(), Variable+"=failpoint/test=2")
	out, err := c.Output()
	if err == nil || c.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the process ended with %v, want SIGKILL", err)
	}
	if got := string(out); !strings.Contains(got, "behind the first hit") || strings.Contains(got, "behind the second hit") {
		t.Errorf("it came to: %s", got)
	}
}

func TestWrongSettingsAreRefused(t *testing.T) {
	for _, s := range []string{"no/such-point", "failpoint/test=0", "failpoint/test=x"} {
		if err := Arm(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
	if err := Arm(""); err != nil {
		t.Error(err)
	}
	forTest.Hit() // not armed
}

func TestObserversSeeEveryHit(t *testing.T) {
	var seen []string
	stop := Observe(func(name string) { seen = append(seen, name) })
	forTest.Hit()
	stop()
	forTest.Hit()
	if len(seen) != 1 || seen[0] != "failpoint/test" {
		t.Errorf("seen %q", seen)
	}
}
