package dir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/checkpoint/checkpointtest"
	"github.com/gorge-stream/gorge/internal/diag"
)

const storePath = "data/jobs/j1/checkpoints"

// model is what a user of the store was told.
type model struct {
	mu       sync.Mutex
	tried    map[string][][]byte // every content that was to take the name
	acked    map[string][]byte   // what the name must hold for good
	deleting map[string]bool     // may be gone
}

func newModel() *model {
	return &model{tried: map[string][][]byte{}, acked: map[string][]byte{}, deleting: map[string]bool{}}
}

func (m *model) try(name string, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tried[name] = append(m.tried[name], data)
}

func (m *model) ack(name string, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.acked[name] = data
}

func (m *model) mayDelete(names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range names {
		m.deleting[n] = true
	}
}

// promised returns what was acknowledged by now.
func (m *model) promised() map[string][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.acked)
}

// wrong returns what is not as it was promised in the store at this moment.
func (m *model) wrong(s *Store, promised map[string][]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	all, err := s.List(context.Background(), "")
	if err != nil {
		return err
	}
	for _, o := range all {
		got, err := s.Get(context.Background(), o.Name)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(m.tried[o.Name], func(d []byte) bool { return bytes.Equal(d, got) }) {
			return fmt.Errorf("%s has %d bytes that nobody wrote so", o.Name, len(got))
		}
	}
	for name, want := range promised {
		got, err := s.Get(context.Background(), name)
		if errors.Is(err, checkpoint.ErrNotFound) && m.deleting[name] {
			continue
		}
		if err != nil {
			return fmt.Errorf("an acknowledged object is lost: %w", err)
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("%s has other bytes than were acknowledged", name)
		}
	}
	return nil
}

// recovered opens what a crash left and checks it, writes into it, and lets the power fail once more.
func (m *model) recovered(crashed *vfs.MemFS, promised map[string][]byte) error {
	s, err := Open(crashed, storePath)
	if err != nil {
		return err
	}
	if left, err := crashed.List(storePath + "/" + pendingFolder); err != nil || len(left) > 0 {
		return fmt.Errorf("pending files are left: %q, %v", left, err)
	}
	if err := m.wrong(s, promised); err != nil {
		return err
	}
	for name := range promised {
		if err := s.Claim(context.Background(), name, []byte("late")); !errors.Is(err, checkpoint.ErrExists) && !m.deleting[name] {
			return fmt.Errorf("%s was claimed again: %v", name, err)
		}
	}
	const next = "manifests/next"
	if err := s.Claim(context.Background(), next, []byte(next)); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	if s, err = Open(crashed.CrashClone(vfs.CrashCloneCfg{}), storePath); err != nil {
		return err
	}
	got, err := s.Get(context.Background(), next)
	if err != nil || string(got) != next {
		return fmt.Errorf("the first claim after the crash is lost: %q, %v", got, err)
	}
	return s.Close()
}

// engine runs some epochs on a store and keeps the model. It goes on after errors and returns them all.
func (m *model) engine(files vfs.FS, together bool) (failures []error) {
	s, err := Open(files, storePath)
	if err != nil {
		return []error{err}
	}
	note := func(err error) {
		if err != nil {
			failures = append(failures, err)
		}
	}
	for epoch := 1; epoch <= 4; epoch++ {
		note(m.chunks(s, epoch, together))
		note(m.claims(s, epoch))
		if old := epoch - 2; old > 0 {
			names := []string{fmt.Sprintf("chunks/%d-0", old), fmt.Sprintf("chunks/%d-1", old), fmt.Sprintf("manifests/%d", old)}
			m.mayDelete(names)
			note(s.Delete(context.Background(), names))
		}
	}
	note(s.Close())
	return failures
}

func (m *model) chunks(s *Store, epoch int, together bool) error {
	results := make([]error, 3)
	var all sync.WaitGroup
	for i := range results {
		put := func() {
			// The third puts again what the second puts.
			c := min(i, 1)
			name, data := fmt.Sprintf("chunks/%d-%d", epoch, c), checkpointtest.Text(10*epoch+c, 9000+c)
			m.try(name, data)
			if results[i] = s.Put(context.Background(), name, data); results[i] == nil {
				m.ack(name, data)
			}
		}
		if together {
			all.Go(put)
		} else {
			put()
		}
	}
	all.Wait()
	return errors.Join(results...)
}

