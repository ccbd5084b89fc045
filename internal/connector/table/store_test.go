package table

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
)

// wantCode checks that err is a refusal with the code and a hint.
func wantCode(t *testing.T, err error, code diag.Code) {
	t.Helper()
	var e *diag.Error
	if !errors.As(err, &e) || e.Code != code || e.Hint == "" {
		t.Fatalf("got %v, want %s with a hint", err, code)
	}
}

// settle flushes and compacts, so that files hold what is alive and no more.
func settle(t *testing.T, s *store) {
	t.Helper()
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Compact(t.Context(), []byte{0}, []byte{0xFF}, false); err != nil {
		t.Fatal(err)
	}
}

// tableBytes returns the size of the table files that are in use.
func tableBytes(s *store) uint64 {
	m := s.db.Metrics()
	return uint64(m.Total().TablesSize) + m.Table.BackingTableSize
}

// dirBytes returns the size of the files in a closed store.
func dirBytes(t *testing.T, dir string) (sum int64) {
	t.Helper()
	for _, f := range glob(t, filepath.Join(dir, Dir), "*.sst") {
		if i, err := os.Stat(f); err == nil {
			sum += i.Size()
		}
	}
	return sum
}

// hour makes the rows of an hour, one per device and minute.
func hour(n int) []reading {
	rows := make([]reading, 0, 50*60)
	for d := range 50 {
		for m := range 60 {
			rows = append(rows, reading{fmt.Sprintf("device-%04d", d), int64(n)*3600*second + int64(m)*60*second, float64(d*n*m) / 7, int64(d * m)})
		}
	}
	return rows
}

func TestRetainDropsOldBucketsAndFreesTheirSpace(t *testing.T) {
	dir, mux := t.TempDir(), http.NewServeMux()
	const retain = 30 // hours, so that a bucket is an hour
	w := sink(t, dir, "averages", settings(byDevice, retain*time.Hour), readings, mux)
	other := sink(t, dir, "other", settings(byDevice, 0), readings, mux)
	forever := func() time.Time { return time.Unix(1<<40, 0) }
	w.table.store.now = forever
	write(t, other, hour(0)...)
	for n := range retain + 1 {
		write(t, w, hour(n)...)
	}
	settle(t, w.table.store)
	full, rows := tableBytes(w.table.store), len(all(t, mux, "/v1/tables/averages?limit=100000"))
	if rows != (retain+1)*3000 {
		t.Fatalf("%d rows before anything was old", rows)
	}
	// Two thirds of the buckets become old.
	for n := retain + 1; n <= retain+20; n++ {
		write(t, w, hour(n)...)
	}
	got := all(t, mux, "/v1/tables/averages?limit=100000&columns=device_id,window_start")
	if len(got) != (retain+1)*3000 {
		t.Fatalf("%d rows are kept, want %d", len(got), (retain+1)*3000)
	}
	if first := got[0]["window_start"]; first != "1970-01-01T20:00:00Z" {
		t.Fatalf("the oldest row is of %s", first)
	}
	settle(t, w.table.store)
	if now := tableBytes(w.table.store); now > full*11/10 {
		t.Errorf("%d bytes in files after 20 of 50 buckets were dropped, %d with 31 buckets", now, full)
	}
	// One row far ahead in event time makes all of it old.
	write(t, w, reading{"device-0000", 1000 * 3600 * second, 1, 1})
	settle(t, w.table.store)
	if now := tableBytes(w.table.store); now > full/10 {
		t.Errorf("%d of %d bytes are left of a table with one row", now, full)
	}
	if n := len(all(t, mux, "/v1/tables/other?limit=100000")); n != 3000 {
		t.Errorf("another table lost rows: %d", n)
	}
	finish(t, w)
	finish(t, other)
	if now := dirBytes(t, dir); now > int64(full)/10 {
		t.Errorf("%d of %d bytes are left in the directory", now, full)
	}
}

func TestASmallTableTakesLittleSpace(t *testing.T) {
	dir := t.TempDir()
	w := sink(t, dir, "t", settings(byDevice, 0), readings, nil)
	defer finish(t, w)
	write(t, w, hour(0)...)
	blocks := int64(0)
	for _, f := range glob(t, filepath.Join(dir, Dir), "*") {
		i, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := i.Sys().(*syscall.Stat_t); ok {
			blocks += s.Blocks
		}
	}
	if used := blocks * 512; used > 2<<20 {
		t.Errorf("3,000 rows take %d bytes on disk", used)
	}
}

