package httpio

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/diag"
)

// damage makes an outbox that owes three rows to a receiver that is down.
func damage(t testing.TB) (fs *vfs.MemFS, r *run, file string) {
	fs = vfs.NewMem()
	down := &other{answer: func(int, *http.Request) (int, string, string) { return 0, "", "down" }}
	r = startOutbox(t, fs, down, map[string]any{"batch": int64(2), "in_flight": int64(1)}, 0, nil)
	r.s.halt()
	r.write(0, 3)
	r.decide(false)
	must(t, r.commit())
	r.end()
	must(t, fs.Remove(r.s.path(ledgerName)))
	d, err := decideAll(r.c)
	must(t, err)
	return fs, r, r.s.fs.PathJoin(r.s.root, d.fresh[0].File)
}

func rewrite(t testing.TB, fs vfs.FS, path string, b []byte) {
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = f.Write(slices.Clone(b))
	must(t, errors.Join(err, f.Close()))
}

// refusesDamage starts over a damaged file: it is named, and nothing wrong is sent.
func refusesDamage(t testing.TB, fs vfs.FS, r *run, path, what string) {
	t.Helper()
	o := always(200)
	s := testOutbox(t, fs, o, nil)
	err := s.Recover(t.Context(), r.epoch, r.c)
	var d *diag.Error
	if !errors.As(err, &d) || d.Code != "http/outbox-damaged" || !strings.Contains(err.Error(), path) || d.Hint == "" {
		t.Errorf("%s: %v", what, err)
	}
	must(t, s.Close())
	if len(o.got) != 0 {
		t.Errorf("%s: sent %q", what, o.bodies())
	}
}

// TestDamageBehindTheStartEndsTheRun: a file is checked again when it is sent.
func TestDamageBehindTheStartEndsTheRun(t *testing.T) {
	o := always(200)
	r := startOutbox(t, vfs.NewMem(), o, nil, 0, nil)
	r.write(0, 3)
	r.decide(false)
	d, err := decideAll(r.c)
	must(t, err)
	path := r.s.fs.PathJoin(r.s.root, d.fresh[0].File)
	b := readAll(t, r.s.fs, path)
	b[len(b)-endSize-1] ^= 1
	rewrite(t, r.s.fs, path, b)
	must(t, r.commit())
	var e *diag.Error
	if err := r.s.await(t.Context(), nil, r.s.idle); !errors.As(err, &e) || e.Code != "http/outbox-damaged" || !strings.Contains(err.Error(), path) {
		t.Errorf("the end is %v", err)
	}
	r.end()
	if slices.Contains(o.bodies(), string(b[len(b)-endSize-len(alertJSON(2)):len(b)-endSize])) {
		t.Error("the damaged row was sent")
	}
}

func TestDamagedFilesAreNamedAndNotSent(t *testing.T) {
	fs, r, path := damage(t)
	good := readAll(t, fs, path)
	for i := range good {
		b := slices.Clone(good)
		b[i] ^= 1 << (i % 8)
		rewrite(t, fs, path, b)
		refusesDamage(t, fs, r, path, fmt.Sprintf("byte %d is wrong", i))
	}
	rewrite(t, fs, path, good[:len(good)-1])
	refusesDamage(t, fs, r, path, "a byte is missing")
	fs2, r2, path2 := damage(t)
	rewrite(t, fs, path, readAll(t, fs2, path2))
	refusesDamage(t, fs, r, path, "another file in its place")
	must(t, fs.Remove(path))
	refusesDamage(t, fs, r, path, "no file")

	must(t, r2.s.writeLedger(ledger{Epoch: r2.epoch, Parcels: []parcel{}}))
	path = r2.s.path(ledgerName)
	good = readAll(t, fs2, path)
	for i := range good {
		b := slices.Clone(good)
		b[i] ^= 1 << (i % 8)
		rewrite(t, fs2, path, b)
		refusesDamage(t, fs2, r2, path, fmt.Sprintf("byte %d of the ledger is wrong", i))
	}
}
