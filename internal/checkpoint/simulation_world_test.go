package checkpoint_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/checkpoint/checkpointtest"
)

const keys = 3 // of each task

// world is what outlives the processes of one simulation, and what watches them.
// Actors take turns: no two of them ever wake at the same instant (see actor.pause).
type world struct {
	seed   uint64
	chance chance
	feeds  [][]int // input of each feed; no number comes twice
	tasks  int
	faulty int // so many processes meet faults

	mu      sync.Mutex // guards what follows; turns keep the order
	store   *checkpointtest.Memory
	pending map[string][]int // output that is durable and not visible
	visible map[int]int      // how often a number can be seen
	applied map[string]bool  // output that became visible

	actors   int
	finished atomic.Bool // a process has finished at the end of the input
	late     sync.WaitGroup
	keep     bool
	history  []string
	counts   map[string]int
	wrong    string // the first violation
}

func newWorld(seed uint64, keep bool) *world {
	c := newChance(seed, 0)
	w := &world{
		seed: seed, chance: c, keep: keep, tasks: 1 + c.IntN(3), faulty: c.IntN(6), store: checkpointtest.NewMemory(),
		pending: map[string][]int{}, visible: map[int]int{}, applied: map[string]bool{}, counts: map[string]int{},
	}
	number := 0
	for range 1 + c.IntN(3) {
		var f []int
		for range c.IntN(100) {
			number++
			f = append(f, number)
		}
		w.feeds = append(w.feeds, f)
	}
	return w
}

func (w *world) notef(format string, args ...any) {
	if !w.keep {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	at := time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) // where virtual time begins
	w.history = append(w.history, at.String()+" "+fmt.Sprintf(format, args...))
}

func (w *world) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

func (w *world) violationf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.notef("WRONG: %s", text)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wrong == "" {
		w.wrong = text
	}
}

// failure returns the first violation.
func (w *world) failure() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wrong
}

// record is the manifest of the simulation.
type record struct {
	Epoch     uint64 // 0: nothing was decided yet
	Kind      checkpoint.Kind
	Finished  bool
	Positions []int      // by feed
	Chains    [][]string // by task: objects with cuts, the first of them whole
	Output    []string   // what the sink has to commit
}

func (r *record) name() string { return fmt.Sprintf("manifests/%016x", r.Epoch) }

func (r *record) bytes() []byte {
	data, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return data
}

// latest reads the latest manifest; one of epoch 0 when there is none.
func (w *world) latest() *record {
	none := &record{Positions: make([]int, len(w.feeds)), Chains: make([][]string, w.tasks)}
	ctx := context.Background()
	list, err := w.store.List(ctx, "manifests/")
	if err != nil || len(list) == 0 {
		return none
	}
	r := &record{}
	data, err := w.store.Get(ctx, list[len(list)-1].Name)
	if err = errors.Join(err, json.Unmarshal(data, r)); err != nil {
		w.violationf("latest manifest: %v", err)
		return none
	}
	return r
}

// restore reads the state of the tasks; a later cut of a chain counts.
func (w *world) restore(r *record) [][keys]int {
	state := make([][keys]int, w.tasks)
	for i, chain := range r.Chains {
		for _, name := range chain {
			var values map[int]int
			data, err := w.store.Get(context.Background(), name)
			if err = errors.Join(err, json.Unmarshal(data, &values)); err != nil {
				w.violationf("manifest %d: %s: %v", r.Epoch, name, err)
				return state
			}
			for k, v := range values {
				state[i][k] = v
			}
		}
	}
	return state
}

// route tells which task and key a number belongs to.
func (w *world) route(n int) (task, key int) { return n % w.tasks, n / w.tasks % keys }

// checkState: the state is the sum of every number before the positions.
func (w *world) checkState(r *record, state [][keys]int) {
	want := make([][keys]int, w.tasks)
	for f, input := range w.feeds {
		for _, n := range input[:r.Positions[f]] {
			task, key := w.route(n)
			want[task][key] += n
		}
	}
	if !slices.Equal(want, state) {
		w.violationf("state of manifest %d is %v, want %v", r.Epoch, state, want)
	}
}

// checkVisible: every number before the positions can be seen once, and no other.
func (w *world) checkVisible(r *record) {
	w.mu.Lock()
	var bad []string
	for f, input := range w.feeds {
		for i, n := range input {
			want := 0
			if i < r.Positions[f] {
				want = 1
			}
			if got := w.visible[n]; got != want {
				bad = append(bad, fmt.Sprintf("%d of feed %d: %d times, not %d", n, f, got, want))
			}
		}
	}
	w.mu.Unlock()
	if bad != nil {
		w.violationf("output at manifest %d (positions %v): %v", r.Epoch, r.Positions, bad)
	}
}

// checkEnd compares everything with the oracle.
func (w *world) checkEnd() {
	r := w.latest()
	if !r.Finished {
		w.violationf("finished, but the latest manifest is %+v", r)
		return
	}
	for f, input := range w.feeds {
		if r.Positions[f] != len(input) {
			w.violationf("finished at %d of %d in feed %d", r.Positions[f], len(input), f)
		}
	}
	w.checkState(r, w.restore(r))
	w.checkVisible(r)
}

// The sink, as one that is far away: whoever knows the name of an output may commit it.

func (w *world) prepare(name string, rows []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending[name] = rows
}

func (w *world) commit(name string) {
	w.mu.Lock()
	rows, there := w.pending[name]
	done := w.applied[name]
	if there && !done {
		for _, n := range rows {
			w.visible[n]++
		}
		w.applied[name] = true
		delete(w.pending, name)
	}
	if done {
		w.counts["committed again"]++
	}
	w.mu.Unlock()
	if !there && !done {
		w.violationf("the output %s is decided and gone", name)
	}
}

// clear removes all output that is not visible.
func (w *world) clear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.pending)
}
