package httpio

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
)

var update = flag.Bool("update", false, "write the golden files anew")

func readAll(t testing.TB, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	must(t, err)
	defer f.Close()
	b, err := io.ReadAll(f)
	must(t, err)
	return b
}

// golden compares bytes with those of a file that every later version must be able to read.
func golden(t *testing.T, name string, got []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", "outbox", name)
	if *update {
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got  %q\nwant %q", name, got, want)
	}
	return want
}

// sample is a file with two requests: an array and an object, which one sink never mixes.
func sample(t testing.TB) []byte {
	t.Helper()
	b := appendHeader(nil, outboxID{1, 2, 15: 16}, "application/json")
	first := int64(0)
	for _, p := range []*shape{{body: "array"}, {body: "object"}} {
		r := &request{}
		for _, row := range []string{`{"n":1}`, `{"n":22}`}[:map[string]int{"array": 2, "object": 1}[p.body]] {
			r.text = append(append(r.text, row...), '\n')
			r.ends = append(r.ends, len(r.text))
		}
		r.seal(p)
		var err error
		b, err = appendRequest(b, first, r)
		must(t, err)
		first += int64(len(r.ends))
	}
	return appendEnd(b, 2, 3)
}

func TestTheFormatOfTheOutboxIsKept(t *testing.T) {
	b := golden(t, "file.obx", sample(t))
	r, err := newBoxReader(bytes.NewReader(b), int64(len(b)))
	must(t, err)
	if r.mediaType != "application/json" || r.id != (outboxID{1, 2, 15: 16}) {
		t.Errorf("header %+v", r)
	}
	for _, want := range []struct {
		body, key string
		rows      []string
	}{
		{`[{"n":1},{"n":22}]`, "a0ccf39e94d164ac8d04eea780659db5", []string{`{"n":1}`, `{"n":22}`}},
		{`{"n":1}`, "034040d0b4c56e167678147ccb3d74f8", []string{`{"n":1}`}},
	} {
		var q boxed
		must(t, r.next(&q))
		var rows []string
		for _, row := range q.rowsOf() {
			rows = append(rows, string(row))
		}
		if string(q.body) != want.body || q.key != want.key || !slices.Equal(rows, want.rows) || q.contentType != "application/json" {
			t.Errorf("request %q under %s with rows %q; want %+v", q.body, q.key, rows, want)
		}
	}
	if err := r.next(&boxed{}); !errors.Is(err, io.EOF) {
		t.Errorf("behind the last request: %v", err)
	}

	p := parcel{File: "alerts/000000000000000c-0-0102.obx", ID: strings.Repeat("01", 16), Bytes: 99, Requests: 3, Rows: 7}
	c, err := committable{Epoch: 12, New: &p, Owed: []parcel{p}, Final: true}.encode()
	must(t, err)
	_, err = decodeCommittable(golden(t, "committable.json", c))
	must(t, err)
	l, err := ledger{Epoch: 12, Parcels: []parcel{p}, Refused: "refused-1.ndjson"}.encode()
	must(t, err)
	_, err = decodeLedger(golden(t, "owed", l))
	must(t, err)
}

func TestBadCheckpointsAreRefused(t *testing.T) {
	good := `{"file":"a/b.obx","id":"` + strings.Repeat("0", 32) + `","bytes":1,"requests":1,"rows":1}`
	for name, c := range map[string]string{
		"no JSON":         `{`,
		"unknown":         `{"version":1,"epoch":1,"more":1}`,
		"behind":          `{"version":1,"epoch":1} 2`,
		"version":         `{"version":2,"epoch":1}`,
		"way out":         `{"version":1,"epoch":1,"new":` + strings.Replace(good, "a/b", "../b", 1) + `}`,
		"further way out": `{"version":1,"epoch":1,"owed":[` + strings.Replace(good, "a/b", "a/../../b", 1) + `]}`,
		"other extension": `{"version":1,"epoch":1,"owed":[` + strings.Replace(good, "b.obx", "b.txt", 1) + `]}`,
		"id":              `{"version":1,"epoch":1,"owed":[` + strings.Replace(good, `"id":"00`, `"id":"`, 1) + `]}`,
		"cursor":          `{"version":1,"epoch":1,"owed":[` + strings.Replace(good, `"rows":1`, `"rows":1,"next":2`, 1) + `]}`,
		"no rows":         `{"version":1,"epoch":1,"new":` + strings.Replace(good, `"rows":1`, `"rows":0`, 1) + `}`,
	} {
		s := testOutbox(t, vfs.NewMem(), always(200), nil)
		var d *diag.Error
		if err := s.Recover(t.Context(), 1, []connector.Committable{connector.Committable(c)}); !errors.As(err, &d) || d.Code != "http/bad-checkpoint" {
			t.Errorf("%s: %v", name, err)
		}
		must(t, s.Close())
	}
	_, err := decodeCommittable(connector.Committable(`{"version":1,"epoch":1,"new":` + good + `}`))
	must(t, err)
}

func FuzzOutboxFile(f *testing.F) {
	good := sample(f)
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := newBoxReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		again := appendHeader(nil, r.id, r.mediaType)
		rows := int64(0)
		for {
			var q boxed
			err := r.next(&q)
			if errors.Is(err, io.EOF) {
				if !bytes.Equal(appendEnd(again, r.requests, r.rows), b) {
					t.Errorf("what was read of %q is written as %q", b, again)
				}
				return
			}
			if err != nil {
				return
			}
			// Written again it is the same: nothing that was read has two forms.
			p := request{body: q.body}
			for i, row := range q.rowsOf() {
				p.text = append(p.text, row...)
				p.ends = append(p.ends, len(p.text))
				p.at = append(p.at, q.spans[i][0])
				if len(p.row(i)) != len(row) {
					return // rows end without line ends, which this one has not been made with
				}
			}
			if again, err = appendRequest(again, rows, &p); err != nil {
				t.Fatal(err)
			}
			rows += int64(len(q.spans))
		}
	})
}

func FuzzOutboxCommittable(f *testing.F) {
	for _, name := range []string{"committable.json", "owed"} {
		b, err := os.ReadFile(filepath.Join("testdata", "outbox", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := decideAll([]connector.Committable{b}); err == nil {
			for _, p := range slices.Concat(d.owed, d.fresh) {
				if dir := filepath.Dir(filepath.Dir(filepath.Join("/root", p.File))); dir != "/root" {
					t.Errorf("%q leads to %s", p.File, dir)
				}
			}
		}
		if l, err := decodeLedger(b); err == nil {
			if again, err := l.encode(); err != nil {
				t.Error(err)
			} else if _, err := decodeLedger(again); err != nil {
				t.Errorf("%q: %v", again, err)
			}
		}
	})
}