func TestRowsOlderThanRetainAreCountedNotWritten(t *testing.T) {
	dir, mux := t.TempDir(), http.NewServeMux()
	for round := range 2 { // the second time the store remembers how far it was
		w := sink(t, dir, "t", settings(byDevice, 30*time.Second), readings, mux)
		w.table.store.now = func() time.Time { return time.Unix(1<<40, 0) }
		if round == 0 {
			write(t, w, reading{"new", 100 * second, 1, 1}, reading{"", 70 * second, 1, 1}, reading{"old", 69 * second, 1, 1})
		} else {
			write(t, w, reading{"old", 69 * second, 1, 1}, reading{"edge", 70 * second, 1, 1})
		}
		if got, want := short(all(t, mux, "/v1/tables/t?limit=9")), []string{"<nil>/70 new/100", "<nil>/70 edge/70 new/100"}[round]; got != want {
			t.Errorf("round %d: %s, want %s", round, got, want)
		}
		if _, body := ask(t, mux, "/v1/tables"); !strings.Contains(body, `"rows_expired":1`) {
			t.Error(body)
		}
		finish(t, w)
	}
}

func TestAClockAheadDoesNotMakeRowsOld(t *testing.T) {
	mux := http.NewServeMux()
	w := sink(t, t.TempDir(), "t", settings(byDevice, 30*time.Second), readings, mux)
	defer finish(t, w)
	w.table.store.now = func() time.Time { return time.Unix(120, 0) }
	write(t, w, reading{"ahead", 1e9 * second, 1, 1}, reading{"a", 100 * second, 1, 1}, reading{"b", 91 * second, 1, 1}, reading{"old", 10 * second, 1, 1})
	if got := short(all(t, mux, "/v1/tables/t?limit=9")); got != "b/91 a/100 ahead/1000000000" {
		t.Error(got)
	}
}

func TestRowsWithoutTimeAreKept(t *testing.T) {
	schema := &batch.Schema{Time: -1, Fields: []batch.Field{{Name: "id", Kind: batch.Int64}, {Name: "ts", Kind: batch.Timestamp, Nullable: true}}}
	mux := http.NewServeMux()
	w := sink(t, t.TempDir(), "t", settings([]string{"id", "ts"}, time.Minute), schema, mux)
	defer finish(t, w)
	w.table.store.now = func() time.Time { return time.Unix(1<<40, 0) }
	pool := batch.NewPool(schema, 4)
	for _, at := range []int64{0, 1 << 50} {
		b := pool.Get()
		b.Col(0).Int64s()[0], b.Col(0).Int64s()[1] = 1, 2
		b.Col(1).Int64s()[0] = at
		b.Col(1).SetNull(1)
		b.SetLen(2)
		if err := w.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]int{"": 2, "?ts.null=true": 1, "?from=0": 1, "?to=2100-01-01T00:00:00Z": 1, "?order=desc": 2} {
		if rows, _ := rowsOf(t, mux, "/v1/tables/t"+query); len(rows) != want {
			t.Errorf("%q: %v", query, rows)
		}
	}
}

