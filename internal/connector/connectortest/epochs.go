package connectortest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec/codectest"
	"github.com/gorge-stream/gorge/internal/connector"
)

// EpochCase is a sink with epochs under test.
type EpochCase struct {
	// Schema is that of the rows; nil means Chunks with a Line a row.
	Schema *batch.Schema
	// Row is row i, with the Go types of codectest.SetRow; nil means values made up for the kinds of the schema.
	Row func(i int) []any
	// Text is row i as EpochPlace.Rows returns it; nil means Line without its line end.
	Text func(i int) string
	// Writers is how many tasks write; 0 means one.
	Writers int
	// AtEnd: what was committed is visible from the final epoch on only.
	AtEnd bool
	// Ordered: a reader sees the rows in the order of their writing. It holds with one writer.
	Ordered bool
	// New makes a fresh place to write to. PowerLoss and DiskErrors do not need it.
	New func(t testing.TB) EpochPlace
	// Failed, when set, looks at the error that an error of the disk became.
	Failed func(t testing.TB, err error)
	// Every: PowerLoss tries every so manieth state alone, and DiskErrors every so manieth operation; 0 means all.
	Every int
}

// EpochPlace is a place that a sink writes to, over any number of starts of the engine.
type EpochPlace struct {
	// Sink makes a sink over the place, as a start of the engine does.
	Sink func(t testing.TB) connector.Sink
	// Rows returns what a reader sees now, without a sink.
	Rows func(t testing.TB) []string
	// Crash, when set, is called when the engine has just been killed; nothing
	// that the old sink does afterwards may have an effect on the place. Without
	// it the old sink is only closed.
	Crash func(t testing.TB)
}

// Epochs runs the suite of sinks with epochs.
func Epochs(t *testing.T, c EpochCase) {
	t.Helper()
	c = c.withDefaults()
	leaks := goleak.IgnoreCurrent()
	before := batch.Live()
	for _, e := range epochTests {
		t.Run(e.name, func(t *testing.T) { e.run(&c, t) })
	}
	if after := batch.Live(); after != before {
		t.Errorf("%d batches leaked", after-before)
	}
	goleak.VerifyNone(t, leaks)
}

var epochTests = []struct {
	name string
	run  func(c *EpochCase, t testing.TB)
}{
	{"an epoch is visible from its commit on", (*EpochCase).commits},
	{"a crash at every step", (*EpochCase).crashes},
	{"abandoned epochs", (*EpochCase).abandons},
	{"persist beside the next epoch", (*EpochCase).overlaps},
	{"closed without a final epoch", (*EpochCase).stops},
	{"a checkpoint without committables", (*EpochCase).nothing},
	{"a new run begins", (*EpochCase).anew},
	{"shared batches stay as they are", (*EpochCase).sharesBatches},
}

func (c EpochCase) withDefaults() EpochCase {
	if c.Schema == nil {
		c.Schema = Chunks
		c.Row = func(i int) []any { return []any{[]byte(Line(i))} }
	}
	if c.Row == nil {
		c.Row = func(i int) []any { return madeUp(c.Schema, i) }
	}
	if c.Text == nil {
		c.Text = func(i int) string { return strings.TrimSuffix(Line(i), "\n") }
	}
	c.Writers, c.Every = max(c.Writers, 1), max(c.Every, 1)
	return c
}

// history is what is decided: the memory of the test, which no crash touches.
type history struct {
	mu    sync.Mutex
	last  uint64                  // decided epoch, 0: none
	c     []connector.Committable // of it
	rows  int                     // rows 0 to rows-1 belong to decided epochs
	final bool                    // the last one was final
}

// now returns a copy.
func (h *history) now() *history {
	h.mu.Lock()
	defer h.mu.Unlock()
	return &history{last: h.last, c: slices.Clone(h.c), rows: h.rows, final: h.final}
}

func (h *history) decide(epoch uint64, c []connector.Committable, rows int, final bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last, h.c, h.rows, h.final = epoch, c, rows, final
}

// engine is one start of the engine with one sink. Its methods return the error of the sink.
type engine struct {
	c       *EpochCase
	t       testing.TB
	h       *history
	pool    *batch.Pool
	sink    connector.Sink
	writers []connector.SinkWriter
	rows    int                     // the next row to write
	epoch   uint64                  // the last one prepared
	kept    []connector.Committable // of abandoned epochs
}

// epochRows is how many rows each epoch has.
const epochRows = 30

// start opens the sink and brings it to where the history stands.
func (c *EpochCase) start(t testing.TB, p EpochPlace, h *history) (*engine, error) {
	t.Helper()
	e := &engine{c: c, t: t, h: h, pool: batch.NewPool(c.Schema, 7), rows: h.rows, epoch: h.last}
	made := &trial{TB: t}
	if made.run(func(t testing.TB) { e.sink = p.Sink(t) }); made.why != "" {
		return e, fmt.Errorf("make the sink: %w", made.err)
	}
	if err := e.sink.Recover(t.Context(), h.last, h.c); err != nil {
		return e, fmt.Errorf("Recover(%d): %w", h.last, err)
	}
	return e, e.open()
}

// open makes the writers.
func (e *engine) open() error {
	for task := range e.c.Writers {
		w, err := e.sink.Writer(e.t.Context(), connector.WriterEnv{Task: task, Dead: func(code, reason, _ string, row []byte) {
			e.t.Errorf("row %q was refused: %s, %s", row, code, reason)
		}})
		if err != nil {
			return fmt.Errorf("Writer(%d): %w", task, err)
		}
		e.writers = append(e.writers, w)
	}
	return nil
}

