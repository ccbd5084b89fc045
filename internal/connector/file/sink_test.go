package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/compress"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/connectortest"
	"github.com/gorge-stream/gorge/internal/diag"
)

var framed = connector.SinkEnv{Schema: connectortest.Chunks, Encoded: true, Header: []byte("head\n"), Footer: []byte("foot\n")}

func mustSink(t testing.TB, path, compression string) connector.SinkWriter {
	t.Helper()
	s, err := newSink(settings(sinkDecl, map[string]any{"path": path, "compression": compression}), framed)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func content(t testing.TB, path string, k compress.Kind) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := compress.NewReader(f, k, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func want(n int) string {
	b := strings.Builder{}
	for i := range n {
		b.WriteString(connectortest.Line(i))
	}
	return "head\n" + b.String() + "foot\n"
}

func TestSinkSuite(t *testing.T) {
	for name, k := range map[string]compress.Kind{"out.ndjson": compress.None, "out.gz": compress.Gzip, "out.zst": compress.Zstd} {
		t.Run(name, func(t *testing.T) {
			connectortest.Sink(t, connectortest.SinkCase{
				New: func(t testing.TB) (connector.SinkWriter, func() string) {
					path := filepath.Join(t.TempDir(), name)
					return mustSink(t, path, "auto"), func() string { return content(t, path, k) }
				},
				Want: want,
			})
		})
	}
}

var chunks = batch.NewPool(connectortest.Chunks, 10)

func write(t testing.TB, s connector.SinkWriter, texts ...string) error {
	t.Helper()
	b := chunks.Get()
	for i, text := range texts {
		b.Col(0).SetText(i, text)
	}
	b.SetLen(len(texts))
	return s.Write(t.Context(), b)
}

func mustWrite(t testing.TB, s connector.SinkWriter, texts ...string) {
	t.Helper()
	if err := write(t, s, texts...); err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func TestTheTargetIsReplacedInOneStepAtTheEnd(t *testing.T) {
	path := put(t, t.TempDir(), "out", []byte("of the last run"))
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	s := mustSink(t, path, "none")
	mustWrite(t, s, "a\n", "b\n")
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := content(t, path, compress.None); got != "of the last run" {
		t.Errorf("before Close the target is %q", got)
	}
	if got := content(t, path+".partial", compress.None); got != "head\na\nb\n" {
		t.Errorf("after Flush the partial file is %q", got)
	}
	if err := s.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if got := content(t, path, compress.None); got != "head\na\nb\nfoot\n" {
		t.Errorf("after Close the target is %q", got)
	}
	if exists(path + ".partial") {
		t.Error("the partial file is still there")
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestAnIncompleteRunLeavesTheTargetAlone(t *testing.T) {
	path := put(t, t.TempDir(), "out", []byte("old"))
	for _, rows := range []bool{true, false} {
		s := mustSink(t, path, "none")
		if rows {
			mustWrite(t, s, "a\n")
		}
		if err := s.Close(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		if got := content(t, path, compress.None); got != "old" {
			t.Errorf("the target is %q", got)
		}
		if exists(path+".partial") != rows {
			t.Errorf("rows written: %v, partial file there: %v", rows, !rows)
		}
	}
	// what a crash left is begun anew
	put(t, filepath.Dir(path), "out.partial", []byte("a very long text of a run that crashed"))
	s := mustSink(t, path, "none")
	if err := s.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if got := content(t, path, compress.None); got != "head\nfoot\n" {
		t.Errorf("the target is %q", got)
	}
}

func TestALinkStaysALink(t *testing.T) {
	dir := t.TempDir()
	target := put(t, dir, "target", nil)
	link := filepath.Join(dir, "link")
	if err := os.Symlink("target", link); err != nil {
		t.Fatal(err)
	}
	s := mustSink(t, link, "none")
	if err := s.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if got := content(t, target, compress.None); got != "head\nfoot\n" {
		t.Errorf("behind the link is %q", got)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link has become %v, %v", info.Mode(), err)
	}
}

func TestTwoSinksCannotWriteOnePath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	s := mustSink(t, path, "none")
	mustWrite(t, s, "a\n")
	_, err := newSink(settings(sinkDecl, map[string]any{"path": path}), framed)
	wantCode(t, err, "file/taken", "another sink is writing")
	if err := s.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	again := mustSink(t, path, "none")
	if got := content(t, path, compress.None); got != "head\na\nfoot\n" {
		t.Errorf("the next sink has changed the output to %q", got)
	}
	if err := again.Close(t.Context(), false); err != nil {
		t.Fatal(err)
	}
}

func TestTargetsThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	for path, code := range map[string]string{
		put(t, dir, "file", nil) + "/": "file/is-no-directory", filepath.Join(dir, "missing", "out"): "file/cannot-open", filepath.Join(dir, "missing", "out") + "/": "file/cannot-make",
	} {
		_, err := newSink(settings(sinkDecl, map[string]any{"path": path}), framed)
		wantCode(t, err, diag.Code(code))
		if code != "file/is-no-directory" && !strings.Contains(fmt.Sprint(err), "missing") {
			t.Errorf("%v does not name the path", err)
		}
	}
}

func TestADeviceIsWrittenDirectly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	read := make(chan string)
	go func() {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		read <- string(b)
	}()
	s := mustSink(t, path, "none")
	mustWrite(t, s, "a\n")
	if err := s.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if got := <-read; got != "head\na\nfoot\n" {
		t.Errorf("got %q", got)
	}
}

func TestAFullDiskEndsTheSinkAndKeepsTheTarget(t *testing.T) {
	if !exists("/dev/full") {
		t.Fatal("there is no /dev/full, which Linux has everywhere")
	}
	s := mustSink(t, "/dev/full", "none")
	mustWrite(t, s, "a\n")
	err := s.Flush(t.Context())
	wantCode(t, err, "file/cannot-write", "no space left", "df -h")
	if again := write(t, s, "b\n"); !errors.Is(again, err) {
		t.Errorf("Write after the error: %v", again)
	}
	if again := s.Close(t.Context(), true); !errors.Is(again, err) {
		t.Errorf("Close after the error: %v", again)
	}
	if got := batch.Live(); got != 0 {
		t.Errorf("%d batches leaked", got)
	}
}

func TestWritingIsFreeOfAllocations(t *testing.T) {
	s := mustSink(t, filepath.Join(t.TempDir(), "out"), "none")
	line := string(bytes.Repeat([]byte{'x'}, 3000))
	if n := testing.AllocsPerRun(100, func() { mustWrite(t, s, line, line, line) }); n > 1 {
		t.Errorf("%v allocations a batch", n)
	}
	if err := s.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
}
