package file

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/compress"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/connectortest"
	"github.com/gorge-stream/gorge/internal/diag"
)

// epochSink makes a sink over path.
func epochSink(t testing.TB, fs vfs.FS, path string, env connector.SinkEnv) connector.Sink {
	t.Helper()
	env.FS, env.ContentType = fs, "application/x-ndjson"
	s, err := newEpochSink(settings(sinkDecl, map[string]any{"path": path}), env)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// readFile returns the lines of a file, nil when there is none. The frame of the
// file has to be whole: a header and a footer, if the case has them.
func readFile(t testing.TB, fsys vfs.FS, path string, env connector.SinkEnv) []string {
	t.Helper()
	f, err := fsys.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := compress.NewReader(f, compress.ByExtension(path), 0)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	text, begins := strings.CutPrefix(string(b), string(env.Header))
	text, ends := strings.CutSuffix(text, string(env.Footer))
	if !begins || !ends {
		t.Fatalf("%s lacks its header or footer: %.200q", path, b)
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")[:strings.Count(text, "\n")]
}

// oneFileIn is a place for one file in a folder.
func oneFileIn(dir, name string, env connector.SinkEnv) connectortest.Over {
	return func(t testing.TB, fs vfs.FS) connectortest.EpochPlace {
		if _, err := fs.Stat(dir); err != nil {
			connectortest.MakeDir(t, fs, dir)
		}
		path := filepath.Join(dir, name)
		return connectortest.EpochPlace{
			Sink: func(t testing.TB) connector.Sink { return epochSink(t, fs, path, env) },
			Rows: func(t testing.TB) []string { return readFile(t, fs, path, env) },
		}
	}
}

// partsIn is a place for a folder of parts.
func partsIn(dir, name, compression string, env connector.SinkEnv) connectortest.Over {
	return func(t testing.TB, fs vfs.FS) connectortest.EpochPlace {
		if _, err := fs.Stat(dir); err != nil {
			connectortest.MakeDir(t, fs, dir)
		}
		path := filepath.Join(dir, name) + "/"
		env := env
		env.FS, env.ContentType = fs, "application/x-ndjson"
		return connectortest.EpochPlace{
			Sink: func(t testing.TB) connector.Sink {
				s, err := newEpochSink(settings(sinkDecl, map[string]any{"path": path, "compression": compression}), env)
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
			Rows: func(t testing.TB) []string { return readParts(t, fs, path, env) },
		}
	}
}

func readParts(t testing.TB, fs vfs.FS, dir string, env connector.SinkEnv) []string {
	t.Helper()
	names, err := fs.List(strings.TrimSuffix(dir, "/"))
	if err != nil {
		return nil
	}
	slices.Sort(names)
	var out []string
	for _, name := range names {
		if name[0] != '.' {
			rows := readFile(t, fs, filepath.Join(dir, name), env)
			if len(rows) == 0 {
				t.Fatalf("the part %s is empty", name)
			}
			out = append(out, rows...)
		}
	}
	return out
}

// diskFailed says what has to become of an error of the disk.
func diskFailed(t testing.TB, err error) {
	t.Helper()
	var d *diag.Error
	if !errors.As(err, &d) {
		t.Fatalf("it is no diagnostic: %v", err)
	}
	if strings.Contains(err.Error(), "no space left") && !strings.Contains(d.Hint, "df -h") {
		t.Fatalf("%v: the hint is %q", err, d.Hint)
	}
}

var plainEnv = connector.SinkEnv{Schema: connectortest.Chunks, Encoded: true}

// epochCases are the sinks of this package, over any file system.
func epochCases() map[string]struct {
	connectortest.EpochCase
	over connectortest.Over
} {
	type c = struct {
		connectortest.EpochCase
		over connectortest.Over
	}
	file := connectortest.EpochCase{AtEnd: true, Ordered: true, Failed: diskFailed}
	parts := connectortest.EpochCase{Ordered: true, Failed: diskFailed}
	many := connectortest.EpochCase{Writers: 3, Failed: diskFailed}
	return map[string]c{
		"file":        {file, oneFileIn("/data", "out.ndjson", plainEnv)},
		"file framed": {file, oneFileIn("/data", "out.ndjson", framed)},
		"file gzip":   {file, oneFileIn("/data", "out.gz", framed)},
		"file zstd":   {file, oneFileIn("/data", "out.zst", framed)},
		"parts":       {parts, partsIn("/data", "results", "auto", framed)},
		"parts gzip":  {parts, partsIn("/data", "results", "gzip", framed)},
		"parts, many": {many, partsIn("/data", "results", "auto", plainEnv)},
		"letters": {parts, func(t testing.TB, fs vfs.FS) connectortest.EpochPlace {
			if _, err := fs.Stat("/data"); err != nil {
				connectortest.MakeDir(t, fs, "/data")
			}
			return connectortest.EpochPlace{
				Sink: func(t testing.TB) connector.Sink {
					s, err := DeadLetters.NewEpochSink(settings(DeadLetters.Sink, nil), connector.SinkEnv{Schema: connectortest.Chunks, Encoded: true, FS: fs, DataDir: "/data"})
					if err != nil {
						t.Fatal(err)
					}
					return s
				},
				Rows: func(t testing.TB) []string { return readParts(t, fs, "/data/"+DeadLettersDir, plainEnv) },
			}
		}},
	}
}

func TestEpochSuite(t *testing.T) {
	for name, c := range epochCases() {
		t.Run(name, func(t *testing.T) {
			c.New = func(t testing.TB) connectortest.EpochPlace { return c.over(t, vfs.NewMem()) }
			connectortest.Epochs(t, c.EpochCase)
		})
	}
}

// TestEpochSuiteOnTheDisk runs where files have descriptors: they are locked and cut in place.
func TestEpochSuiteOnTheDisk(t *testing.T) {
	for name, over := range map[string]func(dir string) connectortest.Over{
		"out.ndjson": func(dir string) connectortest.Over { return oneFileIn(dir, "out.ndjson", framed) },
		"results":    func(dir string) connectortest.Over { return partsIn(dir, "results", "auto", framed) },
	} {
		t.Run(name, func(t *testing.T) {
			connectortest.Epochs(t, connectortest.EpochCase{
				AtEnd: name != "results", Ordered: true,
				New: func(t testing.TB) connectortest.EpochPlace { return over(t.TempDir())(t, vfs.Default) },
			})
		})
	}
}

func TestPowerLoss(t *testing.T) {
	for name, c := range epochCases() {
		if strings.Contains(name, "zstd") || name == "parts gzip" {
			continue // as file gzip, and its encoders take most of the time
		}
		t.Run(name, func(t *testing.T) { connectortest.PowerLoss(t, c.EpochCase, c.over) })
	}
}

func TestDiskErrors(t *testing.T) {
	for _, name := range []string{"file framed", "parts", "letters"} {
		c := epochCases()[name]
		t.Run(name, func(t *testing.T) { connectortest.DiskErrors(t, c.EpochCase, c.over) })
	}
}
