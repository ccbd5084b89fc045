package file

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"golang.org/x/sys/unix"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/compress"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/connectortest"
	"github.com/gorge-stream/gorge/internal/delivery"
	"github.com/gorge-stream/gorge/internal/diag"
)

// started is a sink that was recovered, with its writer.
type started struct {
	t testing.TB
	connector.Sink
	w connector.SinkWriter
}

func start(t testing.TB, s connector.Sink, last uint64, c ...connector.Committable) *started {
	t.Helper()
	if err := s.Recover(t.Context(), last, c); err != nil {
		t.Fatal(err)
	}
	w, err := s.Writer(t.Context(), connector.WriterEnv{})
	if err != nil {
		t.Fatal(err)
	}
	return &started{t, s, w}
}

// epoch takes rows up to what the checkpoint keeps of them.
func (s *started) epoch(id uint64, final bool, rows ...string) connector.Committable {
	s.t.Helper()
	mustWrite(s.t, s.w, rows...)
	p, err := s.w.Prepare(s.t.Context(), connector.Epoch{ID: id, Final: final})
	if err != nil {
		s.t.Fatal(err)
	}
	if p == nil {
		return nil
	}
	c, err := p.Persist(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *started) end() {
	s.t.Helper()
	if err := errors.Join(s.w.Close(s.t.Context(), false), s.Close()); err != nil {
		s.t.Fatal(err)
	}
}

func TestAPartialFileThatWasChangedIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	s := start(t, epochSink(t, nil, path, framed), 0)
	c := s.epoch(1, false, "a\n", "b\n")
	s.end()
	whole := content(t, path+".partial", compress.None)
	for what, now := range map[string]struct{ text, cause string }{
		"shorter": {whole[:4], "is shorter"}, "changed": {strings.ToUpper(whole), "was changed"}, "removed": {"", "is not there"},
	} {
		put(t, filepath.Dir(path), "out.partial", []byte(now.text))
		if what == "removed" {
			if err := os.Remove(path + ".partial"); err != nil {
				t.Fatal(err)
			}
		}
		again := epochSink(t, nil, path, framed)
		err := again.Recover(t.Context(), 1, []connector.Committable{c})
		wantCode(t, err, "file/output-changed", path+".partial", now.cause, "--fresh")
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
	put(t, filepath.Dir(path), "out.partial", []byte(whole+"not decided"))
	s = start(t, epochSink(t, nil, path, framed), 1, c)
	if got := content(t, path+".partial", compress.None); got != whole {
		t.Errorf("what was not decided is still there: %q", got)
	}
	s.end()
}

// A finished output may be moved away, and the next run begins with a partial
// file of its own: neither is an affair of the checkpoint that finished it.
func TestAFinishedFileMayBeMovedAway(t *testing.T) {
	path := put(t, t.TempDir(), "out", []byte("old"))
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	s := start(t, epochSink(t, nil, path, framed), 0)
	c := s.epoch(1, true, "a\n")
	if err := s.Commit(t.Context(), 1, []connector.Committable{c}); err != nil {
		t.Fatal(err)
	}
	s.end()
	if got := content(t, path, compress.None); got != "head\na\nfoot\n" {
		t.Errorf("the output is %q", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for _, begun := range []string{"", "of another run"} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if begun != "" {
			put(t, filepath.Dir(path), "out.partial", []byte(begun))
		}
		s = start(t, epochSink(t, nil, path, framed), 1, c)
		s.end()
		if exists(path) || exists(path+".partial") {
			t.Errorf("with %q: output there %v, partial file there %v", begun, exists(path), exists(path+".partial"))
		}
	}
}

func TestPartsOfAnotherRunAreNotReplaced(t *testing.T) {
	dir := t.TempDir() + "/"
	s := start(t, epochSink(t, nil, dir, framed), 0)
	c := s.epoch(7, false, "a\n")
	for range 2 {
		if err := s.Commit(t.Context(), 7, []connector.Committable{c}); err != nil {
			t.Fatal(err)
		}
	}
	s.end()
	if got := content(t, dir+"part-0000000007-0.ndjson", compress.None); got != "head\na\nfoot\n" {
		t.Errorf("the part is %q", got)
	}
	s = start(t, epochSink(t, nil, dir, framed), 0)
	mustWrite(t, s.w, "b\n")
	p, err := s.w.Prepare(t.Context(), connector.Epoch{ID: 7})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Persist(t.Context())
	wantCode(t, err, "file/part-exists", "part-0000000007-0.ndjson")
	s.end()
	// A reader that takes parts away does not stop the next start.
	if err := os.Remove(dir + "part-0000000007-0.ndjson"); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	env := framed
	env.Log = slog.New(slog.NewTextHandler(&log, nil))
	start(t, epochSink(t, nil, dir, env), 7, c).end()
	if !strings.Contains(log.String(), "taken away") {
		t.Errorf("the log says %q", log.String())
	}
	if left, err := os.ReadDir(dir + pendingName); err != nil || len(left) != 0 {
		t.Errorf("pending parts are left: %v, %v", left, err)
	}
}

func TestARunWithoutCheckpointsAddsOnePart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	w := mustSink(t, dir+"/", "gzip")
	_, err := newSink(settings(sinkDecl, map[string]any{"path": dir + "/"}), framed)
	wantCode(t, err, "file/taken", "another sink is writing")
	mustWrite(t, w, "a\n")
	if err := w.Close(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{"b\n", "c\n"} {
		w = mustSink(t, dir, "gzip") // the folder is there now, and says itself that it is one
		mustWrite(t, w, row)
		if err := w.Close(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := filepath.Glob(dir + "/part-*"); err != nil || len(got) != 2 {
		t.Errorf("the folder holds %v, %v", got, err)
	}
	if got := content(t, dir+"/part-run-0002.bin.gz", compress.Gzip); got != "head\nc\nfoot\n" {
		t.Errorf("the part is %q", got)
	}
}

func TestADeviceTakesRowsAtOnceInEpochs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.OpenFile(path, os.O_RDWR, 0) // a pipe that is open at both ends never blocks its opening
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	s := start(t, epochSink(t, nil, path, framed), 0)
	if c := s.epoch(1, false, "a\n"); c != nil {
		t.Errorf("a device has the committable %q", c)
	}
	got := make([]byte, 7)
	if _, err := io.ReadFull(in, got); err != nil || string(got) != "head\na\n" {
		t.Errorf("before the commit %q has left, %v", got, err)
	}
	s.end()
}

// The first error of the disk ends the sink: a second fsync could succeed over
// data that the first one has lost.
func TestAFailedSyncIsNotTriedAgain(t *testing.T) {
	for _, path := range []string{"/out", "/results/"} {
		syncs := 0
		broken := false
		disk := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if broken && op.Kind == errorfs.OpFileSync {
				syncs++
				return unix.EIO
			}
			return nil
		}))
		s := start(t, epochSink(t, disk, path, framed), 0)
		s.epoch(1, false, "a\n")
		mustWrite(t, s.w, "b\n")
		p, err := s.w.Prepare(t.Context(), connector.Epoch{ID: 2})
		if err != nil {
			t.Fatal(err)
		}
		broken = true
		_, first := p.Persist(t.Context())
		wantCode(t, first, "file/cannot-sync")
		err = write(t, s.w, "c\n")
		if err == nil {
			_, err = s.w.Prepare(t.Context(), connector.Epoch{ID: 3})
		}
		wantCode(t, err, "file/cannot-sync")
		if syncs != 1 {
			t.Errorf("%s: %d attempts", path, syncs)
		}
		_ = s.w.Close(t.Context(), false)
		_ = s.Close()
	}
	if got := batch.Live(); got != 0 {
		t.Errorf("%d batches leaked", got)
	}
}