// write writes n rows in batches, dealt out to the writers.
func (e *engine) write(n int) error {
	for k := 0; n > 0; k++ {
		size := min(n, 7)
		b := e.pool.Get()
		for i := range size {
			codectest.SetRow(b, i, e.c.Row(e.rows+i))
		}
		b.SetLen(size)
		w := e.writers[k%len(e.writers)]
		if err := w.Write(e.t.Context(), b); err != nil {
			return fmt.Errorf("Write: %w", err)
		}
		if k%3 == 1 {
			if err := w.Flush(e.t.Context()); err != nil {
				return fmt.Errorf("Flush: %w", err)
			}
		}
		e.rows += size
		n -= size
	}
	return nil
}

// cut prepares the next epoch. Every third number is left out.
func (e *engine) cut(final bool) ([]connector.Prepared, error) {
	if e.epoch++; e.epoch%3 == 0 {
		e.epoch++
	}
	var out []connector.Prepared
	for _, w := range e.writers {
		p, err := w.Prepare(e.t.Context(), connector.Epoch{ID: e.epoch, Final: final})
		if err != nil {
			return nil, fmt.Errorf("Prepare(%d): %w", e.epoch, err)
		}
		out = append(out, p)
	}
	return out, nil
}

// persist persists what was prepared, and returns it behind what abandoned epochs left.
func (e *engine) persist(prepared []connector.Prepared) ([]connector.Committable, error) {
	out := slices.Clone(e.kept)
	for _, p := range prepared {
		if p == nil {
			continue
		}
		c, err := p.Persist(e.t.Context())
		if err != nil {
			return nil, fmt.Errorf("Persist(%d): %w", e.epoch, err)
		}
		if c != nil {
			out = append(out, slices.Clone(c))
		}
	}
	return out, nil
}

func (e *engine) decide(c []connector.Committable, final bool) {
	e.h.decide(e.epoch, c, e.rows, final)
	e.kept = nil
}

func (e *engine) commit() error {
	if err := e.sink.Commit(e.t.Context(), e.h.last, e.h.c); err != nil {
		return fmt.Errorf("Commit(%d): %w", e.h.last, err)
	}
	return nil
}

// run takes one epoch from its rows to its commit.
func (e *engine) run(rows int, final bool) error {
	if err := e.write(rows); err != nil {
		return err
	}
	prepared, err := e.cut(final)
	if err != nil {
		return err
	}
	c, err := e.persist(prepared)
	if err != nil {
		return err
	}
	e.decide(c, final)
	return e.commit()
}

// close ends writers and sink, twice each.
func (e *engine) close(complete bool) error {
	var errs []error
	for range 2 {
		for _, w := range e.writers {
			errs = append(errs, w.Close(e.t.Context(), complete))
		}
		if e.sink != nil {
			errs = append(errs, e.sink.Close())
		}
	}
	return errors.Join(errs...)
}

// crash ends the engine in the middle of things.
func (e *engine) crash(p EpochPlace) {
	if p.Crash != nil {
		p.Crash(e.t)
	}
	_ = e.close(false)
}

// seen compares what a reader sees with what was committed.
func (c *EpochCase) seen(t testing.TB, p EpochPlace, h *history, when string) {
	t.Helper()
	n := h.rows
	if c.AtEnd && !h.final {
		n = 0
	}
	if diff := c.differ(p.Rows(t), 0, n, n); diff != "" {
		t.Fatalf("%s: %s", when, diff)
	}
}

// differ tells what is wrong with rows that ought to be those from first to atLeast, and may go up to atMost.
func (c *EpochCase) differ(got []string, first, atLeast, atMost int) string {
	number := make(map[string]int, atMost)
	for i := first; i < atMost; i++ {
		number[c.Text(i)] = i
	}
	count, behind := make([]int, atMost), -1
	for _, text := range got {
		i, ok := number[text]
		switch {
		case !ok:
			return fmt.Sprintf("a reader sees %.200q, which is no committed row", text)
		case count[i] > 0:
			return fmt.Sprintf("row %d is there twice", i)
		case c.Ordered && i < behind:
			return fmt.Sprintf("row %d stands behind row %d", i, behind)
		}
		count[i]++
		behind = i
	}
	for i := first; i < atLeast; i++ {
		if count[i] == 0 {
			return fmt.Sprintf("row %d of %d committed ones is missing", i, atLeast)
		}
	}
	return ""
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// restart starts again, finds what was decided, and goes on to a good end.
func (c *EpochCase) restart(t testing.TB, p EpochPlace, h *history) {
	t.Helper()
	for range 2 { // a crash during the recovery does no harm
		e, err := c.start(t, p, h)
		must(t, err)
		c.seen(t, p, h, "after Recover")
		e.crash(p)
	}
	if h.final {
		c.seen(t, p, h, "after the end")
		return
	}
	e, err := c.start(t, p, h)
	must(t, err)
	must(t, e.run(epochRows, false))
	c.seen(t, p, h, "an epoch after Recover")
	must(t, e.run(5, true))
	c.seen(t, p, h, "the final epoch after Recover")
	must(t, e.close(true))
	c.seen(t, p, h, "after Close")
}

// ended is a context whose end has come.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