// claims lets two claim a manifest. The loser has been told that the name is taken, so it must stay.
func (m *model) claims(s *Store, epoch int) error {
	name := fmt.Sprintf("manifests/%d", epoch)
	var failures []error
	for i := range 2 {
		data := checkpointtest.Text(1000+10*epoch+i, 5000)
		m.try(name, data)
		err := s.Claim(context.Background(), name, data)
		switch {
		case err == nil:
			m.ack(name, data)
		case errors.Is(err, checkpoint.ErrExists):
			there, err := s.Get(context.Background(), name)
			if err != nil {
				failures = append(failures, err)
			} else if m.promised()[name] == nil {
				m.ack(name, there)
			}
		default:
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// removals remembers the names that were taken away and whose directory was not
// synced since: MemFS always brings them back in a crash, a real disk may not.
type removals struct {
	vfs.FS
	mu      sync.Mutex
	gone    map[string]bool
	linking sync.RWMutex // MemFS.Link locks twice, so that it and a CrashClone could wait for each other
}

func (r *removals) note(path string, gone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if gone {
		r.gone[path] = true
	} else {
		delete(r.gone, path)
	}
}

func (r *removals) Remove(path string) error {
	err := r.FS.Remove(path)
	r.note(path, err == nil)
	return err
}

func (r *removals) Rename(from, to string) error {
	err := r.FS.Rename(from, to)
	r.note(from, err == nil)
	r.note(to, false)
	return err
}

func (r *removals) Link(from, to string) error {
	r.note(to, false)
	r.linking.RLock()
	defer r.linking.RUnlock()
	return r.FS.Link(from, to)
}

func (r *removals) Create(path string, c vfs.DiskWriteCategory) (vfs.File, error) {
	r.note(path, false)
	return r.FS.Create(path, c)
}

func (r *removals) OpenDir(path string) (vfs.File, error) {
	f, err := r.FS.OpenDir(path)
	return syncedDir{f, path, r}, err
}

type syncedDir struct {
	vfs.File
	path string
	r    *removals
}

func (d syncedDir) Sync() error {
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	maps.DeleteFunc(d.r.gone, func(path string, _ bool) bool { return d.r.PathDir(path) == d.path })
	return d.File.Sync()
}

// stick takes some of the names away for good, percent of them.
func (r *removals) stick(crashed *vfs.MemFS, percent int, rng *rand.Rand) error {
	r.mu.Lock()
	paths := slices.Sorted(maps.Keys(r.gone))
	r.mu.Unlock()
	for _, path := range paths {
		if rng.IntN(100) >= percent {
			continue
		}
		if err := crashed.Remove(path); err == nil {
			if err := syncDir(crashed, crashed.PathDir(path)); err != nil {
				return err
			}
		}
	}
	return nil
}

// sweep cuts the power before every operation that changes something, in many
// ways each, and returns the number of states and what was wrong in the first of them.
func sweep(together bool) (states, wrong int, first error) {
	m, mem := newModel(), vfs.NewCrashableMem()
	r := &removals{FS: mem, gone: map[string]bool{}}
	var mu sync.Mutex
	ops := 0
	cut := func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsRead {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		ops++
		for data := 0; data <= 100; data += 50 {
			for gone := 0; gone <= 100; gone += 50 {
				rng := rand.New(rand.NewPCG(uint64(ops), uint64(1000*data+gone)))
				promised := m.promised() // before the crash
				r.linking.Lock()
				crashed := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: data, RNG: rng})
				r.linking.Unlock()
				err := r.stick(crashed, gone, rng)
				if err == nil {
					err = m.recovered(crashed, promised)
				}
				if states++; err != nil {
					if wrong++; first == nil {
						first = fmt.Errorf("power cut before operation %d (%v of %s), %d %% of the data and %d %% of removals kept: %w", ops, op.Kind, op.Path, data, gone, err)
					}
				}
			}
		}
		return nil
	}
	failures := m.engine(errorfs.Wrap(r, errorfs.InjectorFunc(cut)), together)
	return states, wrong, errors.Join(append(failures, first)...)
}

func TestAPowerCutAtEveryOperation(t *testing.T) {
	for _, together := range []bool{false, true} {
		states, wrong, err := sweep(together)
		if wrong > 0 || err != nil {
			t.Errorf("%d of %d states are wrong: %v", wrong, states, err)
		}
		t.Logf("%d states", states)
		if states < 1000 {
			t.Errorf("only %d states", states)
		}
	}
}

var errDead = errors.New("the process is dead")

// TestAKillAndThenAPowerCut kills the engine at every operation, lets another look at
// what is there, and cuts the power: what it saw must stay.
func TestAKillAndThenAPowerCut(t *testing.T) {
	for last := 0; ; last++ {
		m, mem := newModel(), vfs.NewCrashableMem()
		var ops atomic.Int64
		die := func(op errorfs.Op) error {
			if ops.Add(1) > int64(last) {
				return errDead
			}
			return nil
		}
		m.engine(errorfs.Wrap(mem, errorfs.InjectorFunc(die)), false)
		promised := m.promised()
		s, err := Open(mem, storePath)
		if err != nil {
			t.Fatalf("killed at operation %d: %v", last, err)
		}
		seen, err := s.List(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range seen {
			if promised[o.Name], err = s.Get(t.Context(), o.Name); err != nil {
				t.Fatal(err)
			}
		}
		clear(m.deleting)
		maps.DeleteFunc(promised, func(name string, _ []byte) bool {
			return !slices.ContainsFunc(seen, func(o checkpoint.Object) bool { return o.Name == name })
		})
		if err := m.recovered(mem.CrashClone(vfs.CrashCloneCfg{}), promised); err != nil {
			t.Fatalf("killed at operation %d: %v", last, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if ops.Load() <= int64(last) {
			t.Logf("%d operations", last)
			return
		}
	}
}

// The winner of a claim dies before its name is durable. The loser has seen the name
// and goes by it, so it must stay.
func TestALoserIsToldOnlyWhatStays(t *testing.T) {
	mem := vfs.NewCrashableMem()
	open(t, mem, storePath)
	winner, loser := unlocked(t, mem, storePath), unlocked(t, mem, storePath)
	winner.folders["manifests"].files = errorfs.Wrap(mem, errorfs.InjectorFunc(func(errorfs.Op) error { return errDead }))
	if err := winner.Claim(t.Context(), "manifests/1", []byte("winner")); !errors.Is(err, errDead) {
		t.Fatal(err)
	}
	if err := loser.Claim(t.Context(), "manifests/1", []byte("loser")); !errors.Is(err, checkpoint.ErrExists) {
		t.Fatal(err)
	}
	crashed := open(t, mem.CrashClone(vfs.CrashCloneCfg{}), storePath)
	if got, err := crashed.Get(t.Context(), "manifests/1"); err != nil || string(got) != "winner" {
		t.Errorf("after a power cut: %q, %v", got, err)
	}
}

// TestAnErrorAtEveryOperation lets every operation fail, once or from then on, and
// cuts the power afterwards.
func TestAnErrorAtEveryOperation(t *testing.T) {
	for _, cause := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		for _, once := range []bool{true, false} {
			for at := int64(1); failing(t, at, cause, once); at++ {
			}
		}
	}
}

// failing runs an engine whose operation number at fails, and reports whether it came to it.
func failing(t *testing.T, at int64, cause syscall.Errno, once bool) bool {
	t.Helper()
	m, mem := newModel(), vfs.NewCrashableMem()
	var ops atomic.Int64
	var failed errorfs.Op
	wentOn := false
	inject := func(op errorfs.Op) error {
		n := ops.Add(1)
		wentOn = wentOn || n > at && failed.Kind == errorfs.OpFileSync && op.Kind == errorfs.OpCreate
		if n == at {
			failed = op
		}
		if n == at || n > at && !once {
			return cause
		}
		return nil
	}
	where := func() string {
		return fmt.Sprintf("%v at operation %d (%v of %s), once: %v", cause, at, failed.Kind, failed.Path, once)
	}
	failures := m.engine(errorfs.Wrap(mem, errorfs.InjectorFunc(inject)), false)
	if ops.Load() < at {
		return false
	}
	// A pending file that stays is removed by the next Open; nobody has to know.
	harmless := failed.Kind == errorfs.OpRemove && strings.Contains(failed.Path, "/"+pendingFolder+"/")
	if len(failures) == 0 && !(harmless && once) {
		t.Errorf("%s: no error", where())
	}
	for _, err := range failures {
		var e *diag.Error
		if !errors.As(err, &e) || !errors.Is(err, cause) || e.Hint == "" || cause == syscall.ENOSPC && !strings.Contains(e.Hint, "df -h") {
			t.Errorf("%s: the error is %v", where(), err)
		}
	}
	if wentOn {
		t.Errorf("%s: the store went on writing after a lost sync", where())
	}
	if err := m.recovered(mem.CrashClone(vfs.CrashCloneCfg{}), m.promised()); err != nil {
		t.Errorf("%s: after a power cut: %v", where(), err)
	}
	return true
}
