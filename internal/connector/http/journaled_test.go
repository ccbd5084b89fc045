package httpio

import (
	"context"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/codec/codectest"
	"github.com/gorge-stream/gorge/internal/compress"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/connectortest"
	"github.com/gorge-stream/gorge/internal/diag"
)

// engine is a source with checkpoints, and what a job does with it.
type engine struct {
	*ingest
	fs       vfs.FS
	position connector.Position
	decoder  codec.Decoder
}

func epochEnv(mux connector.Mux, fs vfs.FS) connector.SourceEnv {
	env := sourceEnv(mux, "readings")
	env.Epochs, env.DataDir, env.FS, env.BlockBytes = true, "data", fs, 4<<10
	return env
}

// try starts a source at a position.
func try(t testing.TB, fs vfs.FS, at connector.Position, set map[string]any) (*engine, error) {
	e := &engine{ingest: &ingest{t: t, mux: http.NewServeMux()}, fs: fs, position: at}
	var err error
	if e.src, err = Registration.NewSource(values(Registration.Source, set), epochEnv(e.mux, fs)); err != nil {
		return nil, err
	}
	if e.r, err = e.src.Open(t.Context(), connector.Split{ID: "readings"}, at); err != nil {
		return nil, errors.Join(err, e.src.Close())
	}
	e.decoder, err = jsonFormat.NewDecoder(values(jsonFormat.Decl, nil), readings, readings, codec.Limits{}.WithDefaults())
	return e, err
}

func start(t testing.TB, fs vfs.FS, at connector.Position, set map[string]any) *engine {
	t.Helper()
	e, err := try(t, fs, at, set)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.stop)
	return e
}

// stop ends the source as a job does at a checkpoint.
func (e *engine) stop() {
	if err := errors.Join(e.r.Close(), e.src.Close()); err != nil {
		e.t.Error(err)
	}
}

// read polls until the source is dry and returns the devices, and the number of blocks.
func (e *engine) read() (devices []string, blocks int, err error) {
	var b connector.Block
	for {
		err := e.r.Poll(e.t.Context(), &b)
		if errors.Is(err, connector.ErrNoData) {
			return devices, blocks, nil
		}
		if err != nil {
			return devices, blocks, err
		}
		if b.Rows != nil || cap(b.Data)-len(b.Data) < codec.Pad {
			return nil, 0, errors.New("a block without data or pad")
		}
		rows, bad := codectest.Decode(e.t, e.decoder, readings, b.Data, 64, 0)
		if len(bad) > 0 {
			return nil, 0, fmt.Errorf("%d bad records in %q", len(bad), b.Data)
		}
		for _, r := range rows {
			devices = append(devices, fmt.Sprint(r[0]))
		}
		blocks++
		e.position = e.r.Position()
	}
}

// want reads and compares.
func (e *engine) want(what string, devices ...string) {
	e.t.Helper()
	got, _, err := e.read()
	if err != nil || !slices.Equal(got, devices) {
		e.t.Errorf("%s: got %d rows %.200q, want %d %.200q: %v", what, len(got), got, len(devices), devices, err)
	}
}

func (e *engine) release() {
	e.t.Helper()
	if err := e.src.(connector.Releaser).Release(e.t.Context(), "readings", e.position); err != nil {
		e.t.Error(err)
	}
}

// send posts and checks the answer.
func (e *engine) send(status int, body string, headers ...string) {
	e.t.Helper()
	w := e.post("/ingest/readings", strings.NewReader(body), append(headers, "Content-Type", "application/json")...)
	if w.Code != status || !stdjson.Valid(w.Body.Bytes()) {
		e.t.Errorf("%d %s, want %d", w.Code, w.Body, status)
	}
	if want := strings.Count(body, "device_id"); status == 202 && w.Body.String() != fmt.Sprintf("{\"accepted\":%d}\n", want) {
		e.t.Errorf("%s for %d rows", w.Body, want)
	}
}

func devices(from, to int) (out []string) {
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("dev-%07d", i))
	}
	return out
}

