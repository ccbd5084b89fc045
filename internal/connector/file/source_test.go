package file

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/compress"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/connectortest"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// headed is a format of lines with a header line.
var headed = &codec.Format{Frame: func(*spec.Values, codec.Limits) codec.Frame {
	return codec.Frame{Preamble: func(b []byte) int {
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			return i + 1
		}
		return -1
	}}
}}

var whole = &codec.Format{Frame: func(*spec.Values, codec.Limits) codec.Frame { return codec.Frame{Whole: true} }}

func settings(decl *spec.Decl, set map[string]any) *spec.Values {
	place := diag.Place{File: "test.yaml", Line: 1, Column: 1}
	v := map[string]spec.Value{}
	for k, x := range set {
		v[k] = spec.Value{V: x, Place: place, Set: true}
	}
	return spec.NewValues(decl, place, v)
}

func mustSource(t testing.TB, env connector.SourceEnv, stdin *os.File, paths ...string) connector.Source {
	t.Helper()
	s, err := newSourceWith(settings(sourceDecl, map[string]any{"path": paths}), env, stdin)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// lines makes about size bytes of lines of many lengths, some empty.
func lines(seed uint64, size int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	var b []byte
	for i := 0; len(b) < size; i++ {
		b = fmt.Appendf(b, "%d %s\n", i, strings.Repeat("x", r.IntN(90)))
		if r.IntN(20) == 0 {
			b = append(b, '\n')
		}
	}
	return b
}

func pack(t testing.TB, k compress.Kind, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := compress.NewWriter(&b, k)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func put(t testing.TB, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSourceSuite(t *testing.T) {
	contents := map[string][]byte{
		"a.ndjson": lines(1, 40_000), "b.ndjson": bytes.TrimRight(lines(2, 10_000), "\n"), "c.ndjson": nil, "d.ndjson": []byte("\n"),
		"e.ndjson": []byte("one line without an end"), "long.ndjson": slices.Concat([]byte("h\n1\n"), bytes.Repeat([]byte("y"), 3000), []byte("\n2\n3\n")),
	}
	for _, format := range []struct {
		name string
		f    *codec.Format
	}{{"lines", &codec.Format{}}, {"header", headed}, {"whole", whole}} {
		for _, kind := range []compress.Kind{compress.None, compress.Gzip, compress.Zstd} {
			for _, block := range []int{64, 1000, 0} {
				t.Run(fmt.Sprintf("%s/%s/%d", format.name, kind, block), func(t *testing.T) {
					dir, want := t.TempDir(), map[string]string{}
					for name, data := range contents {
						path := put(t, dir, name, pack(t, kind, data))
						want[path] = string(data)
						if _, rows, _ := bytes.Cut(data, []byte{'\n'}); format.f == headed && len(rows) == 0 {
							want[path] = "" // a header alone makes no block
						}
					}
					connectortest.Source(t, connectortest.SourceCase{
						New: func(t testing.TB) connector.Source {
							return mustSource(t, connector.SourceEnv{BlockBytes: block, Format: format.f}, nil, filepath.Join(dir, "*"))
						},
						Want: want, Blocks: 10_000,
					})
				})
			}
		}
	}
}

func read(t testing.TB, s connector.Source) []connectortest.Read {
	t.Helper()
	splits, err := s.Splits(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []connectortest.Read
	for _, split := range splits {
		out = append(out, connectortest.ReadAll(t, s, split, nil, 1<<30, nil)...)
	}
	return out
}

func TestBlocksAreFullAndEndWithRecords(t *testing.T) {
	data := lines(3, 300_000)
	path := put(t, t.TempDir(), "x", data)
	const block = 4096
	blocks := read(t, mustSource(t, connector.SourceEnv{BlockBytes: block}, nil, path))
	at := 0
	for i, b := range blocks {
		if b.Place != path || b.Offset != int64(at) {
			t.Errorf("block %d is at %q byte %d, want %q byte %d", i, b.Place, b.Offset, path, at)
		}
		if want := map[bool]int64{true: 1, false: 0}[i == 0]; b.Line != want {
			t.Errorf("block %d begins with line %d, want %d", i, b.Line, want)
		}
		if i == len(blocks)-1 {
			break
		}
		if len(b.Data) > block || b.Data[len(b.Data)-1] != '\n' {
			t.Errorf("block %d of %d bytes ends with %q", i, len(b.Data), b.Data[len(b.Data)-1])
		}
		next := bytes.IndexByte(data[at+len(b.Data):], '\n') + 1
		if len(b.Data)+next <= block {
			t.Errorf("block %d has %d bytes and the next record of %d would have fitted", i, len(b.Data), next)
		}
		at += len(b.Data)
	}
}

func TestARecordOverTheLimitIsHandedOverAloneAndSkipped(t *testing.T) {
	const limit = 1000
	for _, block := range []int{64, 500, 100_000} {
		for _, n := range []int{limit, limit + 1, limit + 2, limit + 3, 50_000} {
			for _, end := range []string{"\n", "\r\n", ""} {
				data := "first\n" + strings.Repeat("z", n) + end
				if end != "" {
					data += "last\n"
				}
				path := put(t, t.TempDir(), "x", []byte(data))
				var got []byte
				for _, b := range read(t, mustSource(t, connector.SourceEnv{BlockBytes: block, Limits: codec.Limits{RecordBytes: limit}}, nil, path)) {
					got = append(got, b.Data...)
					if len(b.Data) > max(block, limit+2) {
						t.Errorf("limit %d, block %d: a block of %d bytes", limit, block, len(b.Data))
					}
					if !bytes.HasSuffix(b.Data, []byte("\n")) {
						got = append(got, '|')
					}
				}
				// what the decoder sees as one record, by newline or block end
				var records []string
				for rec := range strings.FieldsFuncSeq(string(got), func(c rune) bool { return c == '\n' || c == '|' }) {
					records = append(records, strings.TrimRight(rec, "\r"))
				}
				if len(records) < 2 || records[0] != "first" || (end != "" && records[len(records)-1] != "last") || (end == "") == (len(records) == 3) {
					t.Fatalf("block %d, record of %d, end %q: %d records", block, n, end, len(records))
				}
				if r := records[1]; len(r) != n && (len(r) <= limit || len(r) > n) {
					t.Errorf("block %d, record of %d, end %q: %d bytes handed over", block, n, end, len(r))
				}
			}
		}
	}
}

func TestAnOversizedRecordCostsBoundedMemory(t *testing.T) {
	packed := pack(t, compress.Gzip, append(make([]byte, 64<<20), "\nlast\n"...))
	path := put(t, t.TempDir(), "bomb.gz", packed)
	blocks := read(t, mustSource(t, connector.SourceEnv{Limits: codec.Limits{RecordBytes: 4096}}, nil, path))
	if len(blocks) != 2 || len(blocks[0].Data) != 4098 || string(blocks[1].Data) != "last\n" {
		t.Errorf("got %d blocks", len(blocks))
	}
}

func wantCode(t *testing.T, err error, code diag.Code, parts ...string) {
	t.Helper()
	var d *diag.Error
	if !errors.As(err, &d) || d.Code != code {
		t.Fatalf("got error %v, want code %s", err, code)
	}
	if d.Place.Line == 0 {
		t.Errorf("%v has no place", err)
	}
	text := diag.Format(err)
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q does not say %q", text, p)
		}
	}
}

func TestPathsThatCannotBeReadAreRefusedAtTheStart(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "locked.csv", nil)
	if err := os.Chmod(filepath.Join(dir, "locked.csv"), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "closed"), 0); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		code diag.Code
		says string
	}{
		{"*.json", "file/no-match", "hint: relative paths start at the working directory"},
		{"s*", "file/no-match", "no file matches"},
		{"sub", "file/is-directory", "/sub/*"},
		{"missing.csv", "file/not-found", "there is no file"},
		{"[a", "file/bad-pattern", "not well-formed"},
		{"**/x", "file/bad-pattern", "one pattern for each depth"},
		{"locked.csv", "file/no-permission", "ls -l"},
		{"l*.csv", "file/no-permission", "ls -l"},
		{"closed/*.csv", "file/no-permission", "cannot open"},
	} {
		if c.code == "file/no-permission" && os.Geteuid() == 0 {
			continue // root reads everything
		}
		_, err := mustSource(t, connector.SourceEnv{}, nil, filepath.Join(dir, c.path)).Splits(t.Context())
		wantCode(t, err, c.code, c.says)
	}
}

