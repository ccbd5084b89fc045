package file

import (
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/delivery"
	"github.com/gorge-stream/gorge/internal/spec"
)

// DeadLettersDir is the folder of the data directory that DeadLetters writes to.
// Every file in it whose name does not begin with a point holds letters.
const DeadLettersDir = "dead-letters"

// CurrentLetters is the file in it that jobs without checkpoints append to.
const CurrentLetters = "current.ndjson"

// DeadLetters is the sink of dead letters for files that name none: parts in the
// data directory. It makes its folder with the first letter, so that runs without
// dead letters leave nothing behind.
var DeadLetters = connector.Registration{
	Sink:          &spec.Decl{Name: "dead_letters", Summary: "A folder of the data directory."},
	DefaultFormat: "json",
	Bytes:         true,
	SinkPromise: func(*spec.Values) delivery.Promise {
		return delivery.Promise{Guarantee: delivery.ExactlyOnce, Why: partsWhy}
	},
	NewSink: func(_ *spec.Values, env connector.SinkEnv) (connector.SinkWriter, error) {
		return &appender{target: lettersTarget(env), path: filepath.Join(env.DataDir, DeadLettersDir, CurrentLetters)}, nil
	},
	NewEpochSink: func(_ *spec.Values, env connector.SinkEnv) (connector.Sink, error) {
		s := newFolder(lettersTarget(env))
		s.lazy = true
		return s, nil
	},
}

func lettersTarget(env connector.SinkEnv) target {
	t := target{path: filepath.Join(env.DataDir, DeadLettersDir), letters: true, extension: strings.TrimPrefix(CurrentLetters, "current"),
		header: env.Header, footer: env.Footer, fs: env.FS, log: env.Log}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	if t.fs == nil {
		t.fs = vfs.Default
	}
	return t
}
