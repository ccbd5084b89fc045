package httpio

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec/codectest"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/connectortest"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

// run is one start of an engine whose sink is an outbox.
type run struct {
	t       testing.TB
	s       *outbox
	w       connector.SinkWriter
	letters []string
	epoch   uint64
	c       []connector.Committable
}

// startOutbox recovers from a checkpoint and makes the writer.
func startOutbox(t testing.TB, fs vfs.FS, rt http.RoundTripper, set map[string]any, last uint64, c []connector.Committable) *run {
	t.Helper()
	r := &run{t: t, s: testOutbox(t, fs, rt, set), epoch: last, c: c}
	must(t, r.s.Recover(t.Context(), last, c))
	r.writer()
	return r
}

func (r *run) writer() {
	var err error
	r.w, err = r.s.Writer(r.t.Context(), connector.WriterEnv{Dead: func(code, _, detail string, row []byte) {
		r.letters = append(r.letters, code+" "+string(row))
	}})
	must(r.t, err)
}

func (r *run) write(from, to int) { must(r.t, r.w.Write(r.t.Context(), alertBatch(from, to))) }

// decide takes an epoch up to its decision.
func (r *run) decide(final bool) {
	r.t.Helper()
	r.epoch++
	p, err := r.w.Prepare(r.t.Context(), connector.Epoch{ID: r.epoch, Final: final})
	must(r.t, err)
	c, err := p.Persist(r.t.Context())
	must(r.t, err)
	r.c = []connector.Committable{c}
}

func (r *run) commit() error { return r.s.Commit(r.t.Context(), r.epoch, r.c) }

func (r *run) end() {
	r.t.Helper()
	must(r.t, r.w.Close(r.t.Context(), false))
	must(r.t, r.s.Close())
	must(r.t, r.s.Close())
}

// until waits for something that the dispatcher does.
func (r *run) until(ok func() bool) {
	r.t.Helper()
	must(r.t, r.s.await(r.t.Context(), nil, ok))
}

func (o *other) keys() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []string
	for _, c := range o.got {
		out = append(out, c.header.Get("Idempotency-Key"))
	}
	return out
}

func TestAReceiverThatIsDownHoldsUpNoEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		o := &other{answer: func(int, *http.Request) (int, string, string) {
			if time.Since(begin) < time.Minute {
				return 0, "", "connection refused"
			}
			return 200, "", ""
		}}
		r := startOutbox(t, vfs.NewMem(), o, map[string]any{"retry_for": time.Hour, "in_flight": int64(2)}, 0, nil)
		for i := range 5 {
			r.write(i*10, i*10+10)
			r.decide(false)
			must(t, r.commit())
		}
		if d := time.Since(begin); d != 0 {
			t.Errorf("five epochs took %v", d)
		}
		r.decide(false)
		if d, _ := decideAll(r.c); len(d.owed) != 5 || d.owed[4].Next != 0 || d.fresh != nil {
			t.Errorf("the checkpoint says %+v", d)
		}
		must(t, r.commit())
		r.until(r.s.idle)
		r.decide(false)
		if d, _ := decideAll(r.c); d.owed != nil {
			t.Errorf("the checkpoint behind all answers says %+v", d)
		}
		must(t, r.commit())
		if names, _ := r.s.fs.List(r.s.dir()); !slices.Equal(names, []string{lockName}) {
			t.Errorf("%v is left", names)
		}
		got := map[string]bool{}
		for _, b := range o.bodies() {
			got[b] = true
		}
		for i := range 50 {
			if !got[alertJSON(i)] {
				t.Errorf("row %d is missing", i)
			}
		}
		if o.most > 2 {
			t.Errorf("%d requests at a time", o.most)
		}
		r.end()
	})
}

