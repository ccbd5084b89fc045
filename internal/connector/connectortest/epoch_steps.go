package connectortest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec/codectest"
	"github.com/gorge-stream/gorge/internal/connector"
)

// commits runs epochs with and without rows: nothing is visible before a commit,
// and a second commit changes nothing.
func (c *EpochCase) commits(t testing.TB) {
	p, h := c.New(t), &history{}
	e, err := c.start(t, p, h)
	must(t, err)
	for i, rows := range []int{epochRows, 1, 0, 200, 0, 11} {
		final := i == 5
		must(t, e.write(rows))
		c.seen(t, p, h, "rows written")
		prepared, err := e.cut(final)
		must(t, err)
		c.seen(t, p, h, "an epoch prepared")
		persisted, err := e.persist(prepared)
		must(t, err)
		c.seen(t, p, h, "an epoch persisted")
		e.decide(persisted, final)
		for range 2 {
			must(t, e.commit())
			c.seen(t, p, h, fmt.Sprintf("epoch %d committed", e.epoch))
		}
	}
	must(t, e.close(true))
	c.seen(t, p, h, "after Close")
}

// The steps of an epoch behind which the suite has the engine killed.
var steps = []string{"started", "written", "prepared", "persisted", "decided", "committed"}

// take takes an epoch up to a step.
func (e *engine) take(step string, final bool) error {
	if step == "started" {
		return nil
	}
	if err := e.write(epochRows); err != nil || step == "written" {
		return err
	}
	prepared, err := e.cut(final)
	if err != nil || step == "prepared" {
		return err
	}
	c, err := e.persist(prepared)
	if err != nil || step == "persisted" {
		return err
	}
	e.decide(c, final)
	if step == "decided" {
		return nil
	}
	return e.commit()
}

func (c *EpochCase) crashes(t testing.TB) {
	for before := range 3 {
		for _, final := range []bool{false, true} {
			for _, step := range steps {
				c.crashesAt(t, before, step, final)
			}
		}
	}
}

// crashesAt kills the engine behind one step of an epoch that follows some good ones.
func (c *EpochCase) crashesAt(t testing.TB, before int, step string, final bool) {
	t.Helper()
	p, h := c.New(t), &history{}
	e, err := c.start(t, p, h)
	must(t, err)
	for range before {
		must(t, e.run(epochRows, false))
	}
	must(t, e.take(step, final))
	e.crash(p)
	c.restart(t, p, h)
}

func (c *EpochCase) abandons(t testing.TB) {
	for _, step := range []string{"abandoned", "persisted", "decided", "committed"} {
		p, h := c.New(t), &history{}
		e, err := c.start(t, p, h)
		must(t, err)
		must(t, e.run(epochRows, false))
		for range 2 { // two epochs come to nothing; what they wrote goes with the next one
			must(t, e.write(epochRows))
			prepared, err := e.cut(false)
			must(t, err)
			e.kept, err = e.persist(prepared)
			must(t, err)
		}
		c.seen(t, p, h, "epochs abandoned")
		if step != "abandoned" {
			must(t, e.take(step, false))
			c.seenUnless(t, step == "decided", p, h, "with abandoned epochs before it, "+step)
		}
		e.crash(p)
		c.restart(t, p, h)
	}
}

// seenUnless is seen, but when the commit is still to come.
func (c *EpochCase) seenUnless(t testing.TB, toCome bool, p EpochPlace, h *history, when string) {
	t.Helper()
	if !toCome {
		c.seen(t, p, h, when)
	}
}

// overlaps persists an epoch while the writers take the rows of the next, and one behind their Close.
func (c *EpochCase) overlaps(t testing.TB) {
	p, h := c.New(t), &history{}
	e, err := c.start(t, p, h)
	must(t, err)
	must(t, e.write(epochRows))
	for range 3 {
		prepared, err := e.cut(false)
		must(t, err)
		rows, epoch := e.rows, e.epoch
		persisted, err := e.persistBeside(prepared, func() error { return e.write(100) })
		must(t, err)
		h.decide(epoch, persisted, rows, false)
		must(t, e.commit())
		c.seen(t, p, h, "committed while the next epoch was written")
	}
	prepared, err := e.cut(true)
	must(t, err)
	for _, w := range e.writers {
		must(t, w.Close(t.Context(), true))
	}
	persisted, err := e.persist(prepared)
	must(t, err)
	e.decide(persisted, true)
	must(t, e.commit())
	c.seen(t, p, h, "persisted behind the writer's Close")
	must(t, e.close(true))
}

