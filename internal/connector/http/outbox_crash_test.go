package httpio

import (
	"bufio"
	"context"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/connectortest"
)

// truth is what no crash of the engine takes back: what is decided, with the dead
// letters in it, and what the receiver has taken.
type truth struct {
	last    uint64
	c       []connector.Committable
	rows    int // rows 0 to rows-1 are decided
	final   bool
	letters []string          // rows
	taken   map[string]string // bodies by key
}

func (h truth) clone() truth {
	h.c, h.letters, h.taken = slices.Clone(h.c), slices.Clone(h.letters), maps.Clone(h.taken)
	return h
}

// instant is a state in which the power may fail.
type instant struct {
	what string
	fs   *vfs.MemFS
	truth
}

// world is a receiver, a disk and what is decided.
type world struct {
	base     *vfs.MemFS
	fs       vfs.FS // with every operation observed
	healthy  bool   // the receiver answers at once
	sticky   bool   // deletions are durable at once
	keep     bool   // instants are kept
	mu       sync.Mutex
	rng      *rand.Rand
	now      truth
	wrong    []string
	instants []instant
	removed  bool
}

func newWorld(base *vfs.MemFS, now truth, seed uint64) *world {
	w := &world{base: base, now: now, rng: rand.New(rand.NewPCG(seed, 4))}
	if w.now.taken == nil {
		w.now.taken = map[string]string{}
	}
	w.fs = errorfs.Wrap(base, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite || op.Kind == errorfs.OpOpen {
			w.instant(fmt.Sprintf("operation kind %d on %s", op.Kind, op.Path), op.Kind == errorfs.OpRemove)
		}
		return nil
	}))
	return w
}

// instant keeps what a power cut would leave now, before something is deleted or another thing happens.
func (w *world) instant(what string, deletes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.removed = w.sticky && deletes }()
	if !w.keep {
		return
	}
	if w.removed {
		if d, err := w.base.OpenDir("/data/p/outbox/alerts"); err == nil {
			_ = errors.Join(d.Sync(), d.Close())
		}
	}
	percents := []int{0, 50, 100}
	if !strings.HasPrefix(what, "operation") {
		percents = percents[1:2]
	}
	for _, percent := range percents {
		what := fmt.Sprintf("power cut %d: %s, epoch %d, %d rows decided, %d %% kept", len(w.instants), what, w.now.last, w.now.rows, percent)
		fs := w.base.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(uint64(len(w.instants)), 2))})
		w.instants = append(w.instants, instant{what, fs, w.now.clone()})
	}
}

// isRefused tells which rows the receiver refuses.
func isRefused(row string) bool {
	var r struct{ N int }
	return stdjson.Unmarshal([]byte(row), &r) == nil && r.N%7 == 5
}

// RoundTrip is the receiver. It is slow, it fails before and behind the taking, and
// it refuses some rows for good.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	w.instant("a request is under way", false)
	w.mu.Lock()
	delay, fate := time.Duration(w.rng.IntN(300))*time.Millisecond, w.rng.IntN(10)
	w.mu.Unlock()
	if w.healthy {
		delay, fate = 0, 9
	}
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	status := http.StatusOK
	switch {
	case fate == 0:
		return nil, errors.New("connection refused")
	case fate == 1:
		status = http.StatusServiceUnavailable
	case slices.ContainsFunc(rowsOfBody(body), isRefused):
		status = http.StatusBadRequest
	default:
		w.takes(r.Header.Get("Idempotency-Key"), string(body))
	}
	if fate == 2 {
		return nil, errors.New("connection reset")
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("no")), Request: r}, nil
}

func (w *world) takes(key, body string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if had, ok := w.now.taken[key]; ok && had != body {
		w.wrong = append(w.wrong, fmt.Sprintf("the key %s came with %s and with %s", key, had, body))
	}
	for _, row := range rowsOfBody([]byte(body)) {
		var n struct{ N int }
		if _ = stdjson.Unmarshal([]byte(row), &n); n.N >= w.now.rows {
			w.wrong = append(w.wrong, fmt.Sprintf("row %d came before it was decided", n.N))
		}
	}
	w.now.taken[key] = body
}

