package table

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/gorge-stream/gorge/internal/batch"
)

// TestScansEqualAFilter asks random questions of a small table and compares the
// answers, page by page in both directions, with a filter over all rows.
func TestScansEqualAFilter(t *testing.T) {
	for _, retain := range []time.Duration{0, 300 * time.Second} {
		mux := http.NewServeMux()
		w := sink(t, t.TempDir(), "t", settings([]string{"device_id", "window_start"}, retain), readings, mux)
		w.table.store.now = func() time.Time { return time.Unix(1<<33, 0) }
		r := rand.New(rand.NewPCG(3, uint64(retain)))
		var rows []reading
		for range 400 {
			d := []string{"", "a", "ab", "abc", "b", "b\x00", "ba", "ü", "\xff"}[r.IntN(9)]
			x := reading{d, (int64(r.IntN(80)) - 20) * 3 * second, 1, int64(len(rows))}
			if !slices.ContainsFunc(rows, func(y reading) bool { return y.device == x.device && y.start == x.start }) {
				rows = append(rows, x)
			}
		}
		write(t, w, rows...)
		// The order of the store: bucket, device (null first), time.
		width := w.table.def.Width
		slices.SortFunc(rows, func(a, b reading) int {
			if c := compare(bucketOf(a.start, width), bucketOf(b.start, width)); c != 0 {
				return c
			}
			if c := strings.Compare(a.device, b.device); c != 0 {
				return c
			}
			return compare(a.start, b.start)
		})
		for range 400 {
			askAtRandom(t, mux, r, rows)
		}
		finish(t, w)
	}
}

// askAtRandom compares one random question with the filter.
func askAtRandom(t *testing.T, mux http.Handler, r *rand.Rand, rows []reading) {
	t.Helper()
	q := url.Values{"limit": {strconv.Itoa(1 + r.IntN(60))}}
	text := func() string { return []string{"a", "ab", "b", "b\x00", "c", "ü", "zz"}[r.IntN(7)] }
	keep := func(reading) bool { return true }
	and := func(f func(reading) bool) {
		before := keep
		keep = func(x reading) bool { return before(x) && f(x) }
	}
	switch d := text(); r.IntN(6) {
	case 0:
		q.Set("device_id", d)
		and(func(x reading) bool { return x.device == d })
	case 1:
		q.Set("device_id.prefix", d)
		and(func(x reading) bool { return strings.HasPrefix(x.device, d) })
	case 2:
		q.Set("device_id.null", "true")
		and(func(x reading) bool { return x.device == "" })
	case 3:
		to := text()
		q.Set("device_id.from", d)
		q.Set("device_id.to", to)
		and(func(x reading) bool { return x.device != "" && x.device >= d && x.device < to })
	}
	from, to := (int64(r.IntN(100))-30)*3, (int64(r.IntN(100))-30)*3
	switch r.IntN(5) {
	case 0:
		q.Set("from", time.Unix(from, 0).UTC().Format(time.RFC3339))
		and(func(x reading) bool { return x.start >= from*second })
	case 1:
		q.Set("to", fmt.Sprint(to*1000))
		and(func(x reading) bool { return x.start < to*second })
	case 2:
		q.Set("window_start.from", fmt.Sprint(from*1000))
		q.Set("to", fmt.Sprint(to*1000))
		and(func(x reading) bool { return x.start >= from*second && x.start < to*second })
	case 3:
		q.Set("window_start", fmt.Sprint(from*1000))
		and(func(x reading) bool { return x.start == from*second })
	}
	var want []string
	for _, x := range rows {
		if keep(x) {
			want = append(want, fmt.Sprint(x.n))
		}
	}
	if r.IntN(2) == 0 {
		q.Set("order", "desc")
		slices.Reverse(want)
	}
	var got []string
	for _, x := range all(t, mux, "/v1/tables/t?"+q.Encode()) {
		got = append(got, fmt.Sprint(x["n"]))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s\ngot  %v\nwant %v", q.Encode(), got, want)
	}
}