func TestAcceptedRequestsOutliveTheSource(t *testing.T) {
	fs := vfs.NewCrashableMem()
	e := start(t, fs, nil, nil)
	e.send(202, lines(0, 5))
	e.send(202, "["+reading(5)+",\n"+reading(6)+"]")
	e.want("at once", devices(0, 7)...)
	middle := e.position
	e.send(202, strings.ReplaceAll(reading(7), ",", ",\n"))
	w := e.post("/ingest", packed(t, compress.Gzip, lines(8, 12)), "Content-Type", "application/json", "Content-Encoding", "gzip")
	if w.Code != 202 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	e.send(202, "")
	e.send(400, reading(12)+"\n{}")
	if _, drains := e.src.(connector.Drainer); drains {
		t.Error("the source has a journal and wants to be drained")
	}
	// The power fails; nothing was read since the checkpoint in the middle.
	e = start(t, fs.CrashClone(vfs.CrashCloneCfg{}), middle, nil)
	e.want("after a power cut", devices(7, 12)...)
	e.stop()
	// Stopped in good order, and started at the end, in the middle, and without a checkpoint.
	e = start(t, e.fs, e.position, nil)
	e.want("at the end")
	e.send(202, reading(12))
	e.want("new ones", "dev-0000012")
	e.stop()
	e = start(t, e.fs, middle, nil)
	e.want("in the middle", devices(7, 13)...)
	e.release()
	e.stop()
	e = start(t, e.fs, nil, nil)
	e.send(202, reading(13)) // brings the mark of the release to the disk
	e.want("without a checkpoint", "dev-0000013")
}

// gate holds the disk back in the middle of a sync.
type gate struct {
	armed       atomic.Bool
	held, opens chan struct{}
}

func (g *gate) over(fs vfs.FS) vfs.FS {
	g.held, g.opens = make(chan struct{}), make(chan struct{})
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData && g.armed.CompareAndSwap(true, false) {
			g.held <- struct{}{}
			<-g.opens
		}
		return nil
	}))
}

// together brings bodies into the journal as one group, and returns how many rows each has; -1 when it is refused.
func (e *engine) together(g *gate, bodies ...string) (rows []int) {
	e.t.Helper()
	s := e.src.(*journaled)
	k := <-s.workers
	defer func() { s.workers <- k }()
	accept := func(body string) *arrival {
		a := &arrival{claim: claim{queue: s.queue, held: 1 << 20}, body: append(make([]byte, 0, len(body)+codec.Pad), body...)}
		if err := k.accept(a); err != nil {
			return &arrival{rows: -1}
		}
		return a
	}
	g.armed.Store(true)
	accept(reading(0)) // keeps the writer busy
	<-g.held
	var last uint64
	for _, b := range bodies {
		a := accept(b)
		rows, last = append(rows, a.rows), max(last, a.seq)
	}
	close(g.opens)
	if last > 0 {
		if err := s.intake.wait(last); err != nil {
			e.t.Fatal(err)
		}
	}
	var b connector.Block
	if err := s.Wait(e.t.Context()); err != nil {
		e.t.Fatal(err)
	}
	if err := e.r.Poll(e.t.Context(), &b); err != nil {
		e.t.Fatal(err)
	}
	return rows
}

func TestRequestsInLinesShareBlocksAndOthersDoNot(t *testing.T) {
	g := &gate{}
	e := start(t, g.over(vfs.NewMem()), nil, nil)
	e.together(g,
		reading(0), reading(1)+"\n", lines(2, 5), // one block
		"["+reading(5)+"]",
		reading(6),
		"\n"+reading(7)+"\r\n",
		strings.ReplaceAll(reading(8), ",", ",\n")+" "+reading(9),
		"{\"device_id\":\n\"dev-0000010\",\"ts\":1,\"temperature\":null} "+reading(11),
		reading(12),
		lines(13, 200),             // large
		reading(200), reading(201), // one block
	)
	got, blocks, err := e.read()
	if err != nil || !slices.Equal(got, devices(0, 202)) || blocks != 9 {
		t.Errorf("%d rows in %d blocks, want 9: %q %v", len(got), blocks, got, err)
	}
}

