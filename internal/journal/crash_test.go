package journal

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/gorge-stream/gorge/internal/failpoint"
)

// state is a disk as a power cut has left it, and what the sender had been told.
type state struct {
	at string
	fs *vfs.MemFS
	told
}

// cuts runs f on a disk whose power is cut before each of its operations, with
// none, half and all of what was not synced. sticky makes deletions durable at
// once: the disk of the simulation lets them come back otherwise.
func cuts(base *vfs.MemFS, h *history, sticky bool, f func(fs vfs.FS) error) (states []state, err error) {
	n, removed := 0, false
	fs := observed(base, func(op errorfs.Op) error {
		now := h.now() // before the disk: what is acknowledged meanwhile is on it
		if removed {
			if d, err := base.OpenDir(dir); err == nil {
				_ = errors.Join(d.Sync(), d.Close())
			}
		}
		removed = sticky && op.Kind == errorfs.OpRemove
		if op.Kind.ReadOrWrite() == errorfs.OpIsRead && op.Kind != errorfs.OpOpen {
			return nil
		}
		for k, percent := range []int{0, 50, 50, 100} {
			clone := base.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: chance(n, k)})
			states = append(states, state{fmt.Sprintf("operation %d (kind %d on %s), %d %% (%d)", n, op.Kind, op.Path, percent, k), clone, now})
		}
		n++
		return nil
	})
	err = f(fs)
	return states, err
}

// TestNoPowerCutLosesWhatWasAcknowledged cuts the power at every operation of a
// journal's life, and of each start after one of those cuts.
func TestNoPowerCutLosesWhatWasAcknowledged(t *testing.T) {
	for _, sticky := range []bool{false, true} {
		t.Run(fmt.Sprintf("sticky=%v", sticky), func(t *testing.T) {
			h := newHistory()
			states, err := cuts(vfs.NewCrashableMem(), h, sticky, func(fs vfs.FS) error { return script(fs, h) })
			if err != nil {
				t.Fatal(err)
			}
			wrong, again := 0, 0
			for i, s := range states {
				copied := s.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: chance(0, 0)})
				err := s.check(s.fs)
				if err == nil && i%24 == 1 {
					var n int
					n, err = startCut(copied, s.told)
					again += n
				}
				if err != nil {
					if wrong++; wrong > 5 {
						t.Fatal("and so on")
					}
					t.Errorf("%s: %v", s.at, err)
				}
			}
			t.Logf("%d states, %d more during the start behind them, %d wrong", len(states), again, wrong)
			if len(states) < 400 || again < 500 {
				t.Errorf("%d states and %d behind them are too few to be all", len(states), again)
			}
		})
	}
}

// startCut cuts the power during a start.
func startCut(fs *vfs.MemFS, h told) (int, error) {
	states, err := cuts(fs, &history{told: h}, false, func(fs vfs.FS) error {
		j, err := Open(options(fs))
		if err != nil {
			return err
		}
		return j.Close()
	})
	if err != nil {
		return 0, err
	}
	for _, s := range states {
		if err := s.check(s.fs); err != nil {
			return 0, fmt.Errorf("then at %s: %w", s.at, err)
		}
	}
	return len(states), nil
}

// TestNoKillTakesBackWhatWasServed kills the process before every operation: the
// kernel keeps what was not synced, the next start serves it, and then the power
// is cut. A checkpoint may have taken in what was served, so it must be there.
func TestNoKillTakesBackWhatWasServed(t *testing.T) {
	n := 0
	if err := script(observed(vfs.NewMem(), func(errorfs.Op) error { n++; return nil }), newHistory()); err != nil {
		t.Fatal(err)
	}
	wrong := 0
	for at := range n {
		base, h := vfs.NewCrashableMem(), newHistory()
		ops := 0
		_ = script(observed(base, func(errorfs.Op) error {
			if ops++; ops > at {
				return errors.New("killed")
			}
			return nil
		}), h) // nobody hears a process that was killed
		for _, percent := range []int{0, 50} {
			if err := serveAndCut(base, h.told, percent, at); err != nil {
				if wrong++; wrong > 5 {
					t.Fatal("and so on")
				}
				t.Errorf("killed before operation %d, power cut with %d %%: %v", at, percent, err)
			}
		}
	}
}

