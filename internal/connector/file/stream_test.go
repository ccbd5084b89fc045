package file

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/compress"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/connectortest"
)

// piped is a source of standard input whose sender is the test.
func piped(t testing.TB, env connector.SourceEnv) (connector.Source, *os.File) {
	t.Helper()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); out.Close() })
	return mustSource(t, env, in, "-"), out
}

func TestStreamSuite(t *testing.T) {
	data := lines(1, 3_000_000)
	for name, c := range map[string]struct {
		f    *codec.Format
		kind compress.Kind
	}{"plain": {&codec.Format{}, compress.None}, "header": {headed, compress.None}, "whole": {whole, compress.None}, "gzip": {headed, compress.Gzip}, "zstd": {&codec.Format{}, compress.Zstd}} {
		t.Run(name, func(t *testing.T) {
			var out *os.File
			fed := make(chan error, 10)
			connectortest.Source(t, connectortest.SourceCase{
				New: func(t testing.TB) (s connector.Source) {
					s, out = piped(t, connector.SourceEnv{Format: c.f})
					return s
				},
				Feed: func(t testing.TB, _ connector.Source) {
					packed, out := pack(t, c.kind, data), out
					go func() {
						_, err := out.Write(packed)
						fed <- errors.Join(err, out.Close())
					}()
				},
				Once: true, Want: map[string]string{"-": string(data)}, Blocks: 1 << 20,
			})
			if err := <-fed; err != nil {
				t.Error(err)
			}
		})
	}
}

func open(t testing.TB, s connector.Source, id string) connector.SplitReader {
	t.Helper()
	r, err := s.Open(t.Context(), connector.Split{ID: id, Bounded: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// next polls, and waits while there is nothing.
func next(t testing.TB, s connector.Source, r connector.SplitReader) (string, error) {
	t.Helper()
	var b connector.Block
	for {
		err := r.Poll(t.Context(), &b)
		if !errors.Is(err, connector.ErrNoData) {
			return string(b.Data), err
		}
		if err := s.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func send(t testing.TB, out *os.File, text string) {
	t.Helper()
	if _, err := out.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestRowsOfAStreamAreHandedOverAsTheyArrive(t *testing.T) {
	s, out := piped(t, connector.SourceEnv{})
	r := open(t, s, "-")
	var b connector.Block
	if err := r.Poll(t.Context(), &b); !errors.Is(err, connector.ErrNoData) {
		t.Fatalf("nothing was sent, Poll returns %v", err)
	}
	for _, c := range []struct{ send, want string }{
		{"one\n", "one\n"}, {"two\nthr", "two\n"}, {"ee\n", "three\n"}, {"\n", "\n"},
	} {
		send(t, out, c.send)
		if got, err := next(t, s, r); err != nil || got != c.want {
			t.Errorf("sent %q, got %q, %v", c.send, got, err)
		}
	}
	send(t, out, "no end")
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := next(t, s, r); err != nil || got != "no end" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := next(t, s, r); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a stream that has ended still has news: %v", err)
	}
}

func TestALongRecordOfAStreamIsSkippedAcrossDrySpells(t *testing.T) {
	s, out := piped(t, connector.SourceEnv{BlockBytes: 64, Limits: codec.Limits{RecordBytes: 100}})
	r := open(t, s, "-")
	send(t, out, "a\n"+string(bytes.Repeat([]byte{'z'}, 102)))
	for _, want := range []string{"a\n", string(bytes.Repeat([]byte{'z'}, 102))} {
		if got, err := next(t, s, r); err != nil || got != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
	var b connector.Block
	send(t, out, "zzzz")
	for range 3 {
		if err := s.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := r.Poll(t.Context(), &b); !errors.Is(err, connector.ErrNoData) {
			t.Fatalf("the rest of the record came: %q, %v", b.Data, err)
		}
		send(t, out, "zz")
	}
	send(t, out, "zz\nb\n")
	if got, err := next(t, s, r); err != nil || got != "b\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestCloseEndsAPumpThatWaits(t *testing.T) {
	for _, sent := range []int{0, 1, 4 << 20} {
		s, out := piped(t, connector.SourceEnv{})
		r := open(t, s, "-")
		ended := make(chan struct{})
		go func() { // with 4 MiB the pump waits for room, else for its sender
			defer close(ended)
			_, _ = out.Write(make([]byte, sent))
		}()
		if sent > 0 {
			if err := s.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		var b connector.Block
		if err := r.Poll(t.Context(), &b); err == nil {
			t.Error("a closed reader reads on")
		}
		if err := s.(*source).stdin.Close(); err != nil { // lets the sender go
			t.Error(err)
		}
		<-ended
	}
}

func TestWaitWakesEverybody(t *testing.T) {
	s, out := piped(t, connector.SourceEnv{})
	r := open(t, s, "-")
	woken := make(chan error)
	for range 3 {
		go func() { woken <- s.Wait(t.Context()) }()
	}
	send(t, out, "x\n")
	for range 3 {
		if err := <-woken; err != nil {
			t.Error(err)
		}
	}
	if got, err := next(t, s, r); err != nil || got != "x\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestStandardInputIsReadOnce(t *testing.T) {
	var log bytes.Buffer
	s, out := piped(t, connector.SourceEnv{Log: slog.New(slog.NewTextHandler(&log, nil))})
	r := open(t, s, "-")
	_, err := s.Open(t.Context(), connector.Split{ID: "-"}, nil)
	wantCode(t, err, "file/stdin-taken")
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	// Behind a crash the sender goes on, and nobody can ask for what was under way.
	r, err = s.Open(t.Context(), connector.Split{ID: "-"}, position{offset: 3}.encode())
	if err != nil {
		t.Fatal(err)
	}
	send(t, out, "and on\n")
	if got, err := next(t, s, r); err != nil || got != "and on\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if !strings.Contains(log.String(), "cannot be read a second time") {
		t.Errorf("the log says %q", log.String())
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestARegularFileAsStandardInput(t *testing.T) {
	data := lines(6, 200_000)
	f, err := os.Open(put(t, t.TempDir(), "x", pack(t, compress.Zstd, data)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var got []byte
	for _, b := range read(t, mustSource(t, connector.SourceEnv{}, f, "-")) {
		got = append(got, b.Data...)
	}
	if !bytes.Equal(got, data) {
		t.Errorf("got %d bytes, want %d", len(got), len(data))
	}
}

func TestANamedPipeWaitsForItsWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustSource(t, connector.SourceEnv{}, nil, path)
	if splits, err := s.Splits(t.Context()); err != nil || len(splits) != 1 {
		t.Fatalf("%v, %v", splits, err)
	}
	r := open(t, s, path)
	var b connector.Block
	if err := r.Poll(t.Context(), &b); !errors.Is(err, connector.ErrNoData) {
		t.Fatalf("there is no writer yet, Poll returns %v", err)
	}
	out, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	send(t, out, "a\nb\n")
	if got, err := next(t, s, r); err != nil || got != "a\nb\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := next(t, s, r); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}