// FuzzBlocks holds that requests mean the same when they share a block: what is
// read from the journal is what each of them was accepted with.
func FuzzBlocks(f *testing.F) {
	f.Add(reading(1), reading(2)+"\n")
	f.Add("["+reading(1)+"]", "["+reading(2)+"]")
	f.Add(strings.ReplaceAll(reading(1), ",", ",\n"), lines(0, 3))
	f.Add("{\"device_id\":\n\"a\",\"ts\":1} {\"device_id\":\"b\",\"ts\":1}", reading(1))
	f.Add("[]", "\xef\xbb\xbf"+reading(1))
	f.Fuzz(func(t *testing.T, a, b string) {
		g := &gate{}
		e := start(t, g.over(vfs.NewMem()), nil, nil)
		var want []string
		for _, body := range []string{a, b, a, reading(7), b} {
			rows, bad := codectest.Decode(t, e.decoder, readings, append(make([]byte, 0, len(body)+codec.Pad), body...), 64, 0)
			for _, r := range rows {
				if len(bad) == 0 {
					want = append(want, fmt.Sprint(r))
				}
			}
		}
		sum := 0
		for _, n := range e.together(g, a, b, a, reading(7), b) {
			sum += max(n, 0)
		}
		var got []string
		var blk connector.Block
		for {
			if err := e.r.Poll(t.Context(), &blk); errors.Is(err, connector.ErrNoData) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			rows, bad := codectest.Decode(t, e.decoder, readings, blk.Data, 64, 0)
			if len(bad) > 0 {
				t.Fatalf("%q from the journal is bad: %s", blk.Data, bad[0].Reason)
			}
			for _, r := range rows {
				got = append(got, fmt.Sprint(r))
			}
		}
		if !slices.Equal(got, want) || sum != len(want) {
			t.Errorf("accepted were %d rows, read %q, want %q", sum, got, want)
		}
	})
}

// TestTheJournaledSourceFollowsTheContract reads a journal with requests of all
// kinds from every position, in groups as they happened to arrive.
func TestTheJournaledSourceFollowsTheContract(t *testing.T) {
	fs := vfs.NewCrashableMem()
	e := start(t, fs, nil, nil)
	var group sync.WaitGroup
	for s := range 16 {
		group.Go(func() {
			for i := range 12 {
				from := (s*12 + i) * 100
				body := lines(from, from+1+i*i)
				if i%5 == 2 {
					body = "[" + reading(from) + "," + reading(from+1) + "]"
				}
				e.send(202, body)
			}
		})
	}
	group.Wait()
	_, blocks, err := e.read()
	if err != nil {
		t.Fatal(err)
	}
	e.stop()
	connectortest.Source(t, connectortest.SourceCase{
		Blocks: blocks,
		New: func(t testing.TB) connector.Source {
			s, err := Registration.NewSource(values(Registration.Source, nil), epochEnv(http.NewServeMux(), fs.CrashClone(vfs.CrashCloneCfg{})))
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	})
}

func TestAFullJournalAnswers429UntilACheckpointMakesRoom(t *testing.T) {
	e := start(t, vfs.NewMem(), nil, map[string]any{"journal_limit": int64(1 << 20)})
	sent := 0
	body := lines(0, 500)
	for {
		w := e.post("/ingest", strings.NewReader(body))
		if w.Code == 429 && w.Header().Get("Retry-After") != "" {
			break
		}
		if w.Code != 202 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		sent++
	}
	if n := sent * len(body); n < 900<<10 || n > 1<<20 {
		t.Errorf("%d bytes fit into a MiB", n)
	}
	if rows, _, err := e.read(); err != nil || len(rows) != sent*500 {
		t.Errorf("%d rows of %d requests: %v", len(rows), sent, err)
	}
	e.send(429, body)
	e.release()
	e.send(202, body)
	e.send(413, lines(0, 20_000))
}

func TestAFailedDiskEndsTheSourceAndLosesNothing(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EIO} {
		base := vfs.NewCrashableMem()
		var broken atomic.Bool
		fs := errorfs.Wrap(base, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if broken.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileClose {
				return cause
			}
			return nil
		}))
		e := start(t, fs, nil, nil)
		e.send(202, lines(0, 5))
		broken.Store(true)
		for range 2 {
			w := e.post("/ingest", strings.NewReader(reading(5)))
			if w.Code != 503 || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), ".jnl") {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if full := strings.Contains(w.Body.String(), "the disk is full"); full != errors.Is(cause, syscall.ENOSPC) {
				t.Errorf("%v: %s", cause, w.Body)
			}
		}
		if err := e.src.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		var d *diag.Error
		var b connector.Block
		if err := e.r.Poll(t.Context(), &b); !errors.As(err, &d) || d.Code != "journal/disk" || !errors.Is(err, cause) || d.Hint == "" {
			t.Errorf("the job ends with %v", err)
		}
		broken.Store(false)
		again := start(t, base.CrashClone(vfs.CrashCloneCfg{}), nil, nil)
		again.want("after the next start", devices(0, 5)...)
		again.send(202, reading(5))
		again.want("and then", "dev-0000005")
	}
}