// TestAFullOutboxMakesThePipelineWait has a receiver that stalls for a minute while rows come as fast as they can.
func TestAFullOutboxMakesThePipelineWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		o := &other{answer: func(int, *http.Request) (int, string, string) {
			if d := time.Minute - time.Since(begin); d > 0 {
				<-time.After(d)
			}
			return 200, "", ""
		}}
		const limit = 20 << 10
		set := map[string]any{"outbox_limit": int64(limit), "batch": int64(10), "timeout": time.Hour}
		r := startOutbox(t, vfs.NewMem(), o, set, 0, nil)
		var stalls []string
		r.s.tell = func(reason string) { stalls = append(stalls, reason) }
		most := int64(0)
		for i := range 200 {
			r.write(i*10, i*10+10)
			r.s.mu.Lock()
			most = max(most, r.s.owed+r.s.pending)
			r.s.mu.Unlock()
			if i%20 == 19 {
				r.decide(false)
				must(t, r.commit())
			}
		}
		if d := time.Since(begin); d != time.Minute {
			t.Errorf("the rows were taken after %v, want a minute", d)
		}
		if most > limit+2<<10 {
			t.Errorf("%d bytes were owed, above the limit of %d", most, limit)
		}
		if len(stalls) < 2 || !strings.Contains(stalls[0], "http://alerts.example has not answered") || stalls[1] != "" {
			t.Errorf("told %q", stalls)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r.until(r.s.idle)
		rows := 0
		for _, b := range o.bodies() {
			rows += len(rowsOfBody([]byte(b)))
		}
		if rows != 2000 {
			t.Errorf("%d of 2000 rows", rows)
		}

		// What is not decided does not fill the outbox alone: the barrier is behind it.
		for i := range 50 {
			must(t, r.w.Write(ctx, alertBatch(i*100, i*100+100)))
		}
		if r.s.pending < 5*limit {
			t.Errorf("%d bytes are pending", r.s.pending)
		}
		r.end()
	})
}

// wide is a batch of rows of a kilobyte.
func wide(n int) *batch.Batch {
	b := batch.NewPool(alerts, n).Get()
	for i := range n {
		codectest.SetRow(b, i, []any{int64(i), strings.Repeat("x", 1000)})
	}
	b.SetLen(n)
	return b
}

func TestALargeEpochDoesNotStayInMemory(t *testing.T) {
	o := always(200)
	r := startOutbox(t, vfs.NewMem(), o, map[string]any{"batch": int64(100)}, 0, nil)
	for range 50 {
		must(t, r.w.Write(t.Context(), wide(100)))
		if n := len(r.w.(*outboxWriter).content.buf); n > spillFrom {
			t.Fatalf("%d bytes in memory", n)
		}
	}
	r.decide(false)
	must(t, r.commit())
	r.until(r.s.idle)
	if len(o.got) != 50 || len(rowsOfBody([]byte(o.got[49].body))) != 100 {
		t.Errorf("%d requests", len(o.got))
	}
	must(t, r.w.Write(t.Context(), wide(2000))) // it is spilled and never prepared
	r.end()
}

// TestRefusedRowsWaitInBoundedMemory has a receiver that refuses everything at length.
func TestRefusedRowsWaitInBoundedMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &other{answer: func(int, *http.Request) (int, string, string) { return 400, "", strings.Repeat("no ", 1000) }}
		r := startOutbox(t, vfs.NewMem(), o, map[string]any{"retry_for": time.Hour}, 0, nil)
		const n = 9000
		for i := 0; i < n; i += 100 {
			r.write(i, i+100)
		}
		r.decide(false)
		must(t, r.commit())
		synctest.Wait()
		if len(o.got) > 5000 || r.s.held > maxHeld+64<<10 {
			t.Errorf("%d rows refused, %d bytes held", len(o.got), r.s.held)
		}
		if len(r.letters) != 0 {
			t.Fatal("letters outside of the writer's methods")
		}
		for len(r.letters) < n {
			must(t, r.w.Flush(t.Context()))
			synctest.Wait()
		}
		for i, l := range r.letters {
			if l != "refused "+alertJSON(i) {
				t.Fatalf("letter %d is %s", i, l)
			}
		}
		r.end()
	})
}

// TestRowsRefusedBehindTheEndAreKeptInAFile: only rows of the final epoch itself have no dead letters.
func TestRowsRefusedBehindTheEndAreKeptInAFile(t *testing.T) {
	fs := vfs.NewMem()
	o := &other{answer: func(_ int, r *http.Request) (int, string, string) { return 422, "", "unknown device" }}
	r := startOutbox(t, fs, o, nil, 0, nil)
	var logged bytes.Buffer
	r.s.log = slog.New(slog.NewTextHandler(&logged, nil))
	r.write(0, 2)
	r.decide(false)
	must(t, r.commit())
	r.until(r.s.idle)
	r.write(2, 5)
	r.decide(true)
	slices.Sort(r.letters)
	if want := []string{"refused " + alertJSON(0), "refused " + alertJSON(1)}; !slices.Equal(r.letters, want) {
		t.Errorf("letters %q, want %q", r.letters, want)
	}
	for range 2 {
		must(t, r.commit())
	}
	final := refusedRows(t, fs)
	slices.Sort(final)
	if want := []string{alertJSON(2), alertJSON(3), alertJSON(4)}; !slices.Equal(final, want) || len(r.letters) != 2 {
		t.Errorf("in the file %q, want %q", final, want)
	}
	if l := logged.String(); !strings.Contains(l, "level=ERROR") || !strings.Contains(l, "rows=3") || !strings.Contains(l, "refused-") {
		t.Errorf("logged %q", l)
	}
	r.end()
	next := startOutbox(t, fs, o, nil, r.epoch, r.c)
	next.s.halt()
	must(t, next.s.Recover(t.Context(), 0, nil))
	if len(o.got) != 5 || len(refusedRows(t, fs)) != 3 {
		t.Errorf("%d requests, %q in the file", len(o.got), refusedRows(t, fs))
	}
	next.end()
}

