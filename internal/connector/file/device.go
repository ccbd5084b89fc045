package file

import (
	"bufio"
	"context"
	"errors"
	"os"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/compress"
	"github.com/gorge-stream/gorge/internal/connector"
)

// direct is a pipe or device in a job with checkpoints: rows leave as they come.
type direct struct{ target }

var _ connector.Sink = (*direct)(nil)

// Recover does nothing: what left has left.
func (d *direct) Recover(context.Context, uint64, []connector.Committable) error { return nil }

// Writer opens the device.
func (d *direct) Writer(_ context.Context, env connector.WriterEnv) (connector.SinkWriter, error) {
	if err := lone(env.Task); err != nil {
		return nil, err
	}
	return openDevice(d.target)
}

// Commit does nothing.
func (d *direct) Commit(context.Context, uint64, []connector.Committable) error { return nil }

// Close does nothing: the writer closes what it opened.
func (d *direct) Close() error { return nil }

// deviceWriter writes a pipe or device.
type deviceWriter struct {
	target
	f      *os.File
	buf    *bufio.Writer
	out    compress.Writer // writes to buf
	err    error           // sticky
	closed bool
}

var _ connector.SinkWriter = (*deviceWriter)(nil)

func openDevice(t target) (connector.SinkWriter, error) {
	f, err := os.OpenFile(t.path, os.O_WRONLY, 0)
	if err != nil {
		return nil, t.cannot("open", t.path, err)
	}
	w := &deviceWriter{target: t, f: f, buf: bufio.NewWriterSize(f, writeBuffer)}
	if w.out, err = compress.NewWriter(w.buf, w.kind); err == nil {
		_, err = w.out.Write(w.header)
	}
	if err != nil {
		return nil, errors.Join(w.fail(err), f.Close())
	}
	return w, nil
}

func (w *deviceWriter) fail(err error) error {
	if w.err == nil && err != nil {
		w.err = w.cannot("write", w.path, err)
	}
	return w.err
}

// Write writes the chunks of the batch.
func (w *deviceWriter) Write(_ context.Context, b *batch.Batch) error {
	defer b.Release()
	c := b.Col(0)
	for i := range b.Len() {
		if w.err != nil {
			break
		}
		_, err := w.out.Write(c.Bytes(i))
		_ = w.fail(err)
	}
	return w.err
}

// Flush brings out everything written so far.
func (w *deviceWriter) Flush(context.Context) error {
	if w.err != nil {
		return w.err
	}
	if err := w.out.Flush(); err != nil {
		return w.fail(err)
	}
	return w.fail(w.buf.Flush())
}

// Prepare brings out the rows of the epoch; there is nothing to commit.
func (w *deviceWriter) Prepare(ctx context.Context, _ connector.Epoch) (connector.Prepared, error) {
	return nil, w.Flush(ctx)
}

// Close ends the stream.
func (w *deviceWriter) Close(_ context.Context, complete bool) error {
	if w.closed {
		return nil
	}
	w.closed = true
	if complete && w.err == nil {
		_, err := w.out.Write(w.footer)
		_ = w.fail(err)
	}
	if w.err == nil {
		err := w.out.Close()
		if err == nil {
			err = w.buf.Flush()
		}
		_ = w.fail(err)
	}
	err := w.err
	if cerr := w.f.Close(); err == nil && cerr != nil {
		err = w.cannot("close", w.path, cerr)
	}
	w.err = errClosed
	return err
}