func TestPositionsOfOthersAreRefused(t *testing.T) {
	fs := vfs.NewMem()
	e := start(t, fs, nil, nil)
	e.send(202, lines(0, 3))
	e.want("three", devices(0, 3)...)
	at := e.position
	e.stop()
	for code, p := range map[diag.Code]connector.Position{
		"ingest/position": []byte("x"), "journal/lost": append(slices.Clone(at[:16]), 9), "ingest/other-journal": append([]byte{1, 0}, at[2:]...),
	} {
		var d *diag.Error
		if _, err := try(t, fs, p, nil); !errors.As(err, &d) || d.Code != code || d.Hint == "" {
			t.Errorf("%x: %v, want %s", []byte(p), err, code)
		}
	}
	var d *diag.Error
	if _, err := try(t, vfs.NewMem(), at, nil); !errors.As(err, &d) || d.Code != "ingest/other-journal" {
		t.Errorf("a journal that is gone: %v", err)
	}
	if err := e.src.(connector.Releaser).Release(t.Context(), "readings", nil); err != nil {
		t.Error(err)
	}
}

func TestWaitEndsWhenARequestComes(t *testing.T) {
	e := start(t, vfs.NewMem(), nil, nil)
	e.want("nothing")
	woken := make(chan error)
	go func() { woken <- e.src.Wait(t.Context()) }()
	e.send(202, reading(0))
	if err := <-woken; err != nil {
		t.Error(err)
	}
	e.want("one", "dev-0000000")
	ctx, cancel := context.WithCancel(t.Context())
	go func() { woken <- e.src.Wait(ctx) }()
	cancel()
	if err := <-woken; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestEveryRequestHasItsOwnPreambleInTheJournal(t *testing.T) {
	fs := vfs.NewMem()
	mux := http.NewServeMux()
	env := epochEnv(mux, fs)
	env.Format = preambled()
	src, err := Registration.NewSource(values(Registration.Source, nil), env)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = src.Close() }()
	in := &ingest{t: t, mux: mux, src: src}
	if in.r, err = src.Open(t.Context(), connector.Split{ID: "readings"}, nil); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.r.Close() }()
	for _, body := range []string{"a\na1\na2\n", "b\nb1\n", "b\nb2", "only a header", "a\na3\n"} {
		if w := in.post("/ingest", strings.NewReader(body), "Content-Type", "text/csv"); w.Code != 202 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	var got []string
	var kept [][]byte
	for {
		var b connector.Block
		if err := in.r.Poll(t.Context(), &b); errors.Is(err, connector.ErrNoData) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, b.Preamble)
		got = append(got, string(b.Data))
	}
	if fmt.Sprintf("%q %q", kept, got) != `["a\n" "b\n" "b\n" "a\n"] ["a1\na2\n" "b1\n" "b2\n" "a3\n"]` {
		t.Errorf("%q %q", kept, got)
	}
}
