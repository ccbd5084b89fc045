package checkpoint_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorge-stream/gorge/internal/checkpoint"
)

// process is one run of the simulated engine.
type process struct {
	w      *world
	n      int
	faults bool
	chance chance
	config checkpoint.Config

	actors sync.WaitGroup
	left   chan struct{} // closed when the next process may start
	once   sync.Once
	dead   chan struct{} // closed when nothing may happen any more
	dying  sync.Once
	steps  atomic.Int64 // until a crash; 0: none

	events   chan any // of the driver
	lanes    []*lanes // by task
	barriers []chan checkpoint.Inject
}

// start starts a process in the world.
func (w *world) start(n int, faults bool) *process {
	c := newChance(w.seed, uint64(n)<<32)
	p := &process{
		w: w, n: n, faults: faults, chance: c, left: make(chan struct{}), dead: make(chan struct{}),
		events: make(chan any, 4096), // more than there ever are
	}
	p.config = checkpoint.Config{
		Interval: time.Millisecond + c.within(10*time.Millisecond), Timeout: time.Minute,
		Failures: 1 + c.IntN(6), Tasks: len(w.feeds) + w.tasks,
	}
	if faults {
		p.config.Timeout = 2*time.Millisecond + c.within(20*time.Millisecond)
		if c.one(2) {
			p.steps.Store(1 + c.Int64N(60))
		}
	}
	for range w.tasks {
		p.lanes = append(p.lanes, newLanes(p, len(w.feeds)))
	}
	for range w.feeds {
		p.barriers = append(p.barriers, make(chan checkpoint.Inject, 8))
	}
	w.notef("process %d starts: %+v, steps %d", n, p.config, p.steps.Load())
	p.spawn("driver", (&driver{process: p}).run)
	return p
}

// end ends the process at this instant.
func (p *process) end(how string) {
	p.dying.Do(func() {
		p.w.notef("process %d: %s", p.n, how)
		p.w.count(how)
		close(p.dead)
		for _, l := range p.lanes {
			l.wake()
		}
		p.leave()
	})
}

func (p *process) leave() { p.once.Do(func() { close(p.left) }) }

func (p *process) ended() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

// actor is one goroutine of a process.
type actor struct {
	*process
	name   string
	slot   int64
	chance chance
}

// slots is how many actors can be told apart by the nanoseconds of their turns.
const slots = 4096

// newActor makes an actor with a slot and chance of its own.
func (p *process) newActor(name string) *actor {
	p.w.mu.Lock()
	p.w.actors++
	id := p.w.actors
	p.w.mu.Unlock()
	return &actor{p, fmt.Sprintf("%d/%s", p.n, name), int64(id % slots), newChance(p.w.seed, uint64(id))}
}

// spawn starts an actor. The caller's turn makes its number, and so its fate, the same in every run.
func (p *process) spawn(name string, run func(a *actor)) {
	a := p.newActor(name)
	p.actors.Go(func() {
		if a.pause(time.Microsecond) {
			run(a)
		}
	})
}

// turn returns how long it is to the actor's first turn at d from now or later:
// a nanosecond that belongs to it alone.
func (a *actor) turn(d time.Duration) time.Duration {
	now := time.Now().UnixNano()
	at := now + int64(d)
	at += ((a.slot-at)%slots + slots) % slots
	return time.Duration(at - now)
}

// pause waits at least so long and reports whether the process still lives. Every
// actor pauses between what it learns and what it does, so that the order of all
// that is done follows from the seed alone.
func (a *actor) pause(d time.Duration) bool {
	t := time.NewTimer(a.turn(max(d, time.Nanosecond)))
	defer t.Stop()
	select {
	case <-t.C:
		return !a.ended()
	case <-a.dead:
		return false
	}
}

// step is a place at which the process may crash.
func (a *actor) step(what string) bool {
	if a.ended() {
		return false
	}
	a.w.notef("%s: %s", a.name, what)
	if a.steps.Add(-1) == 0 {
		a.end("crashed")
		return false
	}
	return true
}

// message is on its way from a feed to a task.
type message struct {
	number  int
	barrier *checkpoint.Inject
	order   int
}

// lanes are the bounded queues in front of a task, one per feed.
type lanes struct {
	p       *process
	mu      sync.Mutex
	changed *sync.Cond
	queues  [][]message
	blocked []bool // the barrier has come
	order   int
}

const laneRoom = 4

func newLanes(p *process, feeds int) *lanes {
	l := &lanes{p: p, queues: make([][]message, feeds), blocked: make([]bool, feeds)}
	l.changed = sync.NewCond(&l.mu)
	return l
}

func (l *lanes) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changed.Broadcast()
}

// put waits for room; false when the process is dead.
func (l *lanes) put(feed int, m message) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queues[feed]) >= laneRoom {
		if l.p.ended() {
			return false
		}
		l.changed.Wait()
	}
	l.order++
	m.order = l.order
	l.queues[feed] = append(l.queues[feed], m)
	l.changed.Broadcast()
	return !l.p.ended()
}

// take waits for the oldest message of a lane that is not blocked.
func (l *lanes) take() (feed int, m message, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.p.ended() {
		best := -1
		for f, q := range l.queues {
			if len(q) > 0 && !l.blocked[f] && (best < 0 || q[0].order < l.queues[best][0].order) {
				best = f
			}
		}
		if best >= 0 {
			m := l.queues[best][0]
			l.queues[best] = l.queues[best][1:]
			l.changed.Broadcast()
			return best, m, true
		}
		l.changed.Wait()
	}
	return 0, message{}, false
}

// align blocks a lane behind its barrier; it reports true when that was the last
// one, and opens all.
func (l *lanes) align(feed int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.blocked[feed] = true
	for _, b := range l.blocked {
		if !b {
			return false
		}
	}
	clear(l.blocked)
	return true
}
