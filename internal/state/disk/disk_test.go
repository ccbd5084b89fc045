package disk

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/state"
	"github.com/gorge-stream/gorge/internal/state/statetest"
)

func TestMain(m *testing.M) {
	// A history opens dozens of databases.
	checks := "10"
	if race {
		// Everything is ten times slower, and one backend is one goroutine's.
		checks = "2"
		limits = map[string]int{"some rows fit": 200 << 10}
	}
	if err := flag.Set("rapid.checks", checks); err != nil {
		panic(err)
	}
	code := m.Run()
	if n := batch.Live(); n != 0 && code == 0 {
		fmt.Fprintf(os.Stderr, "%d batches leaked\n", n)
		code = 1
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

var silent = slog.New(slog.DiscardHandler)

// opened makes a backend whose rows may take so many bytes of memory.
func opened(t testing.TB, l state.Layout, g keygroup.Range, rows int) *Backend {
	b, err := open(l, g, Options{Dir: "state", FS: vfs.NewMem(), Log: silent}, sizes{rows: rows, memTable: 1 << 20, cache: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// limits are from one at which every Locate writes all rows away to one at which nothing ever is.
var limits = map[string]int{"rows come and go": 1, "some rows fit": 200 << 10, "all rows fit": 1 << 30}

func TestConformance(t *testing.T) {
	for name, rows := range limits {
		t.Run(name, func(t *testing.T) {
			statetest.Run(t, func(l state.Layout, g keygroup.Range) state.Backend { return opened(t, l, g, rows) })
		})
	}
}

func TestDurable(t *testing.T) {
	for name, rows := range limits {
		t.Run(name, func(t *testing.T) {
			statetest.RunDurable(t, func(l state.Layout, g keygroup.Range) statetest.DurableBackend { return opened(t, l, g, rows) })
		})
	}
}
