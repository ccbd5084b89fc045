package file

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
)

// appender adds encoded chunks to the end of a file as they come: where the
// engine keeps dead letters over many runs.
type appender struct {
	f      *os.File
	closed bool
}

var _ connector.SinkWriter = (*appender)(nil)

// OpenAppend opens a file, made with its directories if it does not exist, for
// batches of encoded chunks that are added to what it holds.
func OpenAppend(path string) (connector.SinkWriter, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return &appender{f: f}, nil
}

// Write adds the chunks; they are readable when it returns.
func (a *appender) Write(_ context.Context, b *batch.Batch) error {
	defer b.Release()
	for i := range b.Len() {
		if _, err := a.f.Write(b.Col(0).Bytes(i)); err != nil {
			return fmt.Errorf("write %s: %w", a.f.Name(), err)
		}
	}
	return nil
}

// Flush does nothing: nothing is kept back.
func (a *appender) Flush(context.Context) error { return nil }

// Prepare prepares nothing: appended rows are final at once.
func (a *appender) Prepare(context.Context, connector.Epoch) (connector.Prepared, error) {
	return nil, nil
}

// Close brings the file to the disk.
func (a *appender) Close(context.Context, bool) error {
	if a.closed {
		return nil
	}
	a.closed = true
	serr, cerr := a.f.Sync(), a.f.Close()
	if serr != nil {
		return fmt.Errorf("sync %s: %w", a.f.Name(), serr)
	}
	if cerr != nil {
		return fmt.Errorf("close %s: %w", a.f.Name(), cerr)
	}
	return nil
}
