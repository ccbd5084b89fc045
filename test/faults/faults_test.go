package faults

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gorge-stream/gorge/test/engine"
)

func TestMain(m *testing.M) {
	code := engine.Main(m)
	if err := goleak.Find(); err != nil && code == 0 {
		panic(err)
	}
	os.Exit(code)
}

// elsewhere are the failpoints, by the beginnings of their names, that no scenario
// comes by in the short form, and where they are tried instead.
var elsewhere = map[string]string{
	"checkpoint/number-used-up":    "epochs are abandoned in the simulation of internal/checkpoint",
	"checkpoint/orphans-deleted":   "orphans are deleted when they are an hour old: internal/checkpoint",
	"checkpoint-s3/object-deleted": "the scenario bucket deletes old manifests only when it is slow: internal/checkpoint/s3",
	"http/ledger-":                 "the ledger is cut when it is long: internal/connector/http",
	"http/outbox-closed":           "only what was answered and in no checkpoint is written when it closes: internal/connector/http",
	"http/outbox-file-spilled":     "rows of an epoch beyond a megabyte: internal/connector/http",
	"http/refused-rows-":           "the receiver never refuses rows for good: internal/connector/http",
	"journal/keys-removed":         "the scenario bulk of make faults",
	"journal/rolled":               "the scenario bulk of make faults",
	"table/files-":                 "the scenario table of make faults",
	"table/rows-spilled":           "the scenario table of make faults",
}

// short is one short campaign per scenario, two side by side, that all tests of it share.
type short struct {
	mu    sync.Mutex
	total Outcome
	names []string
}

// TestTheEngineIsKilled is the short form of make faults.
func TestTheEngineIsKilled(t *testing.T) {
	all := short{total: Outcome{ByPoint: map[string]int{}, Others: map[kind]int{}, Missed: map[string]int{}, Reached: map[string]bool{}}}
	t.Run("scenario", func(t *testing.T) {
		t.Run("stall", func(t *testing.T) {
			t.Parallel()
			s, err := Stall(&Engine{Path: engine.Binary(t)}, t.TempDir(), 10*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(s)
		})
		for i, s := range Short() {
			t.Run(s.Name, func(t *testing.T) {
				t.Parallel()
				e := &Engine{Path: engine.Binary(t)}
				if s.Python {
					e.Python = engine.Python(t)
				}
				var log strings.Builder
				c := &Campaign{Engine: e, Scenarios: []*Scenario{s}, Seed: uint64(i), Rounds: 1, Kills: 3, Out: &log}
				res, err := c.Run()
				if err == nil {
					err = res.Err()
				}
				if err != nil {
					t.Fatalf("%v\n%s", err, &log)
				}
				all.mu.Lock()
				defer all.mu.Unlock()
				all.total.add(res.Outcome)
				all.names = res.Points
			})
		}
	})
	t.Logf("%d kills, %d of them at failpoints %v, slowest start to ready %v", all.total.Kills, len(all.total.ByPoint), all.total.ByPoint, all.total.Slowest)
	if all.total.Kills < 25 {
		t.Errorf("only %d kills", all.total.Kills)
	}
	reached(t, all.names, all.total.Reached)
}

// reached holds that every failpoint is reached by a scenario, or is known to be tried elsewhere.
func reached(t *testing.T, names []string, by map[string]bool) {
	used := map[string]bool{}
	for _, p := range names {
		known := ""
		for prefix := range elsewhere {
			if strings.HasPrefix(p, prefix) {
				known, used[prefix] = prefix, true
			}
		}
		if !by[p] && known == "" {
			t.Errorf("no scenario comes by the failpoint %s: add a scenario, or say in elsewhere where it is tried", p)
		}
	}
	for prefix := range elsewhere {
		if !used[prefix] {
			t.Errorf("there is no failpoint %s...: remove it from elsewhere", prefix)
		}
	}
}

// TestTheScenariosOfTheGuaranteesExist holds that the tests that the page of
// guarantees names are run.
func TestTheScenariosOfTheGuaranteesExist(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(engine.Root(), "docs", "reference", "guarantees.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`TestTheEngineIsKilled/scenario/([a-z-]+)`).FindAllStringSubmatch(string(page), -1)
	if len(named) == 0 {
		t.Error("the page names no kill test")
	}
	for _, m := range named {
		if s, err := Named(m[1]); err != nil || s.Long {
			t.Errorf("the page names %s, which no test runs", m[0])
		}
	}
}

// TestEverySeededBugIsTried holds that each seeded bug is named by a test of its
// package, which has to catch it, or is one that kills alone show.
func TestEverySeededBugIsTried(t *testing.T) {
	bugs, err := Bugs(engine.Root())
	if err != nil {
		t.Fatal(err)
	}
	if len(bugs) < 20 {
		t.Errorf("the tree has only %d seeded bugs", len(bugs))
	}
	known := map[string]bool{}
	for _, b := range bugs {
		known[b.Name] = true
		if len(b.Tests) == 0 && len(b.Scenarios) == 0 {
			t.Errorf("no test of %s names the seeded bug %s", b.Folder, b.Name)
		}
	}
	for name, scenarios := range byKills {
		if !known[name] {
			t.Errorf("there is no seeded bug %s", name)
		}
		for _, s := range scenarios {
			if _, err := Named(s); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
