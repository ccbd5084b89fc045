package connectortest

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// Over makes the place of a sink on a file system that may hold what an earlier start left.
type Over func(t testing.TB, fs vfs.FS) EpochPlace

// moment is a state of the disk that a power cut may leave, with what was decided by then.
type moment struct {
	what string
	disk *disk
	h    *history
}

// PowerLoss runs a history of epochs, cuts the power before every operation
// that changes the file system, in each case with several fates of what was not
// synced, and checks the recovery from each.
func PowerLoss(t *testing.T, c EpochCase, over Over) {
	t.Helper()
	c = c.withDefaults()
	rng := rand.New(rand.NewPCG(1, 2))
	d := newDisk(vfs.NewCrashableMem())
	p, h := over(t, d), &history{}
	var moments []moment
	ops := 0
	d.watch(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			for _, k := range cuts {
				what := fmt.Sprintf("power cut before operation %d, %s of %s, %d %% kept, removals stick %v", ops, opWords[op.Kind], op.Path, k.kept, k.sticky)
				moments = append(moments, moment{what, d.after(t, k, rng), h.now()})
			}
			ops++
		}
		return nil
	})
	must(t, c.script(t, p, h))
	d.watch(nil)
	wrong := 0
	for i := 0; i < len(moments); i += c.Every {
		m := moments[i]
		if why := try(t, func(t testing.TB) { c.recovers(t, over(t, m.disk), m.h) }); why != "" {
			if wrong++; wrong <= 3 {
				t.Errorf("%s, %d rows decided: %s", m.what, m.h.rows, why)
			}
		}
	}
	t.Logf("%d of %d states after a power cut at %d operations are wrong", wrong, (len(moments)+c.Every-1)/c.Every, ops)
	if len(moments) == 0 {
		t.Error("the sink did not touch the file system")
	}
}

// DiskErrors runs the same history with an error at each operation of the file
// system, once, and from there on. The sink must report it or do without the
// operation, and the next start must find everything that was decided.
func DiskErrors(t *testing.T, c EpochCase, over Over) {
	t.Helper()
	c = c.withDefaults()
	ops := 0
	d := newDisk(vfs.NewCrashableMem())
	must(t, c.script(t, d.with(over(t, d), func(errorfs.Op) error { ops++; return nil }), &history{}))
	wrong, ignored := 0, 0
	for at := 0; at < ops; at += c.Every {
		for _, f := range []fault{{at, syscall.EIO, true}, {at, syscall.ENOSPC, false}} {
			survived := false
			if why := try(t, func(t testing.TB) { survived = c.fails(t, over, f) }); why != "" {
				if wrong++; wrong <= 3 {
					t.Errorf("%v at operation %d, once: %v: %s", f.err, at, f.once, why)
				}
			}
			if survived {
				ignored++
			}
		}
	}
	t.Logf("%d operations, %d of %d faults have a wrong end, %d did no harm to the run", ops, wrong, 2*((ops+c.Every-1)/c.Every), ignored)
}

// fault is an error of the disk.
type fault struct {
	at   int // the operation, from 0
	err  error
	once bool
}

// fails runs the history with a fault and then recovers. It reports whether the run came to a good end.
func (c *EpochCase) fails(t testing.TB, over Over, f fault) bool {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, uint64(f.at)))
	d := newDisk(vfs.NewCrashableMem())
	h, n := &history{}, 0
	p := d.with(over(t, d), func(errorfs.Op) error {
		if n++; n-1 == f.at || n > f.at && !f.once {
			return f.err
		}
		return nil
	})
	err := c.script(t, p, h)
	d.watch(nil)
	if err != nil && c.Failed != nil {
		c.Failed(t, err)
	}
	for _, k := range []cut{{0, false}, {50, true}, {100, true}} {
		left := d.after(t, k, rng)
		if why := try(t, func(t testing.TB) { c.recovers(t, over(t, left), h.now()) }); why != "" {
			t.Fatalf("the run ended with %v; %d %% kept, removals stick %v: %s", err, k.kept, k.sticky, why)
		}
	}
	return err == nil
}