func serveAndCut(base *vfs.MemFS, h told, percent, seed int) error {
	j, err := Open(options(base))
	if err != nil {
		return err
	}
	h.acked, err = readAll(j, h.released)
	clone := base.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: chance(seed, percent)})
	if err = errors.Join(err, j.Close()); err != nil {
		return err
	}
	return h.check(clone)
}

// TestErrorsOfTheDiskLoseNothing lets every operation fail, once and from then
// on: the caller is told, and the next start finds what was acknowledged.
func TestErrorsOfTheDiskLoseNothing(t *testing.T) {
	count := 0
	h := newHistory()
	if err := script(observed(vfs.NewMem(), func(errorfs.Op) error { count++; return nil }), h); err != nil {
		t.Fatal(err)
	}
	if count < 150 {
		t.Fatalf("%d operations are too few to be all", count)
	}
	told := 0
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
		for _, lasting := range []bool{false, true} {
			for at := range count {
				n := 0
				base, h := vfs.NewCrashableMem(), newHistory()
				err := script(observed(base, func(op errorfs.Op) error {
					n++
					if n-1 == at || lasting && n-1 > at {
						return fmt.Errorf("%d of kind %d: %w", at, op.Kind, cause)
					}
					return nil
				}), h)
				if err != nil {
					told++
					if !errors.Is(err, cause) {
						t.Errorf("%v at operation %d: the caller was told %v", cause, at, err)
					}
				}
				for _, percent := range []int{0, 50} {
					clone := base.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: chance(at, percent)})
					if err := h.check(clone); err != nil {
						t.Errorf("%v at operation %d, lasting %v, then a power cut with %d %%: %v", cause, at, lasting, percent, err)
					}
				}
			}
		}
	}
	t.Logf("%d operations, %d errors were seen", count, told)
}

// TestADiskThatGetsSpaceAgainGoesOn fills a disk.
func TestADiskThatGetsSpaceAgainGoesOn(t *testing.T) {
	base, h := vfs.NewCrashableMem(), newHistory()
	var full atomic.Bool
	fs := observed(base, func(op errorfs.Op) error {
		if full.Load() && op.Kind == errorfs.OpFileWriteAt {
			return syscall.ENOSPC
		}
		return nil
	})
	j, err := Open(options(fs))
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq < 8; seq++ {
		if _, err := j.Append(record(seq)); err != nil {
			t.Fatal(err)
		}
		h.acked = seq + 1
	}
	full.Store(true)
	_, err = j.Append(record(8))
	wantCode(t, err, "journal/disk")
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the cause is lost: %v", err)
	}
	full.Store(false)
	_, again := j.Append(record(8))
	if again == nil || again.Error() != err.Error() {
		t.Errorf("after the first error the second record gave %v, want the same error", again)
	}
	r, err := j.Read(1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err == nil {
		t.Error("a journal that has failed still hands out records")
	}
	if err := errors.Join(r.Close(), j.Close()); err != nil {
		t.Error(err)
	}
	if err := h.check(base); err != nil {
		t.Errorf("when there is space again: %v", err)
	}
}

// TestEveryPointIsPassed holds that the simulations above come by every failpoint of the package.
func TestEveryPointIsPassed(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]bool{}
	stop := failpoint.Observe(func(name string) {
		mu.Lock()
		defer mu.Unlock()
		seen[name] = true
	})
	defer stop()
	h := newHistory()
	states, err := cuts(vfs.NewCrashableMem(), h, false, func(fs vfs.FS) error { return script(fs, h) })
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range states {
		if err := s.check(s.fs); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, name := range failpoint.Names() {
		if strings.HasPrefix(name, "journal/") && !seen[name] {
			t.Errorf("%s was never passed", name)
		}
	}
}
