package connectortest

import (
	"math/rand/v2"
	"path"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// disk is a file system in memory that stops before each operation to let a
// test look at what a power cut would leave now, or make the operation fail.
type disk struct {
	*errorfs.FS
	mem *vfs.MemFS

	mu     sync.Mutex
	before func(op errorfs.Op) error // guarded by mu; nil: nobody looks
	gone   []removal                 // guarded by mu: those that are not durable
}

// removal is a name that a removal or renaming took away, not yet durably.
type removal struct {
	name string
	to   string // the new name, "" for a removal
}

func newDisk(mem *vfs.MemFS) *disk {
	d := &disk{mem: mem}
	d.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(d.look))
	return d
}

// watch calls f before every operation from now on; nil ends it.
func (d *disk) watch(f func(op errorfs.Op) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before = f
}

func (d *disk) look(op errorfs.Op) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.before != nil {
		if err := d.before(op); err != nil {
			return err
		}
	}
	if op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData {
		d.gone = slices.DeleteFunc(d.gone, func(r removal) bool { return path.Dir(r.name) == path.Clean(op.Path) })
	}
	return nil
}

// Remove removes a file.
func (d *disk) Remove(name string) error {
	err := d.FS.Remove(name)
	if err == nil {
		d.note(removal{name: name})
	}
	return err
}

// Rename renames a file.
func (d *disk) Rename(from, to string) error {
	err := d.FS.Rename(from, to)
	if err == nil {
		d.note(removal{name: from, to: to})
		d.made(to)
	}
	return err
}

// Link gives a file a second name.
func (d *disk) Link(from, to string) error {
	err := d.FS.Link(from, to)
	if err == nil {
		d.made(to)
	}
	return err
}

// Create creates a file.
func (d *disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.Create(name, c)
	if err == nil {
		d.made(name)
	}
	return f, err
}

func (d *disk) note(r removal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone = append(d.gone, r)
}

// made forgets what was known of a name that is there again.
func (d *disk) made(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone = slices.DeleteFunc(d.gone, func(r removal) bool { return r.name == name })
}

// A cut is one way in which the power fails.
type cut struct {
	kept   int  // percent of what is not synced that is there afterwards
	sticky bool // removals that are not synced are there afterwards, which MemFS never does by itself
}

var cuts = []cut{{0, false}, {50, false}, {50, false}, {100, false}, {0, true}, {50, true}, {100, true}}

// after returns the file system that a power cut leaves. d.mu is held, or nobody uses d any more.
func (d *disk) after(t testing.TB, c cut, rng *rand.Rand) *disk {
	t.Helper()
	left := d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.kept, RNG: rng})
	if c.sticky {
		for _, r := range d.gone {
			if c.kept == 50 && rng.IntN(2) == 0 {
				continue
			}
			if _, err := left.Stat(r.name); err != nil {
				continue // it is away already, or its folder
			}
			if r.to != "" { // a renaming never takes the old name without giving the new one
				if _, err := left.Stat(r.to); err != nil {
					continue
				}
			}
			must(t, left.RemoveAll(r.name))
		}
	}
	// What is on the disk after a power cut is durable.
	return newDisk(left)
}

// MakeDir makes a folder and its parents durable, as they are before an engine ever starts.
func MakeDir(t testing.TB, fs vfs.FS, dir string) {
	t.Helper()
	must(t, fs.MkdirAll(dir, 0o755))
	for d := path.Clean(dir); ; d = path.Dir(d) {
		f, err := fs.OpenDir(d)
		must(t, err)
		must(t, f.Sync())
		must(t, f.Close())
		if d == path.Dir(d) {
			return
		}
	}
}