// with has f look at every operation on the disk from now on, but for those of the place's readers.
func (d *disk) with(p EpochPlace, f func(op errorfs.Op) error) EpochPlace {
	rows := p.Rows
	p.Rows = func(t testing.TB) []string {
		d.watch(nil)
		defer d.watch(f)
		return rows(t)
	}
	d.watch(f)
	return p
}

// recovers checks what is there before and after the recovery.
func (c *EpochCase) recovers(t testing.TB, p EpochPlace, h *history) {
	t.Helper()
	n := h.rows
	if c.AtEnd && !h.final {
		n = 0
	}
	if diff := c.differ(p.Rows(t), 0, 0, n); diff != "" {
		t.Fatalf("before Recover: %s", diff)
	}
	c.restart(t, p, h)
}

// script is a history with everything in it: epochs large, small and empty,
// abandoned ones, a repeated commit, starts behind a crash, and a final epoch.
func (c *EpochCase) script(t testing.TB, p EpochPlace, h *history) error {
	t.Helper()
	for start := range 3 {
		e, err := c.start(t, p, h)
		if err == nil {
			err = e.part(start)
		}
		if closed := e.close(err == nil && start == 2); err == nil {
			err = closed
		}
		if err != nil {
			return err
		}
		c.seen(t, p, h, fmt.Sprintf("start %d", start))
	}
	return nil
}

// part is what one start of the engine in the script does.
func (e *engine) part(start int) error {
	for _, rows := range [][]int{{epochRows, 0}, {1, 400}, {epochRows}}[start] {
		if err := e.run(rows, false); err != nil {
			return err
		}
	}
	if err := e.write(epochRows); err != nil {
		return err
	}
	prepared, err := e.cut(false)
	if err != nil {
		return err
	}
	if e.kept, err = e.persist(prepared); err != nil {
		return err
	}
	if start == 0 {
		return nil // what was prepared is lost, and read again
	}
	if err := e.run(3, start == 2); err != nil {
		return err
	}
	if err := e.commit(); err != nil || start == 2 {
		return err
	}
	return e.write(epochRows) // never prepared
}

// trial is a test that ends without ending the one around it.
type trial struct {
	testing.TB
	why string
	err error // that why tells of
}

func (r *trial) Helper() {}

func (r *trial) Error(a ...any) {
	for _, x := range a {
		if err, ok := x.(error); ok {
			r.err = err
		}
	}
	r.why += fmt.Sprintln(a...)
}

func (r *trial) Errorf(f string, a ...any) { r.Error(fmt.Errorf(f, a...)) }
func (r *trial) Fatal(a ...any)            { r.Error(a...); panic(r) }
func (r *trial) Fatalf(f string, a ...any) { r.Errorf(f, a...); panic(r) }

// run runs f up to its first fatal failure.
func (r *trial) run(f func(t testing.TB)) {
	defer func() {
		if p := recover(); p != nil && p != any(r) {
			panic(p)
		}
	}()
	f(r)
}

// try runs f and returns what it found wrong, or "".
func try(t testing.TB, f func(t testing.TB)) string {
	r := &trial{TB: t}
	r.run(f)
	return r.why
}

// opWords are the names of the operations that change a file system.
var opWords = map[errorfs.OpKind]string{
	errorfs.OpCreate: "creation", errorfs.OpLink: "link", errorfs.OpRemove: "removal", errorfs.OpRemoveAll: "removal", errorfs.OpRename: "renaming",
	errorfs.OpReuseForWrite: "reuse", errorfs.OpMkdirAll: "making", errorfs.OpLock: "lock", errorfs.OpFileClose: "closing", errorfs.OpFileWrite: "write",
	errorfs.OpFileWriteAt: "write", errorfs.OpFileSync: "fsync", errorfs.OpFileSyncData: "fsync", errorfs.OpFileSyncTo: "fsync", errorfs.OpFileFlush: "flush",
	errorfs.OpFilePreallocate: "preallocation",
}
