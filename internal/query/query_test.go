package query_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/ipc"
	"go.uber.org/goleak"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/table"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/query"
	"github.com/gorge-stream/gorge/internal/spec"
)

func TestMain(m *testing.M) {
	before := batch.Live()
	code := m.Run()
	if err := goleak.Find(); err != nil || batch.Live() != before {
		fmt.Fprintln(os.Stderr, "leaks:", err, batch.Live()-before)
		code = 1
	}
	os.Exit(code)
}

// engine serves a table of rows dev-0000 ... with n = 0 ... and returns options to ask it.
func engine(t *testing.T, rows int) query.Options {
	t.Helper()
	schema := &batch.Schema{Time: -1, Fields: []batch.Field{
		{Name: "device_id", Kind: batch.String}, {Name: "ts", Kind: batch.Timestamp}, {Name: "n", Kind: batch.Int64, Nullable: true}}}
	mux := http.NewServeMux()
	w, err := table.Registration.NewSink(spec.NewValues(table.Registration.Sink, diag.Place{}, map[string]spec.Value{"key": {V: []string{"device_id", "ts"}}}),
		connector.SinkEnv{Name: "t", Schema: schema, DataDir: t.TempDir(), HTTP: mux})
	if err != nil {
		t.Fatal(err)
	}
	b := batch.NewPool(schema, rows).Get()
	for i := range rows {
		b.Col(0).SetText(i, fmt.Sprintf("dev-%06d", i))
		b.Col(1).Int64s()[i] = int64(i) * 1_000_000
		b.Col(2).Int64s()[i] = int64(i)
		if i == 1 {
			b.Col(0).SetText(i, "dev-000001 \x1b[31m\"red\"")
			b.Col(2).SetNull(i)
		}
	}
	b.SetLen(rows)
	if err := w.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	client, stop := query.Local(mux)
	t.Cleanup(func() {
		if err := errors.Join(stop(), w.Close(t.Context(), true)); err != nil {
			t.Error(err)
		}
	})
	return query.Options{Base: query.LocalBase, Client: client, Table: "t", Params: url.Values{}}
}

func TestEveryFormatHasAllRowsOfAllPages(t *testing.T) {
	const rows = 101_000 // two pages
	o := engine(t, rows)
	for _, limit := range []int{0, 5, 100_000, rows, rows + 1} {
		want := rows
		if limit > 0 {
			want = min(rows, limit)
		}
		for _, format := range query.Formats {
			o.Format, o.Limit = format, limit
			var out bytes.Buffer
			r, err := query.Rows(t.Context(), o, &out)
			if err != nil || r.Rows != want || r.More != (want < rows) {
				t.Fatalf("%s, limit %d: %+v %v", format, limit, r, err)
			}
			if got := count(t, format, &out); got != want {
				t.Errorf("%s, limit %d: %d rows were written", format, limit, got)
			}
		}
	}
}

// count returns the number of rows in what was written.
func count(t *testing.T, format string, out *bytes.Buffer) (n int) {
	t.Helper()
	switch format {
	case "arrow":
		r, err := ipc.NewReader(out)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Release()
		for r.Next() {
			n += int(r.RecordBatch().NumRows())
		}
		return n
	case "json":
		for line := range bytes.Lines(out.Bytes()) {
			var row map[string]any
			if err := json.Unmarshal(line, &row); err != nil || len(row) != 3 {
				t.Fatal(string(line), err)
			}
			n++
		}
		return n
	}
	n = strings.Count(out.String(), "dev-")
	if heads := strings.Count(out.String(), "device_id"); heads != 1 {
		t.Errorf("%s has %d headers", format, heads)
	}
	return n
}

func TestTextForPeopleIsAlignedAndSafeForATerminal(t *testing.T) {
	o := engine(t, 12)
	o.Format, o.Limit = "table", 3
	var out bytes.Buffer
	if _, err := query.Rows(t.Context(), o, &out); err != nil {
		t.Fatal(err)
	}
	want := "" +
		"device_id              ts                    n\n" +
		"---------------------  --------------------  -\n" +
		"dev-000000             1970-01-01T00:00:00Z  0\n" +
		"dev-000001 \ufffd[31m\"red\"  1970-01-01T00:00:01Z   \n" +
		"dev-000002             1970-01-01T00:00:02Z  2\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	o.Table, o.Format = "", "table"
	out.Reset()
	if err := query.Tables(t.Context(), o, &out); err != nil {
		t.Fatal(err)
	}
	if want := "table  key            retain  rows (about)\n-----  -------------  ------  ------------\nt      device_id, ts                    12\n"; out.String() != want {
		t.Errorf("got\n%q want\n%q", out.String(), want)
	}
}

func TestRefusalsOfTheEngineReachThePerson(t *testing.T) {
	o := engine(t, 3)
	o.Format = "json"
	o.Params.Set("device", "x")
	_, err := query.Rows(t.Context(), o, &bytes.Buffer{})
	if text := diag.Format(err); !strings.Contains(text, "error[table/unknown-parameter]") || !strings.Contains(text, "did you mean device_id?") {
		t.Error(text)
	}
	o.Table, o.Params = "x y/../t", nil
	_, err = query.Rows(t.Context(), o, &bytes.Buffer{})
	if text := diag.Format(err); !strings.Contains(text, "error[table/not-found]") {
		t.Error(text)
	}
}

func TestAMissingOrForeignEngineIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + l.Addr().String()
	l.Close()
	client, stop := query.Local(http.NotFoundHandler())
	defer func() { _ = stop() }()
	for _, c := range []struct {
		base   string
		client *http.Client
		code   string
	}{
		{base, &http.Client{}, "error[query/unreachable]"},
		{query.LocalBase, client, "error[query/no-engine]"},
		{"http://[", &http.Client{}, "error[query/address]"},
		{"ftp://127.0.0.1", &http.Client{}, "error[query/address]"},
	} {
		_, err := query.Rows(t.Context(), query.Options{Base: c.base, Client: c.client, Table: "t", Format: "json"}, &bytes.Buffer{})
		if text := diag.Format(err); !strings.Contains(text, c.code) || !strings.Contains(text, "hint:") {
			t.Errorf("%s: %s", c.base, text)
		}
	}
}

func TestAnAnswerThatBreaksOffIsAnError(t *testing.T) {
	for _, c := range []struct{ format, body string }{
		{"json", `{"rows":[{"a":1}`}, {"json", `{"rows":[{"a":1}],"error":{"code":"table/read","message":"cannot","hint":"h"}}`},
		{"json", `[]`}, {"json", `{"rows":{}}`}, {"json", `{"other":1}`}, {"json", ""},
		{"csv", "a,b\n1\n"}, {"table", "a,b\n\"1"}, {"arrow", "no arrow"}, {"arrow", ""},
	} {
		client, stop := query.Local(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, c.body) }))
		_, err := query.Rows(t.Context(), query.Options{Base: query.LocalBase, Client: client, Table: "t", Format: c.format}, &bytes.Buffer{})
		if err == nil {
			t.Errorf("%s %q: no error", c.format, c.body)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}