func TestRowsThatCannotBeSentAtTheEndAreSentByTheNextStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		up := false
		o := &other{answer: func(int, *http.Request) (int, string, string) {
			if !up {
				return 503, "", "down for repairs"
			}
			return 200, "", ""
		}}
		r := startOutbox(t, fs, o, map[string]any{"retry_for": 5 * time.Second}, 0, nil)
		r.write(0, 3)
		r.decide(true)
		err := r.commit()
		var d *diag.Error
		if !errors.As(err, &d) || d.Code != "http/unreachable" || !strings.Contains(err.Error(), "503") {
			t.Errorf("the final commit: %v", err)
		}
		if err := r.w.Flush(t.Context()); !errors.As(err, &d) {
			t.Errorf("Flush behind it: %v", err)
		}
		r.end()
		s := testOutbox(t, fs, o, map[string]any{"retry_for": time.Second})
		if err := s.Recover(t.Context(), r.epoch, r.c); !errors.As(err, &d) || d.Code != "http/unreachable" {
			t.Errorf("Recover while the receiver is still down: %v", err)
		}
		must(t, s.Close())
		up = true
		o.got = nil
		s = testOutbox(t, fs, o, nil)
		must(t, s.Recover(t.Context(), r.epoch, r.c))
		if len(o.got) != 3 {
			t.Errorf("%d requests when Recover has returned", len(o.got))
		}
		must(t, s.Close())
	})
}

// TestTheEndMakesProgressOverCrashes has a slow receiver, and an engine that is killed again and again while it waits for it at the end.
func TestTheEndMakesProgressOverCrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewCrashableMem()
		connectortest.MakeDir(t, fs, "/data")
		o := &other{answer: func(_ int, r *http.Request) (int, string, string) {
			<-time.After(100 * time.Millisecond)
			body, _ := r.GetBody()
			if b, _ := io.ReadAll(body); isRefused(string(b)) {
				return 400, "", ""
			}
			return 200, "", ""
		}}
		set := map[string]any{"in_flight": int64(2)}
		r := startOutbox(t, fs, o, set, 0, nil)
		const n = 200 // ten seconds
		r.write(0, n)
		r.decide(true)
		starts := 0
		for ctx := t.Context(); ; starts++ {
			left, cancel := context.WithTimeout(ctx, 2500*time.Millisecond)
			var err error
			if starts == 0 {
				err = r.s.Commit(left, r.epoch, r.c)
			} else {
				err = r.s.Recover(left, r.epoch, r.c)
			}
			cancel()
			killed := fs.CrashClone(vfs.CrashCloneCfg{})
			must(t, r.s.Close())
			if err == nil {
				break
			}
			if !errors.Is(err, context.DeadlineExceeded) || starts > 10 {
				t.Fatalf("start %d: %v", starts, err)
			}
			fs = killed
			r.s = testOutbox(t, fs, o, set)
		}
		refused := refusedRows(t, fs)
		slices.Sort(refused)
		want := 0
		for i := range n {
			if isRefused(alertJSON(i)) {
				want++
			}
		}
		if len(refused) != want || len(slices.Compact(refused)) != want {
			t.Errorf("%d rows in the files, want %d", len(refused), want)
		}
		if again := len(o.got) - n; starts < 3 || again > starts*25 {
			t.Errorf("%d starts, %d requests sent again", starts, again)
		}
	})
}