func TestDeadLettersLeaveNothingBehindWithoutALetter(t *testing.T) {
	dir := t.TempDir()
	env := connector.SinkEnv{Schema: connectortest.Chunks, Encoded: true, DataDir: dir}
	open := func() connector.Sink {
		s, err := DeadLetters.NewEpochSink(settings(DeadLetters.Sink, nil), env)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := start(t, open(), 0)
	if c := s.epoch(1, false); c != nil {
		t.Errorf("no letter has the committable %q", c)
	}
	s.end()
	w, err := DeadLetters.NewSink(settings(DeadLetters.Sink, nil), env)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if exists(filepath.Join(dir, DeadLettersDir)) {
		t.Error("a run without letters has made the folder")
	}
	// Without checkpoints letters can be read at once, and the next run adds to them.
	for range 2 {
		if w, err = DeadLetters.NewSink(settings(DeadLetters.Sink, nil), env); err != nil {
			t.Fatal(err)
		}
		mustWrite(t, w, "{}\n")
		if err := w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = w.Close(t.Context(), false) }()
	}
	current := filepath.Join(dir, DeadLettersDir, "current.ndjson")
	if got := content(t, current, compress.None); got != "{}\n{}\n" {
		t.Errorf("the letters are %q", got)
	}
	s = start(t, open(), 1)
	c := s.epoch(2, false, "{}\n")
	if err := s.Commit(t.Context(), 2, []connector.Committable{c}); err != nil {
		t.Fatal(err)
	}
	s.end()
	if got := content(t, filepath.Join(dir, DeadLettersDir, "part-0000000002-0.ndjson"), compress.None); got != "{}\n" {
		t.Errorf("the part is %q", got)
	}
}

