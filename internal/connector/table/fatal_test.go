package table

import (
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// fatalEnv makes the test binary play an engine whose disk fails.
const fatalEnv = "TABLE_TEST_FATAL"

// failLogForGood opens a store and writes to it after every write to its log fails.
func failLogForGood() {
	var broken atomic.Bool
	files := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && strings.HasSuffix(op.Path, ".log") && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return errors.New("injected: input/output error")
		}
		return nil
	}))
	s, err := openStore(location{files, "store"}, slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	if err != nil {
		os.Exit(99)
	}
	broken.Store(true)
	_ = s.db.Set([]byte("key"), []byte("value"), pebble.Sync)
	os.Exit(98) // the write must not return
}

func TestALogThatCannotBeWrittenEndsTheProcess(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fatalEnv+"=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != ExitStore {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"cannot be written", "write", ".log", "injected", `"hint"`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is missing in %s", want, out)
		}
	}
}
