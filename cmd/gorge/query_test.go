package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/table"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/server"
	"github.com/gorge-stream/gorge/internal/spec"
)

// rowsTable opens a table "averages" in dir and writes three rows.
func rowsTable(t *testing.T, dir string, mux connector.Mux) connector.SinkWriter {
	t.Helper()
	schema := &batch.Schema{Time: -1, Fields: []batch.Field{{Name: "id", Kind: batch.String}, {Name: "n", Kind: batch.Int64}}}
	w, err := table.Registration.NewSink(spec.NewValues(table.Registration.Sink, diag.Place{}, map[string]spec.Value{"key": {V: []string{"id"}}}),
		connector.SinkEnv{Name: "averages", Schema: schema, DataDir: dir, HTTP: mux})
	if err != nil {
		t.Fatal(err)
	}
	b := batch.NewPool(schema, 3).Get()
	for i, id := range []string{"a", "b", "c"} {
		b.Col(0).SetText(i, id)
		b.Col(1).Int64s()[i] = int64(i)
	}
	b.SetLen(3)
	if err := errors.Join(w.Write(t.Context(), b), w.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	return w
}

// queryLine runs one command line of gorge query.
func queryLine(args ...string) (stdout, stderr string, err error) {
	var out, notes bytes.Buffer
	c := queryCmd()
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(&notes)
	err = c.ExecuteContext(context.Background())
	return out.String(), notes.String(), err
}

func TestQueryAsksTheEngine(t *testing.T) {
	s, err := server.New(server.Options{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	addr, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	w := rowsTable(t, t.TempDir(), s)
	defer func() {
		http.DefaultClient.CloseIdleConnections()
		if err := errors.Join(w.Close(context.Background(), true), s.Shutdown(context.Background())); err != nil {
			t.Error(err)
		}
	}()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"averages", "--addr", addr}, "{\"id\":\"a\",\"n\":0}\n{\"id\":\"b\",\"n\":1}\n{\"id\":\"c\",\"n\":2}\n"},
		{[]string{"averages", "--addr", "http://" + addr + "/", "-k", "id.from=b", "-f", "csv", "-n", "1"}, "id,n\nb,1\n"},
		{[]string{"averages", "--addr", addr, "-k", "id=c", "--columns", "n", "-f", "table"}, "n\n-\n2\n"},
		{[]string{"averages", "--addr", addr, "--order", "desc", "-f", "csv"}, "id,n\nc,2\nb,1\na,0\n"},
		{[]string{"--addr", addr, "-f", "table"}, "table     key  retain  rows (about)\n--------  ---  ------  ------------\naverages  id                      3\n"},
	} {
		if out, _, err := queryLine(c.args...); err != nil || out != c.want {
			t.Errorf("%v: %v\ngot  %q\nwant %q", c.args, err, out, c.want)
		}
	}
}

func TestQueryReadsWhatAStoppedEngineLeft(t *testing.T) {
	t.Chdir(t.TempDir())
	dir := filepath.Join("gorge-data", "city")
	w := rowsTable(t, dir, nil)
	_, _, err := queryLine("averages", "--data", dir)
	var e *diag.Error
	if !errors.As(err, &e) || e.Code != "table/locked" {
		t.Errorf("while an engine has the store: %v", err)
	}
	if err := w.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{dir, filepath.Join(dir, table.Dir)} {
		if out, _, err := queryLine("averages", "--data", data, "-k", "id=b"); err != nil || out != "{\"id\":\"b\",\"n\":1}\n" {
			t.Errorf("%s: %q %v", data, out, err)
		}
	}
}

func TestQueryExplainsWhatIsWrong(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("empty", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args  []string
		words string
	}{
		{[]string{"t", "--format", "xml"}, "there is no format"},
		{[]string{"t", "--limit", "-1"}, "number of rows"},
		{[]string{"t", "--key", "device"}, "COLUMN=VALUE"},
		{[]string{"a", "b"}, "one table"},
		{[]string{"t", "--data", "empty"}, "there is no table store"},
		{[]string{"t", "--addr", "127.0.0.1:1"}, "no engine answers"},
	} {
		_, _, err := queryLine(c.args...)
		if err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%v: %v, want %q", c.args, err, c.words)
		}
	}
}
