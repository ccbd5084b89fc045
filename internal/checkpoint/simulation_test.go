package checkpoint_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	simulationSeeds = flag.Int("simulation.seeds", 2000, "how many seeds TestSimulation runs")
	simulationSeed  = flag.Uint64("simulation.seed", 0, "the one seed that TestSimulation runs, with its history")
)

// TestSimulation runs a small job around the coordinator in virtual time: feeds that
// number rows, tasks that count them, a store and a sink that others reach, too.
// Tasks are slow, the store fails or leaves its answer open, claims arrive late, the
// process crashes before and after every step, is stopped, or goes on while its
// successor has started. At each start and at the end the output that can be seen and
// the state must be those of every row before the positions, exactly once.
func TestSimulation(t *testing.T) {
	if *simulationSeed != 0 {
		w := simulate(t, *simulationSeed, true)
		t.Logf("seed %d: %s\n%s", *simulationSeed, w.wrong, strings.Join(w.history, "\n"))
		if w.wrong != "" {
			t.Fail()
		}
		return
	}
	const shards = 4
	for shard := range shards {
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			simulateSeeds(t, shard, shards)
		})
	}
}

func simulateSeeds(t *testing.T, shard, shards int) {
	total := map[string]int{}
	n := 0
	for seed := uint64(shard + 1); seed <= uint64(*simulationSeeds); seed += uint64(shards) {
		w := simulate(t, seed, false)
		if w.wrong != "" {
			again := simulate(t, seed, true)
			last := again.history[max(0, len(again.history)-150):]
			t.Fatalf("seed %d: %s\nagain: %s\n%s\nreplay: go test ./internal/checkpoint -run TestSimulation -v -simulation.seed=%d",
				seed, w.wrong, again.wrong, strings.Join(last, "\n"), seed)
		}
		for k, v := range w.counts {
			total[k] += v
		}
		n++
	}
	for _, what := range []string{"crashed", "stopped", "fenced", "abandoned", "savepoint", "orphaned", "claim unknown", "claim late", "committed again"} {
		if n >= 500 && total[what] == 0 {
			t.Errorf("in %d seeds it never came to: %s", n, what)
		}
	}
	t.Logf("%d seeds: %v", n, total)
}

// TestSimulationIsReplayable: without that a seed is worth nothing.
func TestSimulationIsReplayable(t *testing.T) {
	for seed := range uint64(40) {
		a, b := simulate(t, seed+1, true), simulate(t, seed+1, true)
		if !slices.Equal(a.history, b.history) {
			for i := range a.history {
				if i >= len(b.history) || a.history[i] != b.history[i] {
					t.Fatalf("seed %d: histories differ at\n%s\n%s", seed+1, a.history[i], b.history[min(i, len(b.history)-1)])
				}
			}
			t.Fatalf("seed %d: histories differ behind their line %d", seed+1, len(a.history))
		}
	}
}

// simulate runs one seed to its end.
func simulate(t *testing.T, seed uint64, keep bool) (w *world) {
	synctest.Test(t, func(*testing.T) {
		w = newWorld(seed, keep)
		w.run()
	})
	return w
}

// run starts processes until one has finished, and then looks at what is left.
func (w *world) run() {
	var all []*process
	for n := 1; !w.finished.Load() && w.failure() == ""; n++ {
		p := w.start(n, n <= w.faulty)
		all = append(all, p)
		limit := time.NewTimer(time.Hour)
		select {
		case <-p.left: // ended, or an orphan from now on
		case <-limit.C:
			w.violationf("process %d hangs", n)
		}
		limit.Stop()
		if n > w.faulty+20 {
			w.violationf("no end after %d starts", n)
		}
	}
	for _, p := range all {
		if w.failure() != "" {
			p.end("killed")
		}
		p.actors.Wait()
	}
	w.late.Wait()
	if w.wrong == "" {
		w.checkEnd()
	}
}

// chance draws for everything that one actor does.
type chance struct{ *rand.Rand }

func newChance(seed, stream uint64) chance { return chance{rand.New(rand.NewPCG(seed, stream))} }

// one reports true once in n draws.
func (c chance) one(n int) bool { return c.IntN(n) == 0 }

// within draws a duration below d.
func (c chance) within(d time.Duration) time.Duration { return time.Duration(c.Int64N(int64(d))) }