func TestSplitsFollowThePatternsWithoutRepetition(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"b.csv", "a.csv", "c.json", "odd[1].csv"} {
		put(t, dir, n, nil)
	}
	splits, err := mustSource(t, connector.SourceEnv{}, nil, filepath.Join(dir, "*.json"), filepath.Join(dir, "odd[1].csv"), filepath.Join(dir, "*.csv")).Splits(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range splits {
		got = append(got, filepath.Base(s.ID))
		if !s.Bounded {
			t.Errorf("%s is not bounded", s.ID)
		}
	}
	if want := []string{"c.json", "odd[1].csv", "a.csv", "b.csv"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// fail reads the only split up to its error.
func fail(t *testing.T, s connector.Source, at connector.Position) error {
	t.Helper()
	splits, err := s.Splits(t.Context())
	if err != nil {
		return err
	}
	r, err := s.Open(t.Context(), splits[0], at)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		var b connector.Block
		if err := r.Poll(t.Context(), &b); err != nil {
			if again := r.Poll(t.Context(), &b); again == nil || again.Error() != err.Error() {
				t.Errorf("first %v, then %v", err, again)
			}
			return err
		}
	}
}

func TestDamagedCompressionEndsTheReading(t *testing.T) {
	dir := t.TempDir()
	for _, k := range []compress.Kind{compress.Gzip, compress.Zstd} {
		packed := pack(t, k, lines(4, 100_000))
		for _, n := range []int{5, len(packed) / 2, len(packed) - 1} {
			path := put(t, dir, "cut", packed[:n])
			err := fail(t, mustSource(t, connector.SourceEnv{}, nil, path), nil)
			wantCode(t, err, "file/cannot-read", "truncated", path)
		}
	}
	path := put(t, dir, "plain", []byte("not compressed"))
	s, err := newSource(settings(sourceDecl, map[string]any{"path": []string{path}, "compression": "gzip"}), connector.SourceEnv{})
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, fail(t, s, nil), "file/cannot-read", "damaged")
	path = put(t, dir, "bomb", pack(t, compress.Zstd, make([]byte, 1<<20)))
	s, err = newSource(settings(sourceDecl, map[string]any{"path": []string{path}, "max_inflated": int64(1 << 16)}), connector.SourceEnv{})
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, fail(t, s, nil), "file/cannot-read", "inflates to more than 65536 bytes")
}

func TestAHeaderWithoutEndIsRefused(t *testing.T) {
	path := put(t, t.TempDir(), "x", bytes.Repeat([]byte("h"), 1<<16))
	s := mustSource(t, connector.SourceEnv{Format: headed, Limits: codec.Limits{RecordBytes: 1000}}, nil, path)
	wantCode(t, fail(t, s, nil), "file/header-too-long", "1000 bytes")
}

func TestReadingIsFreeOfAllocationsPerRecord(t *testing.T) {
	path := put(t, t.TempDir(), "x", lines(5, 4<<20))
	s := mustSource(t, connector.SourceEnv{}, nil, path)
	r, err := s.Open(t.Context(), connector.Split{ID: path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var b connector.Block
	if n := testing.AllocsPerRun(10, func() {
		if err := r.Poll(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
	}); n > 3 { // the text of the place, and buffers before the first rounds are through
		t.Errorf("%v allocations a block", n)
	}
}