func TestASecondProcessIsRefused(t *testing.T) {
	if dir := os.Getenv("TABLE_TEST_LOCKED"); dir != "" {
		_, err := acquire(dir, vfs.Default, slog.New(slog.DiscardHandler))
		fmt.Print(diag.Format(err))
		return
	}
	dir := t.TempDir()
	w := sink(t, dir, "t", settings(byDevice, 0), readings, nil)
	cmd := exec.Command(os.Args[0], "-test.run", "^TestASecondProcessIsRefused$")
	cmd.Env = append(os.Environ(), "TABLE_TEST_LOCKED="+filepath.Join(dir, Dir))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "error[table/locked]") || !strings.Contains(string(out), "hint:") {
		t.Errorf("%v\n%s", err, out)
	}
	_, err = ServeStored(filepath.Join(dir, Dir), http.NewServeMux())
	wantCode(t, err, "table/locked")
	finish(t, w)
	c, err := ServeStored(filepath.Join(dir, Dir), http.NewServeMux())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStoredTablesAreServedWithoutAnEngine(t *testing.T) {
	dir := t.TempDir()
	_, err := ServeStored(filepath.Join(dir, Dir), http.NewServeMux())
	wantCode(t, err, "table/no-store")
	w := sink(t, dir, "t", settings(byDevice, time.Hour), readings, nil)
	write(t, w, reading{"a", second, 1, 1}, reading{"b", second, 1, 1})
	finish(t, w)
	mux := http.NewServeMux()
	c, err := ServeStored(filepath.Join(dir, Dir), mux)
	if err != nil {
		t.Fatal(err)
	}
	if got := short(all(t, mux, "/v1/tables/t?device_id=b")); got != "b/1" {
		t.Error(got)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedStoreIsReported(t *testing.T) {
	build := func() (string, string) {
		dir := t.TempDir()
		w := sink(t, dir, "t", settings(byDevice, 0), readings, nil)
		for n := range 3 {
			write(t, w, hour(n)...)
		}
		settle(t, w.table.store)
		finish(t, w)
		return dir, filepath.Join(dir, Dir)
	}
	open := func(dir string) (*writer, error) {
		w, err := Registration.NewSink(settings(byDevice, 0), connector.SinkEnv{Name: "t", Schema: readings, DataDir: dir})
		if err != nil {
			return nil, err
		}
		return w.(*writer), nil
	}
	t.Run("manifest lost", func(t *testing.T) {
		dir, store := build()
		for _, f := range glob(t, store, "MANIFEST-*") {
			remove(t, f)
		}
		_, err := open(dir)
		wantCode(t, err, "table/corrupt")
	})
	t.Run("everything lost but the mark", func(t *testing.T) {
		dir, store := build()
		for _, f := range glob(t, store, "*") {
			if filepath.Base(f) != createdFile {
				remove(t, f)
			}
		}
		_, err := open(dir)
		wantCode(t, err, "table/corrupt")
	})
	t.Run("bytes of a table file changed", func(t *testing.T) {
		_, store := build()
		for _, f := range glob(t, store, "*.sst") {
			p, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(p)/2; i += 997 {
				p[i] ^= 0xFF
			}
			if err := os.WriteFile(f, p, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		mux := http.NewServeMux()
		c, err := ServeStored(store, mux)
		if err != nil { // the definition is in a damaged block
			wantCode(t, err, "table/read")
			return
		}
		defer c.Close()
		code, body := ask(t, mux, "/v1/tables/t?limit=100000")
		if !strings.Contains(body, `"table/read"`) || code != 500 && code != 200 {
			t.Errorf("%d %.300s", code, body)
		}
	})
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	return files
}

func remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

func TestAHalfMadeStoreIsMadeAgainButNothingElseIsTouched(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for _, foreign := range []bool{false, true} {
		files := vfs.NewMem()
		put := func(name, text string) {
			f, err := files.Create("store/"+name, vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := files.MkdirAll("store", 0o700); err != nil {
			t.Fatal(err)
		}
		put("marker.manifest.000001.MANIFEST-000001", "")
		put("MANIFEST-000001", "half of somet")
		if foreign {
			put("holiday.jpg", "picture")
		}
		s, err := openStore(location{files, "store"}, log)
		if foreign {
			wantCode(t, err, "table/open")
			if _, err := files.Stat("store/MANIFEST-000001"); err != nil {
				t.Error("a file was removed beside one that is not ours")
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := s.db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAStoredTableChangesOnlyWhereItsRowsAllowIt(t *testing.T) {
	dir := t.TempDir()
	field := func(name string, kind batch.Kind) batch.Field { return batch.Field{Name: name, Kind: kind} }
	id, ts, v := field("id", batch.Int64), field("ts", batch.Timestamp), field("v", batch.Float64)
	schema := func(f ...batch.Field) *batch.Schema { return &batch.Schema{Time: -1, Fields: f} }
	open := func(key []string, retain time.Duration, s *batch.Schema, mux connector.Mux) (*writer, error) {
		w, err := Registration.NewSink(settings(key, retain), connector.SinkEnv{Name: "t", Schema: s, DataDir: dir, HTTP: mux})
		if err != nil {
			return nil, err
		}
		return w.(*writer), nil
	}
	put := func(w *writer, s *batch.Schema, id int64) {
		b := batch.NewPool(s, 1).Get()
		for c, f := range s.Fields {
			switch f.Kind {
			case batch.Float64:
				b.Col(c).Float64s()[0] = 1.5
			case batch.String:
				b.Col(c).SetText(0, "new")
			default:
				b.Col(c).Int64s()[0] = id
			}
		}
		b.SetLen(1)
		if err := w.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for i, step := range []struct {
		key    []string
		retain time.Duration
		schema *batch.Schema
		code   diag.Code
		want   string
	}{
		{[]string{"id", "ts"}, 0, schema(id, ts, v), "", ""},
		{[]string{"ts", "id"}, 0, schema(id, ts, v), "table/key-changed", ""},
		{[]string{"id"}, 0, schema(id, ts, v), "table/key-changed", ""},
		{[]string{"id", "ts"}, 0, schema(id, ts, field("v", batch.Int64)), "table/type-changed", ""},
		{[]string{"id", "ts"}, time.Hour, schema(id, ts, v), "table/retain-added", ""},
		{[]string{"id", "ts"}, 0, schema(v, field("text", batch.String), ts, id), "", ""}, // a column more, another order
		{[]string{"id", "ts"}, 0, schema(id, ts, field("text", batch.String)), "", ""},    // a column less
	} {
		mux := http.NewServeMux()
		w, err := open(step.key, step.retain, step.schema, mux)
		if step.code != "" {
			wantCode(t, err, step.code)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		put(w, step.schema, int64(i))
		if i == 6 {
			_, body := ask(t, mux, "/v1/tables/t?columns=id,v,text")
			want := `{"rows":[` + "\n" + `{"id":0,"v":1.5,"text":null},` + "\n" + `{"id":5,"v":1.5,"text":"new"},` + "\n" + `{"id":6,"v":null,"text":"new"}` + "\n]}\n"
			if body != want {
				t.Errorf("got  %s\nwant %s", body, want)
			}
		}
		finish(t, w)
	}
}

func TestSettingsThatDoNotFitAreRefused(t *testing.T) {
	schema := &batch.Schema{Time: 0, Fields: []batch.Field{{Kind: batch.Timestamp}, {Name: "device_id", Kind: batch.String},
		{Name: "temp", Kind: batch.Float64}, {Name: "ts", Kind: batch.Timestamp}}}
	for _, c := range []struct {
		key    []string
		retain time.Duration
		code   diag.Code
		hint   string
	}{
		{[]string{"device_id", "ts"}, time.Hour, "", ""},
		{[]string{"device_id"}, 0, "", ""},
		{nil, 0, "table/no-key", "window_start"},
		{[]string{"device"}, 0, "table/unknown-column", "did you mean device_id?"},
		{[]string{""}, 0, "table/unknown-column", "there are"},
		{[]string{"device_id", "device_id"}, 0, "table/repeated-column", "once"},
		{[]string{"temp"}, 0, "table/key-kind", "cast"},
		{[]string{"device_id"}, time.Hour, "table/retain-without-time", "add ts to the key"},
	} {
		err := Registration.CheckSink(settings(c.key, c.retain), schema)
		if c.code == "" {
			if err != nil {
				t.Errorf("%v: %v", c.key, err)
			}
			continue
		}
		wantCode(t, err, c.code)
		if text := diag.Format(err); !strings.Contains(text, c.hint) {
			t.Errorf("%v: %s", c.key, text)
		}
	}
	for _, env := range []connector.SinkEnv{{Name: "a/b", Schema: schema, DataDir: t.TempDir()}, {Name: "", Schema: schema, DataDir: t.TempDir()}} {
		_, err := Registration.NewSink(settings([]string{"device_id"}, 0), env)
		wantCode(t, err, "table/bad-name")
	}
	_, err := Registration.NewSink(settings([]string{"device_id"}, 0), connector.SinkEnv{Name: "t", Schema: schema})
	wantCode(t, err, "table/no-data-dir")
}

func TestARowThatIsTooLongGoesToTheDeadLetters(t *testing.T) {
	mux := http.NewServeMux()
	var letters []string
	x, err := Registration.NewSink(settings(byDevice, 0), connector.SinkEnv{Name: "t", Schema: readings, DataDir: t.TempDir(), HTTP: mux,
		Dead: func(code, _, _ string, row []byte) {
			letters = append(letters, fmt.Sprintf("%s %d %s", code, len(row), row[len(row)-30:]))
		}})
	if err != nil {
		t.Fatal(err)
	}
	w := x.(*writer)
	defer finish(t, w)
	write(t, w, reading{"a", 0, 1, 1}, reading{strings.Repeat("x", maxKeyBytes), 0, 1, 2}, reading{"b", 0, 1, 3})
	if got := short(all(t, mux, "/v1/tables/t?limit=5")); got != "a/0 b/0" {
		t.Error(got)
	}
	if len(letters) != 1 || !strings.HasPrefix(letters[0], "too_long") || !strings.HasSuffix(letters[0], `"avg_temp":1,"n":2}`) {
		t.Error(letters)
	}
}
