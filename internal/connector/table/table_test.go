package table

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/connectortest"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

func TestMain(m *testing.M) {
	if os.Getenv(fatalEnv) != "" {
		failLogForGood() // ends the process
	}
	if os.Getenv(faultsEnv) != "" {
		os.Exit(m.Run()) // goroutines stay behind
	}
	before := batch.Live()
	leaks := goleak.IgnoreCurrent()
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(leaks); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if n := batch.Live() - before; n != 0 {
		fmt.Fprintln(os.Stderr, "batches leaked:", n)
		code = 1
	}
	os.Exit(code)
}

// readings is the schema of most tests: what a window of the demo emits.
var readings = &batch.Schema{Time: 1, Fields: []batch.Field{
	{Name: "device_id", Kind: batch.String, Nullable: true},
	{Name: "window_start", Kind: batch.Timestamp},
	{Name: "avg_temp", Kind: batch.Float64, Nullable: true},
	{Name: "n", Kind: batch.Int64},
}}

type reading struct {
	device string
	start  int64
	avg    float64
	n      int64
}

func fill(b *batch.Batch, rows []reading) *batch.Batch {
	for i, r := range rows {
		b.Col(0).SetText(i, r.device)
		if r.device == "" {
			b.Col(0).SetNull(i)
		}
		b.Col(1).Int64s()[i] = r.start
		b.Col(2).Float64s()[i] = r.avg
		b.Col(3).Int64s()[i] = r.n
	}
	b.SetLen(len(rows))
	return b
}

// settings makes the values of a table sink.
func settings(key []string, retain time.Duration) *spec.Values {
	set := map[string]spec.Value{"key": {V: key, Set: true}}
	if retain > 0 {
		set["retain"] = spec.Value{V: retain, Set: true}
	}
	return spec.NewValues(Registration.Sink, diag.Place{}, set)
}

var byDevice = []string{"device_id", "window_start"}

// sink opens a table named name in dir.
func sink(t testing.TB, dir, name string, set *spec.Values, schema *batch.Schema, mux connector.Mux) *writer {
	t.Helper()
	w, err := Registration.NewSink(set, connector.SinkEnv{Name: name, Schema: schema, DataDir: dir, HTTP: mux})
	if err != nil {
		t.Fatal(err)
	}
	return w.(*writer)
}

func write(t testing.TB, w *writer, rows ...reading) {
	t.Helper()
	pool := batch.NewPool(readings, 1000)
	for len(rows) > 0 {
		n := min(len(rows), 1000)
		if err := w.Write(t.Context(), fill(pool.Get(), rows[:n])); err != nil {
			t.Fatal(err)
		}
		rows = rows[n:]
	}
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func finish(t testing.TB, w *writer) {
	t.Helper()
	if err := w.Close(context.Background(), true); err != nil {
		t.Fatal(err)
	}
}

// ask sends a request to the handler and returns status and body.
func ask(t testing.TB, h http.Handler, path string) (int, string) {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
	return rec.Code, rec.Body.String()
}

type row map[string]any

// rowsOf reads one page of JSON.
func rowsOf(t testing.TB, h http.Handler, path string) (rows []row, cursor string) {
	t.Helper()
	code, body := ask(t, h, path)
	var p struct {
		Rows   []row
		Cursor string
		Error  any
	}
	if err := json.Unmarshal([]byte(body), &p); err != nil || code != 200 || p.Error != nil {
		t.Fatalf("%s: %d %.300s %v", path, code, body, err)
	}
	return p.Rows, p.Cursor
}

// all reads every page.
func all(t testing.TB, h http.Handler, path string) []row {
	t.Helper()
	var out []row
	for cursor := ""; ; {
		p := path
		if cursor != "" {
			p += "&cursor=" + url.QueryEscape(cursor)
		}
		rows, next := rowsOf(t, h, p)
		out = append(out, rows...)
		if cursor = next; cursor == "" {
			return out
		}
	}
}

// short writes rows as "device/second" for comparison.
func short(rows []row) string {
	var out []string
	for _, r := range rows {
		at, err := time.Parse(time.RFC3339Nano, r["window_start"].(string))
		if err != nil {
			return err.Error()
		}
		out = append(out, fmt.Sprintf("%v/%d", r["device_id"], at.Unix()))
	}
	return strings.Join(out, " ")
}

const second = 1_000_000

func TestTheSuiteOfSinks(t *testing.T) {
	schema := &batch.Schema{Time: -1, Fields: []batch.Field{
		{Name: "id", Kind: batch.Int64},
		{Name: "flag", Kind: batch.Bool, Nullable: true}, {Name: "small", Kind: batch.Int32, Nullable: true},
		{Name: "half", Kind: batch.Float32, Nullable: true}, {Name: "full", Kind: batch.Float64, Nullable: true},
		{Name: "text", Kind: batch.String, Nullable: true}, {Name: "raw", Kind: batch.Binary, Nullable: true},
		{Name: "ts", Kind: batch.Timestamp, Nullable: true},
	}}
	connectortest.Sink(t, connectortest.SinkCase{
		Schema: schema,
		New: func(t testing.TB) (connector.SinkWriter, func() string) {
			dir := t.TempDir()
			w := sink(t, dir, "suite", settings([]string{"id"}, 0), schema, nil)
			return w, func() string {
				mux := http.NewServeMux()
				s, err := ServeStored(filepath.Join(dir, Dir), mux)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				_, body := ask(t, mux, "/v1/tables/suite")
				return body
			}
		},
	})
}

func TestARowReplacesTheOneOfItsKey(t *testing.T) {
	mux := http.NewServeMux()
	w := sink(t, t.TempDir(), "averages", settings(byDevice, 0), readings, mux)
	defer finish(t, w)
	write(t, w, reading{"b", 20 * second, 1, 1}, reading{"a", 10 * second, 1, 1}, reading{"a", 10 * second, 2, 2}, reading{"", 10 * second, 7, 7})
	write(t, w, reading{"b", 20 * second, 3, 3})
	rows, cursor := rowsOf(t, mux, "/v1/tables/averages")
	if got := short(rows); got != "<nil>/10 a/10 b/20" || cursor != "" {
		t.Fatal(got, cursor)
	}
	if rows[0]["n"] != 7.0 || rows[1]["avg_temp"] != 2.0 || rows[2]["avg_temp"] != 3.0 {
		t.Fatal(rows)
	}
}

func TestRowsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		mux := http.NewServeMux()
		w := sink(t, dir, "averages", settings(byDevice, time.Hour), readings, mux)
		write(t, w, reading{fmt.Sprint("dev-", round), 10 * second, 1, 1})
		if rows, _ := rowsOf(t, mux, "/v1/tables/averages"); len(rows) != round+1 {
			t.Fatalf("round %d: %d rows", round, len(rows))
		}
		finish(t, w)
		if code, body := ask(t, mux, "/v1/tables/averages"); code != 404 {
			t.Fatal(code, body)
		}
	}
}
