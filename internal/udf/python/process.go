package python

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gorge-stream/gorge/internal/udf/shm"
)

// cause is why the engine killed a process itself.
type cause uint8

const (
	causeNone cause = iota // it ended by itself
	causeTimeout
	causeViolation
	causeClosed
)

// link is one process of a worker and the engine's ends of what leads to it.
type link struct {
	// constant
	process *os.Process
	pid     int
	conn    *os.File // messages, one datagram each
	fd      int      // of conn, for writes that must not block
	out     *shm.Output
	output  *output
	version int // of the function

	// owned by the holder of worker.token
	until time.Time // the read deadline that is set

	// guarded by worker.mu
	cause cause
	what  string
}

var wakeUp = []byte{'w'}

// wake sends a wake-up. A full socket holds messages that wake as well.
func (l *link) wake() { _, _ = unix.Write(l.fd, wakeUp) }

// sleep blocks until a message comes, the process is gone or d is over.
func (l *link) sleep(d time.Duration) {
	// A deadline costs more than a sleep is long: one that is about right is kept.
	now := time.Now()
	if left := l.until.Sub(now); left > d || left < d/2 {
		l.until = now.Add(d)
		_ = l.conn.SetReadDeadline(l.until) // fails only when the process is gone
	}
	var buf [64]byte
	_, _ = l.conn.Read(buf[:]) // an error means that the caller has to look again
}

// kill ends the process; the reason of the first kill counts.
func (l *link) kill(c cause, what string) {
	if l.cause != causeNone {
		return
	}
	l.cause, l.what = c, what
	_ = l.process.Kill() // fails only when it is gone already
}

// wait blocks until the process has ended, ends what it left behind in its
// process group, and says how it ended.
func (l *link) wait() string {
	return reap(l.process, l.pid, l.output)
}

// reap waits for a process. The group is killed while the dead leader still
// holds its number, so that it cannot be the number of somebody else.
func reap(p *os.Process, pid int, o *output) string {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	_ = unix.Kill(-pid, unix.SIGKILL)
	state, err := p.Wait()
	o.drain()
	if err != nil {
		return "was lost: " + err.Error()
	}
	return describe(state)
}

func describe(state *os.ProcessState) string {
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return fmt.Sprintf("was killed by signal %d (%s)", int(ws.Signal()), ws.Signal())
	}
	return fmt.Sprintf("exited with code %d", state.ExitCode())
}

// close gives up the engine's ends.
func (l *link) close() {
	_ = l.conn.Close() // nothing is buffered
	l.out.Close()
}

// bootstrap runs the worker from the archive of its source, whatever the
// environment has installed.
const bootstrap = `import sys; sys.path.insert(0, "/proc/self/fd/4"); from gorge._worker.main import main; main()`

// launch starts a process and leads it to the point where it serves the function.
func launch(ctx context.Context, w *worker) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, w.pool.options.StartTimeout)
	defer cancel()
	l, err := spawn(w)
	if err != nil {
		return nil, fmt.Errorf("start worker: %w", err)
	}
	unwatch := context.AfterFunc(ctx, func() {
		_ = l.conn.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
	})
	err = l.meet(w)
	if unwatch() && err == nil {
		return l, nil
	}
	if err == nil {
		err = ctx.Err()
	}
	_ = l.process.Kill()
	end := l.wait()
	if ctx.Err() != nil {
		err = w.pool.slowStart(context.Cause(ctx), err)
	} else if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) {
		err = w.pool.diedAtStart(end, l.output.tail())
	}
	l.close()
	return nil, err
}

// spawn starts the process.
func spawn(w *worker) (_ *link, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "worker end")
	defer theirs.Close()
	if err := unix.SetNonblock(pair[0], true); err != nil {
		_ = unix.Close(pair[0])
		return nil, fmt.Errorf("socket: %w", err)
	}
	l := &link{fd: pair[0], conn: os.NewFile(uintptr(pair[0]), "worker socket")}
	if l.out, err = shm.NewOutput(w.pool.layout); err != nil {
		_ = l.conn.Close()
		return nil, err
	}
	var stdout, stderr *os.File
	if l.output, stdout, stderr, err = newOutput(w.pool.log, w.id); err != nil {
		l.close()
		return nil, err
	}
	defer stdout.Close()
	defer stderr.Close()
	cmd := exec.Cmd{
		Path: w.pool.spec.Interpreter, Args: []string{w.pool.spec.Interpreter, "-P", "-c", bootstrap},
		Env: w.pool.env, Stdout: stdout, Stderr: stderr,
		ExtraFiles:  []*os.File{theirs, w.pool.source},
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	}
	if err := cmd.Start(); err != nil {
		l.output.drain()
		l.close()
		return nil, err
	}
	l.process, l.pid = cmd.Process, cmd.Process.Pid
	return l, nil
}

// meet exchanges the messages of the start.
func (l *link) meet(w *worker) error {
	var hello message
	if err := l.receive(&hello, "hello"); err != nil {
		return err
	}
	if err := w.pool.checkHello(&hello); err != nil {
		return err
	}
	if err := l.send(w.pool.openMessage(), w.in.FD(), l.out.FD()); err != nil {
		return err
	}
	var answer message
	if err := l.receive(&answer, "ready"); err != nil {
		return err
	}
	if answer.Type == "refused" {
		return w.pool.refusal(&answer)
	}
	l.version = answer.FunctionVersion()
	return nil
}
