package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/checkpoint/dir"
)

// TestASignalEndsTheWaitingForTheCheckpoints: an engine holds them, and a bucket may
// not answer for a long time.
func TestASignalEndsTheWaitingForTheCheckpoints(t *testing.T) {
	data := t.TempDir()
	held, err := dir.Open(vfs.Default, filepath.Join(data, checkpointsDir))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	e := engineOf(t, data, "events: 3, rate: 0")
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	signals := make(chan os.Signal, 1)
	signals <- os.Interrupt
	if err := e.run(ctx, signals, stop); !errors.Is(err, errStarting) {
		t.Errorf("the run ended with %v", err)
	}
}

// TestASignalThatComesTwiceIsOne: timeout(1) sends it to the process and to its group.
func TestASignalThatComesTwiceIsOne(t *testing.T) {
	e := engineOf(t, t.TempDir(), "rate: 100")
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	signals := make(chan os.Signal, 2)
	ended := make(chan error, 1)
	go func() { ended <- e.run(ctx, signals, stop) }()
	for e.job.Load() == nil {
		runtime.Gosched()
	}
	signals <- os.Interrupt
	signals <- os.Interrupt
	if err := <-ended; err != nil {
		t.Errorf("the run ended with %v", err)
	}
}

// engineOf returns a run of a pipeline that makes rows by the given settings.
func engineOf(t *testing.T, data, settings string) *engine {
	t.Helper()
	file := tempFile(t, "p.yaml", "name: p\nsources:\n  e: {generate: {"+settings+"}}\nsinks:\n  o: {from: e, \"null\": {}}\n")
	p, _, err := readPipeline(nil, file, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	screen := &screen{w: io.Discard}
	log, err := newLog(screen, false, "error")
	if err != nil {
		t.Fatal(err)
	}
	return &engine{flags: &runFlags{parallelism: 1, batchRows: 16, data: data, http: noHTTP}, plan: p, log: log, stdout: io.Discard, screen: screen}
}
