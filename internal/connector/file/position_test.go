package file

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/compress"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/connectortest"
)

// readSome reads n blocks of a file and returns where it stands behind them.
func readSome(t testing.TB, path string, f *codec.Format, n int) connector.Position {
	t.Helper()
	s := mustSource(t, connector.SourceEnv{Format: f, BlockBytes: 6000}, nil, path)
	blocks := connectortest.ReadAll(t, s, connector.Split{ID: path, Bounded: true}, nil, n, nil)
	return blocks[len(blocks)-1].Behind
}

// readOn reads a file from a position to its end.
func readOn(t testing.TB, path string, f *codec.Format, at connector.Position) string {
	t.Helper()
	s := mustSource(t, connector.SourceEnv{Format: f, BlockBytes: 6000}, nil, path)
	var got []byte
	for _, b := range connectortest.ReadAll(t, s, connector.Split{ID: path, Bounded: true}, at, 1<<20, nil) {
		got = append(got, b.Data...)
	}
	return string(got)
}

// forms are the forms of content of which a file can be resumed.
var forms = map[string]struct {
	kind compress.Kind
	f    *codec.Format
}{"plain": {}, "header": {f: headed}, "gzip": {kind: compress.Gzip}, "zstd, header": {kind: compress.Zstd, f: headed}}

func TestAFileThatHasGrownIsReadOn(t *testing.T) {
	for name, c := range forms {
		t.Run(name, func(t *testing.T) {
			data := lines(8, 40_000)
			for _, n := range []int{1, 3, 1 << 20} {
				path := put(t, t.TempDir(), "x", pack(t, c.kind, data))
				at := readSome(t, path, c.f, n)
				pos, err := decodePosition(at)
				if err != nil {
					t.Fatal(err)
				}
				more := []byte("grown\n")
				f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := f.Write(pack(t, c.kind, more)); err != nil {
					t.Fatal(err)
				}
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
				want := string(data[pos.offset:]) + string(more)
				if got := readOn(t, path, c.f, at); got != want {
					t.Errorf("behind %d blocks: %d bytes, want %d", n, len(got), len(want))
				}
				// a copy is as good as the file
				copied := filepath.Join(t.TempDir(), "x")
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				put(t, filepath.Dir(copied), "x", b)
				if got := readOn(t, copied, c.f, at); got != want {
					t.Errorf("of a copy: %d bytes, want %d", len(got), len(want))
				}
			}
		})
	}
}

func TestAFileThatIsNotTheSameIsRefused(t *testing.T) {
	for name, c := range forms {
		t.Run(name, func(t *testing.T) {
			data := lines(9, 40_000)
			half := data[:bytes.LastIndexByte(data[:20_000], '\n')+1]
			front, tail := bytes.Clone(data), bytes.Clone(data)
			path := put(t, t.TempDir(), "x", pack(t, c.kind, data))
			at := readSome(t, path, c.f, 4)
			pos, err := decodePosition(at)
			if err != nil {
				t.Fatal(err)
			}
			front[100] ^= 1
			tail[pos.offset-100] ^= 1
			for what, now := range map[string]struct {
				data  []byte
				cause string
			}{
				"truncated":        {half, "has only"},
				"empty":            {data[:0], "has only 0 bytes"},
				"another file":     {lines(10, 60_000), "is not what was read"},
				"another front":    {front, "is not what was read"},
				"another tail":     {tail, "is not what was read"},
				"truncated, grown": {append(bytes.Clone(half), lines(11, 60_000)...), "is not what was read"},
			} {
				if what == "empty" && c.f != nil {
					continue // a header of no bytes, then the end
				}
				if err := os.WriteFile(path, pack(t, c.kind, now.data), 0o600); err != nil {
					t.Fatal(err)
				}
				err := fail(t, mustSource(t, connector.SourceEnv{Format: c.f, BlockBytes: 6000}, nil, path), at)
				wantCode(t, err, "file/changed", path, now.cause, "--fresh")
			}
		})
	}
}

func TestARotatedFileIsRefusedWithItsNewName(t *testing.T) {
	dir := t.TempDir()
	data := lines(12, 40_000)
	path := put(t, dir, "app.log", data)
	at := readSome(t, path, nil, 3)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	s := mustSource(t, connector.SourceEnv{}, nil, path)
	_, err := s.Open(t.Context(), connector.Split{ID: path}, at)
	wantCode(t, err, "file/changed", "not there any more", "app.log.1", "--fresh")

	put(t, dir, "app.log", lines(13, 80_000))
	err = fail(t, mustSource(t, connector.SourceEnv{}, nil, path), at)
	wantCode(t, err, "file/changed", "is not what was read", "that file is "+path+".1 now")

	// without a position the new file is read from its start
	if got := readOn(t, path, nil, nil); got != string(lines(13, 80_000)) {
		t.Errorf("%d bytes", len(got))
	}
	if _, err := s.Open(t.Context(), connector.Split{ID: path}, connector.Position{9, 9, 9}); err == nil {
		t.Error("a position of nobody is taken")
	} else {
		wantCode(t, err, "file/bad-position")
	}
}

// The bytes of a position of version 1: a checkpoint may hold it for long.
const goldenPosition = "0101ac02808002878080801001020304a1b2c3d4"

func TestPositionsAreReadBack(t *testing.T) {
	all := position{offset: 300, skipping: true, file: identity{device: 32768, inode: 1<<32 + 7}, content: fingerprint{head: 0x04030201, tail: 0xd4c3b2a1}}
	if got := hex.EncodeToString(all.encode()); got != goldenPosition {
		t.Errorf("position %x", got)
	}
	for _, p := range []position{{}, all, {offset: 1<<63 - 1}} {
		if got, err := decodePosition(p.encode()); err != nil || got != p {
			t.Errorf("%v comes back as %v, %v", p, got, err)
		}
	}
	full := all.encode()
	for n := 1; n < len(full); n++ {
		if _, err := decodePosition(full[:n]); err == nil {
			t.Errorf("%x is accepted", full[:n])
		}
	}
	for _, wrong := range [][]byte{append(bytes.Clone(full), 0), append([]byte{2}, full[1:]...), append([]byte{1, 2}, full[2:]...), (position{offset: -1}).encode()} {
		if _, err := decodePosition(wrong); err == nil {
			t.Errorf("%x is accepted", wrong)
		}
	}
}

func FuzzDecodePosition(f *testing.F) {
	golden, err := hex.DecodeString(goldenPosition)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodePosition(b)
		if err != nil {
			return
		}
		if again, err := decodePosition(p.encode()); err != nil || again != p {
			t.Errorf("%x: %v comes back as %v, %v", b, p, again, err)
		}
		// Whatever a position says, a reader refuses it or reads on.
		path := put(t, t.TempDir(), "x", []byte("a\nb\n"))
		s := mustSource(t, connector.SourceEnv{}, nil, path)
		r, err := s.Open(t.Context(), connector.Split{ID: path}, b)
		if err != nil {
			return
		}
		defer r.Close()
		var block connector.Block
		for err == nil {
			err = r.Poll(t.Context(), &block)
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%x: %v", b, err)
		}
	})
}
