package python

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gorge-stream/gorge/internal/diag"
)

// limits are the patience of a pool with its workers.
type limits struct {
	starts   int           // starts in a row that may fail
	deaths   int           // workers that one chunk may cost beyond twice the halvings down to a row
	streak   int           // workers in a row that may end without an answer
	free     int           // of them, restarted at once
	backoff  time.Duration // before the next one, doubled each time
	maxDelay time.Duration
	grace    time.Duration // for a worker to end by itself on Close
}

var defaultLimits = limits{
	starts: 4, deaths: 8, streak: 64, free: 16,
	backoff: 5 * time.Millisecond, maxDelay: time.Second, grace: 500 * time.Millisecond,
}

func (l *limits) delay(failures int) time.Duration {
	if failures <= 0 {
		return 0
	}
	return min(l.backoff<<min(failures-1, 20), l.maxDelay)
}

// startup is how the first start of a worker went.
type startup struct {
	version int // of the function
	err     error
}

// keep starts the process of a worker, waits for its end and starts the next,
// until ctx ends or the pool's patience does. The first start is reported to started.
//
// It keeps its thread: the kernel kills the process when the thread that made it
// ends, and no_new_privs is a property of the thread that the process inherits.
// The thread is never given back, so it ends with this goroutine.
func (w *worker) keep(ctx context.Context, started chan<- startup) {
	runtime.LockOSThread()
	failures, first := 0, true
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		started <- startup{err: fmt.Errorf("set no_new_privs: %w", err)}
		return
	}
	for {
		l, err := launch(ctx, w)
		if first {
			if err != nil {
				started <- startup{err: err}
				return
			}
			started <- startup{version: l.version}
			first = false
		}
		var pause time.Duration
		if err != nil {
			failures++
			if failures >= w.pool.limits.starts && ctx.Err() == nil {
				w.pool.lose(err)
			}
			pause = w.pool.limits.delay(failures + 4)
		} else {
			failures = 0
			pause = w.serve(l)
		}
		if !sleep(ctx, pause) {
			return
		}
	}
}

// serve lets the tasks use a process until it ends, and returns the pause before the next.
func (w *worker) serve(l *link) time.Duration {
	w.mu.Lock()
	if w.err == nil {
		w.link = l
		w.down.Store(false)
		w.pump()
		w.changedNow()
	} else {
		l.kill(causeClosed, "")
	}
	w.mu.Unlock()

	end := l.wait()
	w.bury(l, end)
	p := w.pool
	w.mu.Lock()
	streak, closed := w.streak, w.err != nil
	w.mu.Unlock()
	if closed {
		return 0
	}
	why := []any{"worker", w.id, "pid", l.pid, "end", end}
	if l.what != "" {
		why = append(why, "cause", l.what)
	}
	p.log.Warn("worker ended and is started again", why...)
	if streak >= p.limits.streak {
		p.lose(diag.New("udf/workers-die", "function %s: %d workers in a row %s without a single result", p.spec.Name, streak, end).
			WithHint("call the function on a few rows in a Python shell; the log holds what the workers printed"))
	}
	return p.limits.delay(streak - p.limits.free)
}

// stop ends a worker for good with the error that its callers get.
func (w *worker) stop(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return
	}
	w.err = err
	if w.link != nil {
		w.in.SetStop(true)
		w.link.wake()
	}
	w.changedNow()
}

// kill ends the process of a worker at once.
func (w *worker) kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.link != nil {
		w.link.kill(causeClosed, "")
	}
}

// release gives the memory of a worker up, after its keeper has ended.
func (w *worker) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = errClosed
	}
	w.in.Close()
}

var errClosed = errors.New("the pool of the function is closed")

// sleep pauses and reports whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
