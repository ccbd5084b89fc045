package compress

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"

	"github.com/gorge-stream/gorge/internal/diag"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func pack(t testing.TB, k Kind, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, k)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unpack(k Kind, packed io.Reader, limit int64) ([]byte, error) {
	r, err := NewReader(packed, k, limit)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func wantCode(t *testing.T, err error, code diag.Code) {
	t.Helper()
	var d *diag.Error
	if !errors.As(err, &d) || d.Code != code {
		t.Errorf("got error %v, want code %s", err, code)
	}
}

var text = []byte(strings.Repeat("a line of some text\n", 20_000))

func TestWhatIsWrittenComesBack(t *testing.T) {
	for _, k := range []Kind{None, Gzip, Zstd} {
		for _, data := range [][]byte{nil, []byte("x"), text} {
			packed := pack(t, k, data)
			got, err := unpack(k, iotest.HalfReader(bytes.NewReader(packed)), 0)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s of %d bytes: %v, %d bytes back", k, len(data), err, len(got))
			}
			// several streams one behind the other are one stream
			got, err = unpack(k, bytes.NewReader(append(bytes.Clone(packed), packed...)), 0)
			if err != nil || !bytes.Equal(got, append(bytes.Clone(data), data...)) {
				t.Errorf("two %s streams of %d bytes: %v, %d bytes back", k, len(data), err, len(got))
			}
		}
	}
}

func TestSniffFindsTheKindAndKeepsTheBytes(t *testing.T) {
	for _, k := range []Kind{None, Gzip, Zstd} {
		for _, data := range [][]byte{nil, []byte("x"), text} {
			packed := pack(t, k, data)
			got, r, err := Sniff(iotest.OneByteReader(bytes.NewReader(packed)))
			if err != nil || (got != k && len(packed) > 0) {
				t.Fatalf("%s of %d bytes: found %s, %v", k, len(data), got, err)
			}
			all, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(all, packed) {
				t.Errorf("%s: %d bytes behind Sniff, want %d: %v", k, len(all), len(packed), err)
			}
		}
	}
	for _, start := range []string{"1", "\x1f1", "\x28\xb51"} { // no byte more is needed to tell
		k, r, err := Sniff(io.MultiReader(strings.NewReader(start), iotest.ErrReader(errors.New("read on"))))
		if err != nil || k != None {
			t.Errorf("%q: %s, %v", start, k, err)
			continue
		}
		got := make([]byte, len(start))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != start {
			t.Errorf("%q came back as %q, %v", start, got, err)
		}
	}
	broken := errors.New("broken")
	if _, _, err := Sniff(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestTheLimitHoldsWhileInflating(t *testing.T) {
	bomb := make([]byte, 64<<20)
	for _, k := range []Kind{None, Gzip, Zstd} {
		packed := pack(t, k, text)
		if got, err := unpack(k, bytes.NewReader(packed), int64(len(text))); err != nil || len(got) != len(text) {
			t.Errorf("%s: a stream as long as its limit is refused: %v", k, err)
		}
		got, err := unpack(k, bytes.NewReader(packed), int64(len(text))-1)
		wantCode(t, err, CodeTooLarge)
		if !bytes.Equal(got, text[:len(text)-1]) {
			t.Errorf("%s: %d bytes came out", k, len(got))
		}
		got, err = unpack(k, bytes.NewReader(pack(t, k, bomb)), 1000)
		wantCode(t, err, CodeTooLarge)
		if len(got) != 1000 {
			t.Errorf("%s: %d bytes of the bomb came out", k, len(got))
		}
	}
}

func TestDamageIsExplained(t *testing.T) {
	for _, k := range []Kind{Gzip, Zstd} {
		packed := pack(t, k, text)
		for _, n := range []int{1, 3, len(packed) / 2, len(packed) - 1} {
			_, err := unpack(k, bytes.NewReader(packed[:n]), 0)
			wantCode(t, err, CodeCorrupt)
			if !strings.Contains(err.Error(), "truncated") {
				t.Errorf("%s cut at %d: %v", k, n, err)
			}
		}
		_, err := unpack(k, strings.NewReader("this is not compressed at all"), 0)
		wantCode(t, err, CodeCorrupt)
		for i := range packed {
			bad := bytes.Clone(packed)
			bad[i] ^= 0x55
			got, err := unpack(k, bytes.NewReader(bad), 10*int64(len(text)))
			if err == nil && k == Zstd && !bytes.Equal(got, text) {
				t.Errorf("zstd with byte %d changed inflates to something else", i)
			}
		}
	}
}

func TestErrorsOfTheSourceComeBackUnchanged(t *testing.T) {
	broken := errors.New("broken")
	for _, k := range []Kind{None, Gzip, Zstd} {
		packed := pack(t, k, text)
		r := io.MultiReader(bytes.NewReader(packed[:len(packed)/2]), iotest.ErrReader(broken))
		if _, err := unpack(k, r, 0); !errors.Is(err, broken) {
			t.Errorf("%s: %v", k, err)
		}
		if _, err := unpack(k, iotest.ErrReader(broken), 0); !errors.Is(err, broken) {
			t.Errorf("%s: %v", k, err)
		}
	}
}

func TestAClosedReaderStaysClosed(t *testing.T) {
	for _, k := range []Kind{None, Gzip, Zstd} {
		r, err := NewReader(bytes.NewReader(pack(t, k, text)), k, 0)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := r.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: read behind Close", k)
		}
	}
}

func TestFlushBringsOutWhatWasWritten(t *testing.T) {
	for _, k := range []Kind{None, Gzip, Zstd} {
		var b bytes.Buffer
		w, err := NewWriter(&b, k)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("first\n")); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		r, err := NewReader(bytes.NewReader(b.Bytes()), k, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 6)
		if _, err := io.ReadFull(r, got); err != nil || string(got) != "first\n" {
			t.Errorf("%s: %q, %v", k, got, err)
		}
		r.Close()
		w.Close()
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]Kind{"a/b.ndjson": None, "x.json.gz": Gzip, "X.GZ": Gzip, "x.zst": Zstd, "x.zstd": Zstd, "gz": None} {
		if got := ByExtension(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for header, want := range map[string]Kind{"": None, "identity": None, "GZIP": Gzip, " x-gzip": Gzip, "zstd": Zstd} {
		if got, err := ByEncoding(header); err != nil || got != want {
			t.Errorf("%q: %s, %v, want %s", header, got, err, want)
		}
	}
	for _, header := range []string{"br", "gzip, gzip", "deflate"} {
		_, err := ByEncoding(header)
		wantCode(t, err, CodeEncoding)
	}
	for _, k := range []Kind{None, Gzip, Zstd} {
		if got, ok := Parse(k.String()); !ok || got != k {
			t.Errorf("%s parses to %s, %v", k, got, ok)
		}
	}
	if _, ok := Parse("auto"); ok {
		t.Error("auto is no kind")
	}
}

func FuzzReader(f *testing.F) {
	for _, k := range []Kind{Gzip, Zstd} {
		f.Add(pack(f, k, text[:200]))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		k, r, err := Sniff(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		got, err := unpack(k, r, 1<<20)
		if len(got) > 1<<20 {
			t.Fatalf("%d bytes came out", len(got))
		}
		var d *diag.Error
		if err != nil && !errors.As(err, &d) {
			t.Fatalf("a bare error: %v", err)
		}
	})
}
