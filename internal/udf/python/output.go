package python

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxLine        = 8 << 10
	linesPerSecond = 200 // lines of one stream that are logged in a second
	tailLines      = 30
	recordMark     = 0x1e // a line on standard error that is a record of Python's logging
)

// output passes what a process prints on to the log. Its readers always read, so
// that a function that prints without end is slowed by its own printing only.
type output struct {
	log    *slog.Logger
	worker int
	pipes  [2]*os.File
	wg     sync.WaitGroup

	mu   sync.Mutex
	last []string // guarded by mu: the last lines of standard error
}

// newOutput starts the readers and returns the ends for the process.
func newOutput(log *slog.Logger, worker int) (o *output, stdout, stderr *os.File, err error) {
	o = &output{log: log, worker: worker}
	var ends [2]*os.File
	for i := range ends {
		if o.pipes[i], ends[i], err = os.Pipe(); err != nil {
			if i > 0 {
				_ = o.pipes[0].Close()
				_ = ends[0].Close()
			}
			return nil, nil, nil, fmt.Errorf("pipe: %w", err)
		}
	}
	o.wg.Go(func() { o.read(o.pipes[0], "stdout", slog.LevelInfo) })
	o.wg.Go(func() { o.read(o.pipes[1], "stderr", slog.LevelWarn) })
	return o, ends[0], ends[1], nil
}

// drain reads what a process that has ended left in the pipes and ends the
// readers, also when somebody else still holds the other ends.
func (o *output) drain() {
	for _, p := range o.pipes {
		_ = p.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	}
	o.wg.Wait()
}

// tail returns the last lines of standard error, without the worker's own frames
// in the stack of a crash.
func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(slices.DeleteFunc(slices.Clone(o.last), func(line string) bool {
		return strings.Contains(line, "/gorge/_worker/") || strings.Contains(line, "<frozen importlib")
	}), "\n")
}

func (o *output) read(f *os.File, stream string, level slog.Level) {
	defer f.Close()
	r := bufio.NewReaderSize(f, maxLine)
	q := quota{}
	for {
		line, err := r.ReadSlice('\n')
		if len(line) > 0 && (err == nil || errors.Is(err, bufio.ErrBufferFull) || errors.Is(err, io.EOF)) {
			o.line(bytes.TrimRight(line, "\r\n"), stream, level, &q)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			o.leftOut(&q, stream)
			return
		}
	}
}

// line logs one line. A record may begin in the middle of what somebody printed
// without an end of line.
func (o *output) line(line []byte, stream string, level slog.Level, q *quota) {
	if i := bytes.IndexByte(line, recordMark); i > 0 && stream == "stderr" {
		o.line(line[:i], stream, level, q)
		line = line[i:]
	}
	if stream == "stderr" && len(line) > 0 && line[0] != recordMark {
		o.mu.Lock()
		o.last = append(o.last, string(line))
		if len(o.last) > tailLines {
			o.last = o.last[1:]
		}
		o.mu.Unlock()
	}
	if len(line) == 0 {
		return
	}
	if left, ok := q.allow(time.Now()); !ok {
		return
	} else if left > 0 {
		o.log.Warn("worker printed too much; lines were left out", "worker", o.worker, "stream", stream, "lines", left)
	}
	if line[0] == recordMark && stream == "stderr" {
		var m struct {
			Level   int    `json:"level"`
			Logger  string `json:"logger"`
			Message string `json:"message"`
		}
		if json.Unmarshal(line[1:], &m) == nil {
			o.log.Log(context.Background(), slogLevel(m.Level), m.Message, "worker", o.worker, "logger", m.Logger)
			return
		}
	}
	o.log.Log(context.Background(), level, strings.ToValidUTF8(string(line), "\uFFFD"), "worker", o.worker, "stream", stream)
}

func (o *output) leftOut(q *quota, stream string) {
	if q.left > 0 {
		o.log.Warn("worker printed too much; lines were left out", "worker", o.worker, "stream", stream, "lines", q.left)
	}
}

// slogLevel turns a level of Python's logging into one of slog.
func slogLevel(n int) slog.Level {
	switch {
	case n >= 40:
		return slog.LevelError
	case n >= 30:
		return slog.LevelWarn
	case n >= 20:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

// quota bounds the lines in a second.
type quota struct {
	second int64
	lines  int
	left   int
}

// allow reports whether one more line may be logged and, at the first line after
// a pause, how many were left out.
func (q *quota) allow(now time.Time) (left int, ok bool) {
	if s := now.Unix(); s != q.second {
		q.second, q.lines = s, 0
		left, q.left = q.left, 0
	}
	if q.lines++; q.lines > linesPerSecond {
		q.left++
		return 0, false
	}
	return left, true
}