// life is one start of the engine.
type life struct {
	w       *world
	s       *outbox
	writer  connector.SinkWriter
	pending []string // letters of the epoch under way
	rows    int
	kept    []connector.Committable // of abandoned epochs
	epoch   uint64
}

var slowly = map[string]any{"in_flight": int64(4), "retry_for": time.Hour, "batch": int64(1)}

func (w *world) start(t testing.TB, set map[string]any) (*life, error) {
	if _, err := w.base.Stat("/data"); err != nil {
		connectortest.MakeDir(t, w.base, "/data")
	}
	l := &life{w: w, s: testOutbox(t, w.fs, w, set), rows: w.now.rows, epoch: w.now.last}
	if err := l.s.Recover(t.Context(), w.now.last, w.now.c); err != nil {
		return l, err
	}
	var err error
	l.writer, err = l.s.Writer(t.Context(), connector.WriterEnv{Dead: func(code, reason, detail string, row []byte) {
		l.pending = append(l.pending, string(row))
	}})
	return l, err
}

// end ends the engine, whatever is under way.
func (l *life) end(ctx context.Context) error {
	var err error
	if l.writer != nil {
		err = l.writer.Close(ctx, false)
	}
	return errors.Join(err, l.s.Close())
}

func (l *life) write(ctx context.Context, n int) error {
	for ; n > 0; n -= 2 {
		if err := l.writer.Write(ctx, alertBatch(l.rows, l.rows+min(n, 2))); err != nil {
			return err
		}
		l.rows += min(n, 2)
	}
	return nil
}

// epochOf takes an epoch up to its decision, or abandons it.
func (l *life) epochOf(ctx context.Context, final, abandoned bool) error {
	l.epoch++
	p, err := l.writer.Prepare(ctx, connector.Epoch{ID: l.epoch, Final: final})
	if err != nil {
		return err
	}
	rows, letters := l.rows, l.pending
	c, err := p.Persist(ctx)
	if err != nil {
		return err
	}
	l.kept = append(l.kept, c)
	if abandoned {
		return nil
	}
	l.pending = nil
	w := l.w
	w.mu.Lock()
	w.now.last, w.now.c, w.now.rows, w.now.final = l.epoch, slices.Clone(l.kept), rows, final
	w.now.letters = append(w.now.letters, letters...)
	w.mu.Unlock()
	l.kept = nil
	return nil
}

func (l *life) commit(ctx context.Context) error {
	return l.s.Commit(ctx, l.w.now.last, l.w.now.c)
}

// run takes an epoch from its barrier to its commit.
func (l *life) run(ctx context.Context, final bool) error {
	return errors.Join(l.epochOf(ctx, final, false), l.commit(ctx))
}

// refusedRows returns the rows in files that a person would look at.
func refusedRows(t testing.TB, fs vfs.FS) []string {
	t.Helper()
	const dir = "/data/p/outbox/alerts"
	names, _ := fs.List(dir)
	var out []string
	for _, n := range names {
		if !strings.HasSuffix(n, ".ndjson") {
			continue
		}
		f, err := fs.Open(dir + "/" + n)
		must(t, err)
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var r refusedRow
			must(t, stdjson.Unmarshal(lines.Bytes(), &r))
			out = append(out, string(r.Payload))
		}
		must(t, f.Close())
	}
	return out
}

// check tells what is wrong when all n rows are decided and everything is over.
func (w *world) check(t testing.TB, n int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.wrong) > 0 {
		return errors.New(w.wrong[0])
	}
	count := map[string]int{}
	for _, body := range w.now.taken {
		for _, row := range rowsOfBody([]byte(body)) {
			count[row]++
		}
	}
	letters := map[string]int{}
	for _, row := range append(refusedRows(t, w.base), w.now.letters...) {
		letters[row]++
	}
	for i := range n {
		row := alertJSON(i)
		if want := isRefused(row); want != (letters[row] == 1) || want != (count[row] == 0) || count[row] > 1 || letters[row] > 1 {
			return fmt.Errorf("row %d: %d letters, came under %d keys", i, letters[row], count[row])
		}
	}
	return nil
}

