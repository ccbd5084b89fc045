package file

import (
	"context"
	"os"
	"path/filepath"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
)

// appender adds encoded chunks to the end of a file as they come: dead letters of
// a job without checkpoints, over many runs. It opens the file with the first of them.
type appender struct {
	target
	path   string
	f      *os.File
	err    error // sticky
	closed bool
}

var _ connector.SinkWriter = (*appender)(nil)

// open makes the file, for its owner alone: letters hold rows as they came.
func (a *appender) open() error {
	if err := os.MkdirAll(filepath.Dir(a.path), 0o700); err != nil {
		return a.cannot("make", filepath.Dir(a.path), err)
	}
	f, err := os.OpenFile(a.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return a.cannot("open", a.path, err)
	}
	a.f = f
	return nil
}

// Write adds the chunks; they are readable when it returns.
func (a *appender) Write(_ context.Context, b *batch.Batch) error {
	defer b.Release()
	if a.f == nil && a.err == nil && b.Len() > 0 {
		a.err = a.open()
	}
	for i := range b.Len() {
		if a.err != nil {
			break
		}
		if _, err := a.f.Write(b.Col(0).Bytes(i)); err != nil {
			a.err = a.cannot("write", a.path, err)
		}
	}
	return a.err
}

// Flush does nothing: nothing is kept back.
func (a *appender) Flush(context.Context) error { return a.err }

// Prepare prepares nothing: appended rows are final at once.
func (a *appender) Prepare(context.Context, connector.Epoch) (connector.Prepared, error) {
	return nil, a.err
}

// Close brings the file to the disk.
func (a *appender) Close(context.Context, bool) error {
	if a.closed {
		return nil
	}
	a.closed = true
	err := a.err
	if a.err = errClosed; a.f == nil {
		return err
	}
	serr, cerr := a.f.Sync(), a.f.Close()
	switch {
	case err != nil:
		return err
	case serr != nil:
		return a.cannot("sync", a.path, serr)
	case cerr != nil:
		return a.cannot("close", a.path, cerr)
	}
	return nil
}
