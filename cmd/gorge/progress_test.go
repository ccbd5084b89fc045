package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestTheProgressLineMakesWayForTheLog(t *testing.T) {
	var out bytes.Buffer
	s := &screen{w: &out}
	say := func(text string) {
		if _, err := s.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	say("before\n")
	s.show("1 rows in")
	s.show("2 rows in")
	say("log\n")
	say("more\n")
	// The line is shown with wrapping off, and erased by what comes behind it.
	want := "before\n" + eraseLine + "\x1b[?7l1 rows in\x1b[?7h" + eraseLine + "\x1b[?7l2 rows in\x1b[?7h" + eraseLine + "log\nmore\n"
	if out.String() != want {
		t.Errorf("got\n%q\nwant\n%q", out.String(), want)
	}
}

func TestTheLogSaysDurationsWithUnits(t *testing.T) {
	var out bytes.Buffer
	log, err := newLog(&out, false, "info")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("finished", "lag", 1500*time.Microsecond, "events", 3)
	var line struct {
		Lag    string
		Events int
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line.Lag != "1.5ms" || line.Events != 3 {
		t.Errorf("%v: %s", err, out.String())
	}
	if _, err := newLog(&out, false, "loud"); err == nil || !strings.Contains(err.Error(), "loud") {
		t.Errorf("got %v", err)
	}
}