// TestPagesSeeEveryRowOnceWhileAWriterWorks reads a million rows page by page,
// by several readers at once, while a writer changes them and adds others.
func TestPagesSeeEveryRowOnceWhileAWriterWorks(t *testing.T) {
	const devices, windows = 50_000, 20
	mux := http.NewServeMux()
	w := sink(t, t.TempDir(), "t", settings(byDevice, 0), readings, mux)
	pool := batch.NewPool(readings, 4096)
	put := func(name string, from, to int, n int64) {
		b := pool.Get()
		for i := range to - from {
			b.Col(0).SetText(i, fmt.Sprintf("%s-%06d", name, (from+i)%devices))
			b.Col(1).Int64s()[i] = int64((from+i)/devices) * second
			b.Col(2).Float64s()[i] = 0
			b.Col(3).Int64s()[i] = n
		}
		b.SetLen(to - from)
		if err := w.Write(t.Context(), b); err != nil {
			t.Error(err)
		}
	}
	for from := 0; from < devices*windows; from += 4000 {
		put("dev", from, from+4000, 1)
	}
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	const readers = 2
	results := make(chan error, readers)
	for k := range readers {
		go func() { results <- readAll(mux, devices*windows, k == 1) }()
	}
	for pending, n := readers, int64(2); pending > 0; n++ {
		at := int(n) * 4000 % (devices * windows)
		put("dev", at, at+4000, n)
		put("new", at, at+100, n)
		if err := w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-results:
			if err != nil {
				t.Error(err)
			}
			pending--
		default:
		}
	}
	finish(t, w)
}

// readAll pages through the devices "dev-..." and checks order and number.
func readAll(h http.Handler, want int, desc bool) error {
	path, count, last, cursor := "/v1/tables/t?device_id.prefix=dev-&limit=70001&columns=device_id,window_start&format=csv", 0, "", ""
	if desc {
		path += "&order=desc"
	}
	for {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path+"&cursor="+cursor, nil))
		if rec.Code != 200 {
			return fmt.Errorf("%d %s", rec.Code, rec.Body)
		}
		lines := strings.Split(strings.TrimSuffix(rec.Body.String(), "\r\n"), "\r\n")[1:]
		for _, line := range lines {
			if last != "" && (line > last) == desc {
				return fmt.Errorf("%q follows %q", line, last)
			}
			last = line
		}
		count += len(lines)
		if cursor = rec.Result().Trailer.Get(cursorTrailer); cursor == "" {
			break
		}
	}
	if count != want {
		return fmt.Errorf("%d rows, want %d", count, want)
	}
	return nil
}

// wideTable writes one row of values and one of nulls behind an id.
func wideTable(t *testing.T) http.Handler {
	t.Helper()
	schema := &batch.Schema{Time: -1, Fields: append([]batch.Field{{Name: "id", Kind: batch.Int32}}, wide.Fields...)}
	mux := http.NewServeMux()
	w := sink(t, t.TempDir(), "wide", settings([]string{"id"}, 0), schema, mux)
	t.Cleanup(func() { finish(t, w) })
	pool := batch.NewPool(schema, 2)
	b := pool.Get()
	b.Col(0).Int32s()[0], b.Col(0).Int32s()[1] = 1, 2
	b.Col(1).SetBool(0, true)
	b.Col(2).Int32s()[0] = -5
	b.Col(3).Int64s()[0] = math.MaxInt64
	b.Col(4).Float32s()[0] = 0.1
	b.Col(5).Float64s()[0] = math.NaN()
	b.Col(6).SetText(0, "a \"quoted\", text\n\x01\xff and more of it")
	b.Col(7).SetBytes(0, []byte{0, 1, 2, 0xFF})
	b.Col(8).Int64s()[0] = -1_500_000
	for c := 1; c <= 8; c++ {
		b.Col(c).SetNull(1)
	}
	b.SetLen(2)
	if err := w.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return mux
}