const sweepRows = 60

// history runs three starts of the engine: one is stopped, one dies, one comes to the end.
func (w *world) history(t testing.TB, set map[string]any) error {
	ctx := t.Context()
	nap := func() {
		w.mu.Lock()
		d := time.Duration(w.rng.IntN(500)) * time.Millisecond
		w.mu.Unlock()
		<-time.After(d)
	}
	for start := range 3 {
		l, err := w.start(t, set)
		if err != nil {
			return err
		}
		for i, rows := range []int{6, 0, 5, 4} {
			if err = errors.Join(l.write(ctx, rows), l.epochOf(ctx, false, false)); err != nil {
				return err
			}
			nap()       // requests of earlier epochs are answered meanwhile
			if i == 3 { // all of them, although the checkpoint names them
				err = l.s.await(ctx, nil, func() bool { return l.s.idle() })
			}
			if err = errors.Join(err, l.commit(ctx)); err != nil {
				return err
			}
			if i == 2 {
				continue
			}
			nap()
			if err = l.writer.Flush(ctx); err != nil {
				return err
			}
		}
		err = errors.Join(l.write(ctx, 3), l.epochOf(ctx, false, true), l.write(ctx, 2))
		switch start {
		case 0: // stopped
			err = errors.Join(err, l.epochOf(ctx, false, false), l.writer.Close(ctx, false), l.commit(ctx))
		case 1: // it dies behind a decision
			err = errors.Join(err, l.epochOf(ctx, false, false))
		default:
			err = errors.Join(err, l.write(ctx, sweepRows-l.rows), l.run(ctx, true), l.writer.Close(ctx, true))
		}
		nap()
		if err = errors.Join(err, l.end(ctx)); err != nil {
			return err
		}
	}
	return w.check(t, sweepRows)
}

// goesOn starts behind a power cut and comes to the end.
func (s *instant) goesOn(t testing.TB, set map[string]any, anew bool) error {
	ctx := t.Context()
	w := newWorld(s.fs, s.truth, 1)
	w.healthy = true
	l, err := w.start(t, set)
	defer func() { must(t, l.end(ctx)) }()
	if err != nil {
		return err
	}
	if anew { // the user wants a new run; the checkpoints of the old one go, and then the power
		w.now.last, w.now.c = w.now.last+2, nil
		left := w.base.CrashClone(vfs.CrashCloneCfg{})
		if err := l.end(ctx); err != nil {
			return err
		}
		w.base, w.fs = left, left
		if l, err = w.start(t, set); err != nil {
			return err
		}
		if err := l.s.Recover(ctx, 0, nil); err != nil {
			return err
		}
	}
	if !w.now.final || anew {
		if err := errors.Join(l.write(ctx, sweepRows-l.rows), l.run(ctx, false), l.run(ctx, true), l.writer.Close(ctx, true)); err != nil {
			return err
		}
	}
	return w.check(t, sweepRows)
}

// sweep cuts the power at every operation and every request.
func sweep(t *testing.T, seed uint64, sticky bool, set map[string]any) {
	var states []instant
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(vfs.NewCrashableMem(), truth{}, seed)
		w.keep, w.sticky = true, sticky
		if err := w.history(t, set); err != nil {
			t.Errorf("without a cut: %v", err)
		}
		states = w.instants
	})
	wrong := 0
	for i := 0; i < len(states) && wrong < 10; i++ {
		s := &states[i]
		synctest.Test(t, func(t *testing.T) {
			if err := s.goesOn(t, set, i%5 == 2); err != nil {
				if wrong++; wrong < 4 {
					t.Errorf("%s: %v", s.what, err)
				}
			}
		})
	}
	t.Logf("%d of %d states are wrong", wrong, len(states))
	if len(states) < 300 {
		t.Error("too few to be all")
	}
}

// TestNoPowerCutLosesOrRepeatsAnAlert looks at everything that was decided before a
// power cut: each row arrives under one key, or becomes one dead letter.
func TestNoPowerCutLosesOrRepeatsAnAlert(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { sweep(t, seed, seed == 1, slowly) })
	}
}
