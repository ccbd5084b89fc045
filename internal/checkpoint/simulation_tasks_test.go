package checkpoint_test

import (
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/gorge-stream/gorge/internal/checkpoint"
)

// handover is what comes with Passed: a position, or the cut and the output of a task.
type handover struct {
	checkpoint.Passed
	position int
	cut      *cut
	output   *output
}

// cut is a copy of a task's state in a buffer that the next cut takes again.
type cut struct {
	task   int
	values map[int]int
	inUse  atomic.Bool
}

// output is what a task wrote in one epoch.
type output struct {
	name string
	rows []int
}

// feedEnded tells the driver that a feed is at its end.
type feedEnded struct{}

// delay is what a row costs; now and then a task is slow.
func (a *actor) delay() time.Duration {
	if a.faults && a.chance.one(60) {
		return a.chance.within(40 * time.Millisecond)
	}
	return a.chance.within(400 * time.Microsecond)
}

// feed reads its input from a position and takes barriers into it.
func (p *process) feed(f, position int) func(a *actor) {
	return func(a *actor) {
		ended := false
		for {
			var barrier *checkpoint.Inject
			switch {
			case position == len(p.w.feeds[f]):
				if !ended {
					ended = true
					p.events <- feedEnded{}
				}
				select {
				case b := <-p.barriers[f]:
					barrier = &b
				case <-p.dead:
					return
				}
			case len(p.barriers[f]) > 0:
				b := <-p.barriers[f]
				barrier = &b
			}
			if !a.pause(a.delay()) {
				return
			}
			if barrier == nil {
				n := p.w.feeds[f][position]
				position++
				task, _ := p.w.route(n)
				if !p.lanes[task].put(f, message{number: n}) {
					return
				}
				continue
			}
			at := position
			for _, l := range p.lanes {
				if !l.put(f, message{barrier: barrier}) {
					return
				}
			}
			p.events <- handover{Passed: checkpoint.Passed{Task: f, Epoch: barrier.Epoch}, position: at}
			if barrier.Last {
				return
			}
		}
	}
}

// task sums up numbers by key and passes each on to the sink.
type task struct {
	*actor
	number int
	state  [keys]int
	dirty  map[int]bool
	rows   []int
	buffer cut
}

func (p *process) task(number int, state [keys]int) func(a *actor) {
	return func(a *actor) {
		t := &task{actor: a, number: number, state: state, dirty: map[int]bool{}}
		t.buffer = cut{task: number, values: map[int]int{}}
		t.run()
	}
}

func (t *task) run() {
	for {
		feed, m, ok := t.lanes[t.number].take()
		if !ok || !t.pause(t.delay()) {
			return
		}
		if m.barrier == nil {
			_, key := t.w.route(m.number)
			t.state[key] += m.number
			t.dirty[key] = true
			t.rows = append(t.rows, m.number)
			continue
		}
		if !t.lanes[t.number].align(feed) {
			continue
		}
		t.pass(m.barrier)
		if m.barrier.Last {
			return
		}
	}
}

// pass cuts state and output at a barrier.
func (t *task) pass(b *checkpoint.Inject) {
	if t.buffer.inUse.Swap(true) {
		t.w.violationf("%s cuts epoch %d while the cut before is in use", t.name, b.Epoch)
	}
	clear(t.buffer.values)
	for key, v := range t.state {
		if b.Full || t.dirty[key] {
			t.buffer.values[key] = v
		}
	}
	clear(t.dirty)
	h := handover{Passed: checkpoint.Passed{Task: len(t.w.feeds) + t.number, Epoch: b.Epoch}, cut: &t.buffer}
	if len(t.rows) > 0 {
		h.output = &output{name: fmt.Sprintf("%d-%d-%d", t.n, b.Epoch, t.number), rows: t.rows}
		t.rows = nil
	}
	t.w.notef("%s cuts epoch %d: %v", t.name, b.Epoch, maps.Clone(t.buffer.values))
	t.events <- h
}