func TestJSONHasEveryKind(t *testing.T) {
	_, body := ask(t, wideTable(t), "/v1/tables/wide")
	want := `{"rows":[
{"id":1,"flag":true,"small":-5,"big":9223372036854775807,"half":0.1,"full":null,"text":"a \"quoted\", text\n\u0001` + "\ufffd" + ` and more of it","raw":"AAEC/w==","ts":"1969-12-31T23:59:58.5Z"},
{"id":2,"flag":null,"small":null,"big":null,"half":null,"full":null,"text":null,"raw":null,"ts":null}
]}
`
	if body != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
	if !json.Valid([]byte(body)) {
		t.Error("not valid JSON")
	}
}

func TestCSVHasEveryKind(t *testing.T) {
	_, body := ask(t, wideTable(t), "/v1/tables/wide?format=csv&columns=text,id,ts,raw,full")
	got, err := csv.NewReader(strings.NewReader(body)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"text", "id", "ts", "raw", "full"},
		{"a \"quoted\", text\n\x01\xff and more of it", "1", "1969-12-31T23:59:58.5Z", "AAEC/w==", ""}, {"", "2", "", "", ""}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestArrowHasEveryKind(t *testing.T) {
	_, body := ask(t, wideTable(t), "/v1/tables/wide?format=arrow")
	r, err := ipc.NewReader(bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	if !r.Next() {
		t.Fatal("no rows")
	}
	rec := r.RecordBatch()
	if rec.NumRows() != 2 || rec.NumCols() != 9 || rec.Column(3).(*array.Int64).Value(0) != math.MaxInt64 ||
		!math.IsNaN(rec.Column(5).(*array.Float64).Value(0)) || !rec.Column(8).IsNull(1) {
		t.Fatal(rec)
	}
}

func TestTheFormatFollowsAccept(t *testing.T) {
	h := wideTable(t)
	for _, c := range []struct{ accept, query, want string }{
		{"", "", "application/json"}, {"*/*", "", "application/json"}, {"text/csv", "", "text/csv"}, {"text/*", "", "text/csv"},
		{"application/json;q=0.5, text/csv", "", "text/csv"}, {"application/vnd.apache.arrow.stream", "", "application/vnd.apache.arrow.stream"},
		{"text/html, */*;q=0.1", "", "application/json"}, {"text/csv", "?format=arrow", "application/vnd.apache.arrow.stream"},
		{"image/png", "", "406"}, {"text/csv;q=0", "", "406"}, {"text/csv;q=x", "", "406"}, {";;", "", "406"},
	} {
		req := httptest.NewRequest(http.MethodGet, "/v1/tables/wide"+c.query, nil)
		if c.accept != "" {
			req.Header.Set("Accept", c.accept)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		got := rec.Header().Get("Content-Type")
		if rec.Code != 200 {
			got = strconv.Itoa(rec.Code)
		}
		if got != c.want {
			t.Errorf("%q %q: %s, want %s", c.accept, c.query, got, c.want)
		}
	}
}

func TestBadRequestsSayWhatIsMeant(t *testing.T) {
	mux := http.NewServeMux()
	w := sink(t, t.TempDir(), "averages", settings(byDevice, 0), readings, mux)
	defer finish(t, w)
	write(t, w, reading{"a", 0, 1, 1}, reading{"b", 0, 1, 1})
	_, cursor := rowsOf(t, mux, "/v1/tables/averages?limit=1")
	for _, c := range []struct {
		path   string
		status int
		words  string
	}{
		{"/v1/tables/averagse", 404, "did you mean averages?"},
		{"/v1/tables/averages?device=a", 400, "did you mean device_id?"},
		{"/v1/tables/averages?limmit=1", 400, "did you mean limit?"},
		{"/v1/tables/averages?xyzzyxyzzyxyzzy=1", 400, "there are device_id, window_start"},
		{"/v1/tables/averages?device_id.prefx=a", 400, "did you mean prefix?"},
		{"/v1/tables/averages?avg_temp=1", 400, "avg_temp is not in the key"},
		{"/v1/tables/averages?avg_temp.from=1", 400, "avg_temp is not in the key"},
		{"/v1/tables/averages?limit=0", 400, "limit is a whole number"},
		{"/v1/tables/averages?limit=100001", 400, "limit is a whole number"},
		{"/v1/tables/averages?limit=1&limit=2", 400, "given twice"},
		{"/v1/tables/averages?from=1&window_start.from=2", 400, "given twice"},
		{"/v1/tables/averages?from=yesterday", 400, "RFC 3339"},
		{"/v1/tables/averages?from=9223372036854775807", 400, "RFC 3339"},
		{"/v1/tables/averages?order=up", 400, "asc or desc"},
		{"/v1/tables/averages?columns=device_id,avgtemp", 400, "did you mean avg_temp?"},
		{"/v1/tables/averages?columns=n,n", 400, "twice"},
		{"/v1/tables/averages?columns=", 400, "has no column"},
		{"/v1/tables/averages?format=xml", 400, "json, csv or arrow"},
		{"/v1/tables/averages?device_id=a&device_id.prefix=b", 400, "do not go together"},
		{"/v1/tables/averages?device_id=a&device_id.eq=b", 400, "given twice"},
		{"/v1/tables/averages?window_start.prefix=1", 400, "needs text"},
		{"/v1/tables/averages?device_id.null=yes", 400, "takes true only"},
		{"/v1/tables/averages?cursor=AAAA", 400, "not one of this table"},
		{"/v1/tables/averages?cursor=" + cursor + "&order=desc", 400, "other conditions"},
		{"/v1/tables/averages?cursor=" + cursor + "&device_id=b", 400, "other conditions"},
		{"/v1/tables/averages?cursor=" + cursor[:len(cursor)-2] + "zz", 400, "not one of this table"},
		{"/v1/tables/averages?a=%zz", 400, "malformed"},
	} {
		req := httptest.NewRequest(http.MethodGet, "/v1/tables/averages", nil)
		path, query, _ := strings.Cut(c.path, "?")
		req.URL.Path, req.URL.RawQuery = path, query
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, req)
		var e struct{ Code, Message, Hint string }
		if err := json.Unmarshal(rec.Body.Bytes(), &e); err != nil {
			t.Errorf("%s: %q: %v", c.path, rec.Body, err)
			continue
		}
		if rec.Code != c.status || !strings.Contains(e.Message+" "+e.Hint, c.words) || !strings.HasPrefix(e.Code, "table/") {
			t.Errorf("%s: %d %+v, want %d with %q", c.path, rec.Code, e, c.status, c.words)
		}
	}
}

func TestTablesAreListed(t *testing.T) {
	dir, mux := t.TempDir(), http.NewServeMux()
	a := sink(t, dir, "b", settings(byDevice, time.Hour), readings, mux)
	b := sink(t, dir, "a", settings([]string{"n"}, 0), readings, mux)
	twin := sink(t, dir, "a", settings([]string{"n"}, 0), readings, mux) // a second task of the sink
	write(t, a, reading{"x", 1, 1, 1}, reading{"y", 1, 1, 1})
	_, body := ask(t, mux, "/v1/tables")
	const columns = `"columns":[{"name":"device_id","type":"string"},{"name":"window_start","type":"timestamp"},{"name":"avg_temp","type":"float64"},{"name":"n","type":"int64"}]`
	want := `{"tables":[{"name":"a","key":["n"],` + columns + `,"rows_estimate":0,"bytes_estimate":0,"rows_expired":0},` +
		`{"name":"b","key":["device_id","window_start"],"time":"window_start","retain":"1h0m0s",` + columns + `,"rows_estimate":2,"bytes_estimate":0,"rows_expired":0}]}` + "\n"
	if body != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
	finish(t, b)
	if code, _ := ask(t, mux, "/v1/tables/a"); code != 200 {
		t.Error("the table went away with the first of two tasks")
	}
	finish(t, twin)
	finish(t, a)
	if _, body := ask(t, mux, "/v1/tables"); body != `{"tables":[]}`+"\n" {
		t.Error(body)
	}
}

// FuzzRequest sends arbitrary parameters; whatever they are, the answer is a
// page or a refusal, and no row of another table is seen.
func FuzzRequest(f *testing.F) {
	dir, mux := f.TempDir(), http.NewServeMux()
	open := func(name string, n int64) *writer {
		w := sink(f, dir, name, settings(byDevice, time.Hour), readings, mux)
		w.table.store.now = func() time.Time { return time.Unix(1000, 0) }
		write(f, w, reading{"a", 0, 1, n}, reading{"b", 0, 1, n}, reading{"b", 100 * second, 1, n}, reading{"", 0, 1, n})
		return w
	}
	before, w, after := open("before", 1), open("t", 2), open("zz", 3)
	f.Cleanup(func() {
		for _, w := range []*writer{before, w, after} {
			finish(f, w)
		}
	})
	c, _ := w.table.bind(make([]limits, 2), false)
	key := appendKeyInt(append(appendPrefix(nil, w.table.def.ID, 0), tagNull), batch.Int64, 5)
	f.Add("cursor=" + w.table.cursorAt(c, key))
	f.Add("device_id.prefix=a&from=0&to=1970-01-01T00:00:01Z&order=desc&limit=1&columns=n,device_id&format=csv")
	f.Add("window_start.null=true")
	f.Add("device_id.from=%00%ff&device_id.to=%ff&format=json")
	f.Fuzz(func(t *testing.T, query string) {
		req := httptest.NewRequest(http.MethodGet, "/v1/tables/t", nil)
		req.URL.RawQuery = query
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, req)
		switch rec.Code {
		case 200:
			if body := rec.Body.String(); strings.Contains(body, `"n":1`) || strings.Contains(body, `"n":3`) {
				t.Fatalf("%q reads another table: %s", query, body)
			}
		case 400:
			if !json.Valid(rec.Body.Bytes()) {
				t.Fatalf("%q: %s", query, rec.Body)
			}
		default:
			t.Fatalf("%q: %d %s", query, rec.Code, rec.Body)
		}
	})
}

// FuzzCursor opens arbitrary cursors with a right checksum.
func FuzzCursor(f *testing.F) {
	t := newTable(&store{}, mustParse(f))
	c, _ := t.bind(make([]limits, 2), false)
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, tagNull, tagNull})
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, tagValue, 'a', 0, tagValue, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t2 *testing.T, tail []byte) {
		key, refusal := t.parseCursor(c, t.cursorAt(c, append([]byte{9, 9, 9, 9}, tail...)))
		if refusal == nil && !bytes.Equal(key, append([]byte{0, 0, 0, 5}, tail...)) {
			t2.Fatalf("%x became %x", tail, key)
		}
	})
}

func mustParse(f *testing.F) *definition {
	d := newDefinition("t", byDevice, readings, time.Hour)
	d.ID = 5
	p, err := d.marshal()
	if err != nil {
		f.Fatal(err)
	}
	if d, err = parseDefinition(p); err != nil {
		f.Fatal(err)
	}
	return d
}

// FuzzDefinition reads arbitrary definitions and works with those it accepts.
func FuzzDefinition(f *testing.F) {
	d := newDefinition("t", byDevice, readings, time.Hour)
	d.ID = 5
	p, _ := d.marshal()
	f.Add(p)
	f.Fuzz(func(t *testing.T, p []byte) {
		d, err := parseDefinition(p)
		if err != nil {
			return
		}
		x := newTable(&store{}, d)
		if _, refusal := x.bind(make([]limits, len(x.keys)), true); refusal != nil {
			t.Fatal(refusal)
		}
		if again, err := d.marshal(); err != nil {
			t.Fatal(err)
		} else if _, err := parseDefinition(again); err != nil {
			t.Fatal(err)
		}
	})
}