// TestAGracefulStopRepeatsNothing: what was answered behind the last checkpoint is noted at the end.
func TestAGracefulStopRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		refusals := 0
		o := &other{answer: func(_ int, r *http.Request) (int, string, string) {
			<-time.After(time.Second)
			body, _ := r.GetBody()
			if b, _ := io.ReadAll(body); string(b) == alertJSON(9) && refusals == 0 {
				refusals++
				return 400, "", "" // its letter is in no checkpoint
			}
			return 200, "", ""
		}}
		set := map[string]any{"in_flight": int64(3)}
		r := startOutbox(t, fs, o, set, 0, nil)
		r.write(0, 20)
		r.decide(false)
		must(t, r.commit())
		<-time.After(1500 * time.Millisecond)
		r.end()
		if len(o.got) != 6 {
			t.Errorf("%d requests at the end", len(o.got))
		}
		r = startOutbox(t, fs, o, set, r.epoch, r.c)
		<-time.After(1500 * time.Millisecond)
		r.end() // rows 6 to 11 are answered, 9 with a refusal
		r = startOutbox(t, fs, o, set, r.epoch, r.c)
		r.until(r.s.idle)
		r.end()
		sent := map[string]int{}
		for _, b := range o.bodies() {
			sent[b]++
		}
		for i := range 20 {
			// The refused row comes again, and those that were answered behind it.
			if n := sent[alertJSON(i)]; i == 9 && n != 2 || i != 9 && n != 1 && (n != 2 || i < 9 || i > 11) {
				t.Errorf("row %d was sent %d times", i, n)
			}
		}
		if len(r.letters) != 0 {
			t.Errorf("letters %q", r.letters)
		}
	})
}

// TestSettingsMayChangeWhileRowsAreOwed: a key has the same body for ever.
func TestSettingsMayChangeWhileRowsAreOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		up := false
		o := &other{answer: func(int, *http.Request) (int, string, string) {
			if !up {
				return 0, "", "no answer"
			}
			return 200, "", ""
		}}
		r := startOutbox(t, fs, o, map[string]any{"batch": int64(3), "in_flight": int64(1)}, 0, nil)
		r.write(0, 3)
		r.decide(false)
		must(t, r.commit())
		synctest.Wait()
		r.end()
		up = true
		before := len(o.got)
		set := map[string]any{"body": "lines", "headers": []spec.Pair{{Key: "Authorization", Value: "new"}}}
		r = startOutbox(t, fs, o, set, r.epoch, r.c)
		r.until(r.s.idle)
		r.write(0, 1)
		r.decide(false)
		must(t, r.commit())
		r.until(r.s.idle)
		r.end()
		first, again, last := o.got[0], o.got[before], o.got[len(o.got)-1]
		if before == 0 || first.body != again.body || o.keys()[0] != o.keys()[before] || again.header.Get("Content-Type") != "application/json" || again.header.Get("Authorization") != "new" {
			t.Errorf("first %+v\nthen %+v", first, again)
		}
		if last.body != alertJSON(0)+"\n" || last.header.Get("Content-Type") != "application/x-ndjson" {
			t.Errorf("a new row: %+v", last)
		}
	})
}

func TestEqualRowsHaveKeysOfTheirOwn(t *testing.T) {
	o := always(200)
	fs := vfs.NewMem()
	r := startOutbox(t, fs, o, nil, 0, nil)
	for range 3 {
		r.write(7, 8)
		r.write(7, 8)
		r.decide(false)
		must(t, r.commit())
	}
	r.until(r.s.idle)
	r.end()
	// The checkpoints are gone, and epochs begin at 1 again.
	r = startOutbox(t, fs, o, nil, 0, nil)
	r.write(7, 8)
	r.decide(true)
	must(t, r.commit())
	r.end()
	keys := o.keys()
	slices.Sort(keys)
	if len(keys) != 7 || len(slices.Compact(keys)) != 7 {
		t.Errorf("keys %q", keys)
	}
}

func TestOneEngineUsesAnOutbox(t *testing.T) {
	fs := vfs.NewMem()
	r := startOutbox(t, fs, always(200), nil, 0, nil)
	second := testOutbox(t, fs, always(200), nil)
	var d *diag.Error
	if err := second.Recover(t.Context(), 0, nil); !errors.As(err, &d) || d.Code != "http/outbox-in-use" {
		t.Errorf("a second engine: %v", err)
	}
	must(t, second.Close())
	if _, err := r.s.Writer(t.Context(), connector.WriterEnv{Task: 1}); err == nil {
		t.Error("a second writer")
	}
	r.end()
	if err := r.w.Write(t.Context(), alertBatch(0, 1)); err == nil {
		t.Error("Write behind Close")
	}
}
