package httpio

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/gorge-stream/gorge/internal/connector"
)

// cut is what there is after a power cut: the disk, and from elsewhere what the
// last checkpoint says and the clients remember.
type cut struct {
	fs       *vfs.MemFS
	acked    int // requests that were answered 202
	position connector.Position
	rows     []string // that the checkpoint has taken in
}

// recovered starts a source behind a cut, and then lets the clients repeat all n requests.
func (s *cut) recovered(t *testing.T, n int) error {
	e, err := try(t, s.fs, s.position, nil)
	if err != nil {
		return err
	}
	defer e.stop()
	rows, _, err := e.read()
	if got := append(slices.Clone(s.rows), rows...); err != nil || len(got) < s.acked*10 || !slices.Equal(got, devices(0, len(got))) {
		return fmt.Errorf("%d rows after the start, %d requests of 10 were acknowledged: %.200q: %w", len(got), s.acked, got, err)
	}
	for k := range n {
		e.send(202, lines(k*10, k*10+10), "Idempotency-Key", fmt.Sprint("request ", k))
	}
	more, _, err := e.read()
	if got := slices.Concat(s.rows, rows, more); err != nil || !slices.Equal(got, devices(0, n*10)) {
		return fmt.Errorf("%d rows after all was repeated, want %d: %w", len(got), n*10, err)
	}
	return nil
}

// TestNoPowerCutLosesAnAnsweredRequest cuts the power before every operation of
// the disk while requests come, checkpoints release them, and the source is
// started again; then the clients repeat everything that they sent, as they would.
func TestNoPowerCutLosesAnAnsweredRequest(t *testing.T) {
	base := vfs.NewCrashableMem()
	var states []cut
	var mu sync.Mutex
	now := cut{}
	fs := errorfs.Wrap(base, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		for _, percent := range []int{0, 50, 100} {
			s := now
			s.rows = slices.Clone(now.rows)
			s.fs = base.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(uint64(len(states)), 1))})
			states = append(states, s)
		}
		return nil
	}))
	var at connector.Position
	n := 0
	for range 2 {
		e := start(t, fs, at, nil)
		for range 6 {
			e.send(202, lines(n*10, n*10+10), "Idempotency-Key", fmt.Sprint("request ", n))
			n++
			mu.Lock()
			now.acked = n
			mu.Unlock()
			if n%2 == 0 {
				rows, _, err := e.read()
				if err != nil {
					t.Fatal(err)
				}
				at = e.position
				mu.Lock() // a checkpoint
				now.position, now.rows = at, append(now.rows, rows...)
				mu.Unlock()
				e.release()
			}
		}
		e.stop()
	}
	wrong := 0
	for i, s := range states {
		if err := s.recovered(t, n); err != nil {
			if wrong++; wrong > 3 {
				t.Fatal("and so on")
			}
			t.Errorf("state %d: %v", i, err)
		}
	}
	t.Logf("%d states", len(states))
	if len(states) < 150 {
		t.Error("too few to be all")
	}
}