// persistBeside persists each writer's output in a goroutine of its own while f runs.
func (e *engine) persistBeside(prepared []connector.Prepared, f func() error) ([]connector.Committable, error) {
	out, errs := make([]connector.Committable, len(prepared)), make([]error, len(prepared))
	var wg sync.WaitGroup
	for i, p := range prepared {
		if p != nil {
			wg.Go(func() { out[i], errs[i] = p.Persist(e.t.Context()) })
		}
	}
	err := f()
	wg.Wait()
	var all []connector.Committable
	for _, c := range out {
		if c != nil {
			all = append(all, c)
		}
	}
	return all, errors.Join(errors.Join(errs...), err)
}

// stops ends the engine in good order, but not the input.
func (c *EpochCase) stops(t testing.TB) {
	for _, complete := range []bool{false, true} {
		p, h := c.New(t), &history{}
		e, err := c.start(t, p, h)
		must(t, err)
		must(t, e.close(complete))
		c.seen(t, p, h, "closed without a row")
		e, err = c.start(t, p, h)
		must(t, err)
		must(t, e.run(epochRows, false))
		must(t, e.write(epochRows))
		must(t, e.close(complete))
		c.seen(t, p, h, "closed with rows that are not prepared")
		c.restart(t, p, h)
		e = &engine{c: c, t: t, h: h, sink: p.Sink(t)}
		must(t, e.sink.Recover(t.Context(), h.last, h.c))
		must(t, e.close(false))
		e.sink = p.Sink(t)
		must(t, e.sink.Recover(t.Context(), 0, nil)) // the next run starts anew
		must(t, e.close(false))
		c.seen(t, p, h, "the start of a new run")
	}
}

// nothing recovers from a checkpoint that knows nothing of the sink.
func (c *EpochCase) nothing(t testing.TB) {
	p, h := c.New(t), &history{}
	e, err := c.start(t, p, h)
	must(t, err)
	must(t, e.take("persisted", false))
	e.crash(p)
	h.last = e.epoch + 1
	c.restart(t, p, h)
}

// anew commits what is decided and then begins a new run, with one sink: what the
// old run left undecided is gone, what it committed is an affair of its readers.
func (c *EpochCase) anew(t testing.TB) {
	for _, final := range []bool{false, true} {
		for _, step := range []string{"persisted", "decided"} {
			p, h := c.New(t), &history{}
			e, err := c.start(t, p, h)
			must(t, err)
			must(t, e.run(epochRows, false))
			must(t, e.take(step, final))
			e.crash(p)

			e = &engine{c: c, t: t, h: h, pool: batch.NewPool(c.Schema, 7), sink: p.Sink(t), rows: h.rows, epoch: e.epoch + 2}
			must(t, e.sink.Recover(t.Context(), h.last, h.c))
			c.seen(t, p, h, "after Recover")
			must(t, e.sink.Recover(t.Context(), 0, nil))
			c.seen(t, p, h, "after Recover(0)")
			must(t, e.open())
			first := e.rows
			if !c.AtEnd {
				first = 0
			}
			must(t, e.run(epochRows, false))
			must(t, e.run(5, true))
			must(t, e.close(true))
			if diff := c.differ(p.Rows(t), first, e.rows, e.rows); diff != "" {
				t.Fatalf("behind the new run: %s", diff)
			}
		}
	}
}

func (c *EpochCase) sharesBatches(t testing.TB) {
	p, h := c.New(t), &history{}
	e, err := c.start(t, p, h)
	must(t, err)
	b := e.pool.Get()
	for i := range 7 {
		codectest.SetRow(b, i, c.Row(i))
	}
	b.SetLen(7)
	want := codectest.Rows(b)
	b.Retain()
	must(t, e.writers[0].Write(t.Context(), b))
	e.rows = 7
	must(t, e.take("committed", false))
	if diff := codectest.EqualRows(codectest.Rows(b), want); diff != "" {
		t.Errorf("the sink changed a shared batch: %s", diff)
	}
	must(t, e.close(false))
	if !b.Sole() {
		t.Error("the sink still holds the batch behind Close")
	}
	b.Release()

	e, err = c.start(t, p, h)
	must(t, err)
	b = e.pool.Get()
	codectest.SetRow(b, 0, c.Row(e.rows))
	b.SetLen(1)
	_ = e.writers[0].Write(ended(), b) // it fails or not; that the batch is released is seen at the end of the suite
	must(t, e.close(false))
}