func TestDeadLettersThatCannotBeWritten(t *testing.T) {
	file := put(t, t.TempDir(), "data", nil)
	env := connector.SinkEnv{Schema: connectortest.Chunks, Encoded: true, DataDir: file}
	w, err := DeadLetters.NewSink(settings(DeadLetters.Sink, nil), env)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(err error) {
		t.Helper()
		var d *diag.Error
		if !errors.As(err, &d) || d.Code != "run/dead-letters" || !strings.Contains(d.Hint, "--data") {
			t.Errorf("got %v", err)
		}
	}
	refused(write(t, w, "{}\n"))
	s, err := DeadLetters.NewEpochSink(settings(DeadLetters.Sink, nil), env)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	refused(s.Recover(t.Context(), 0, nil))
}

func TestPromisesFollowThePath(t *testing.T) {
	for path, want := range map[string]delivery.Guarantee{"out.ndjson": delivery.ExactlyOnce, "results/": delivery.ExactlyOnce, "/dev/stdout": delivery.AtLeastOnce} {
		if got := sinkPromise(settings(sinkDecl, map[string]any{"path": path})); got.Guarantee != want || got.Why == "" {
			t.Errorf("the sink %s promises %v", path, got)
		}
	}
	for path, want := range map[string]delivery.Guarantee{"in.ndjson": delivery.ExactlyOnce, "-": delivery.AtMostOnce, "/dev/stdin": delivery.AtMostOnce} {
		if got := sourcePromise(settings(sourceDecl, map[string]any{"path": []string{"a", path}})); got.Guarantee != want || got.Why == "" {
			t.Errorf("the source %s promises %v", path, got)
		}
	}
}

// What checkpoints may hold for long, of version 1.
var goldenCommittables = map[string]committable{
	`{"version":1,"length":4711,"tail":3735928559}`:                                                          {Version: 1, Length: 4711, Tail: 0xdeadbeef},
	`{"version":1,"length":5,"tail":7,"final":true}`:                                                         {Version: 1, Length: 5, Tail: 7, Final: true},
	`{"version":1,"length":80,"tail":9,"part":"part-0000000042-0.ndjson.gz","pending":"after-0000000041-0"}`: {Version: 1, Length: 80, Tail: 9, Part: "part-0000000042-0.ndjson.gz", Pending: "after-0000000041-0"},
	`{"version":1}`: {Version: 1},
}

func TestCommittablesAreReadBack(t *testing.T) {
	for text, want := range goldenCommittables {
		got, err := decodeCommittable(connector.Committable(text))
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
		if again, err := want.encode(); err != nil || string(again) != text {
			t.Errorf("%v is %s, %v", want, again, err)
		}
	}
	for _, wrong := range []string{
		"", "{}", "null", `{"version":2}`, `{"version":1}x`, `{"version":1,"length":-1}`, `{"version":1,"more":1}`,
		`{"version":1,"part":"p"}`, `{"version":1,"pending":"p"}`, `{"version":1,"part":"p","pending":"q","final":true}`,
		`{"version":1,"part":"../p","pending":"q"}`, `{"version":1,"part":"p","pending":"/q"}`, `{"version":1,"part":"..","pending":"q"}`,
	} {
		if got, err := decodeCommittable(connector.Committable(wrong)); err == nil {
			t.Errorf("%s is taken: %v", wrong, got)
		}
	}
	for path, c := range map[string]string{"/out": `{"version":1,"part":"p","pending":"q"}`, "/results/": `{"version":1,"length":1}`} {
		s := epochSink(t, vfs.NewMem(), path, framed)
		wantCode(t, s.Recover(t.Context(), 1, []connector.Committable{connector.Committable(c)}), "file/bad-checkpoint", "the other way round", "--fresh")
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func FuzzDecodeCommittable(f *testing.F) {
	for text := range goldenCommittables {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeCommittable(b)
		if err != nil {
			return
		}
		again, err := c.encode()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeCommittable(again); err != nil || got != c {
			t.Errorf("%s: %v comes back as %v, %v", b, c, got, err)
		}
		if c.Part != "" && (filepath.Dir(filepath.Join("/a", c.Part)) != "/a" || filepath.Dir(filepath.Join("/a", c.Pending)) != "/a") {
			t.Errorf("%s leads out of its folder", b)
		}
	})
}

func TestExtensionsFollowTheFormat(t *testing.T) {
	var got []string
	for _, c := range []struct {
		media string
		kind  compress.Kind
	}{{"application/x-ndjson", compress.None}, {"text/csv", compress.Gzip}, {"application/octet-stream", compress.Zstd}, {"", compress.None}} {
		got = append(got, extension(c.media, c.kind))
	}
	if want := []string{".ndjson", ".csv.gz", ".bin.zst", ".bin"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
