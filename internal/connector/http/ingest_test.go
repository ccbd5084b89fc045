package httpio

import (
	"bytes"
	"context"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/compress"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/connectortest"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

// ingest is a source on a mux of its own.
type ingest struct {
	t   testing.TB
	mux *http.ServeMux
	src connector.Source
	r   connector.SplitReader
}

func sourceEnv(mux connector.Mux, name string) connector.SourceEnv {
	return connector.SourceEnv{
		Name: name, Format: jsonFormat, FormatValues: values(jsonFormat.Decl, nil), Schema: readings, Columns: readings,
		Batch: schemaOf(readings), BatchRows: 64, HTTP: mux,
	}
}

func newIngest(t testing.TB, set map[string]any) *ingest {
	t.Helper()
	in := &ingest{t: t, mux: http.NewServeMux()}
	in.src, in.r = in.open("readings", set)
	return in
}

func (in *ingest) open(name string, set map[string]any) (connector.Source, connector.SplitReader) {
	in.t.Helper()
	s, err := Registration.NewSource(values(Registration.Source, set), sourceEnv(in.mux, name))
	if err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			in.t.Error(err)
		}
	})
	r, err := s.Open(in.t.Context(), connector.Split{ID: name}, nil)
	if err != nil {
		in.t.Fatal(err)
	}
	return s, r
}

// post sends a body; headers come in pairs.
func (in *ingest) post(path string, body io.Reader, headers ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequestWithContext(in.t.Context(), http.MethodPost, path, body)
	if headers == nil {
		headers = []string{"Content-Type", "application/json"}
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	in.mux.ServeHTTP(w, req)
	return w
}

// drain stops the source and returns the devices of all rows.
func (in *ingest) drain() (devices []string, blocks int) {
	in.t.Helper()
	in.src.(connector.Drainer).Drain()
	var b connector.Block
	for {
		err := in.r.Poll(in.t.Context(), &b)
		if errors.Is(err, io.EOF) {
			return devices, blocks
		}
		if err != nil {
			in.t.Fatal(err)
		}
		blocks++
		for i := range b.Rows.Len() {
			devices = append(devices, string(b.Rows.Col(0).Bytes(i)))
		}
		b.Rows.Release()
	}
}

func packed(t testing.TB, k compress.Kind, s string) *bytes.Buffer {
	t.Helper()
	var buf bytes.Buffer
	w, err := compress.NewWriter(&buf, k)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &buf
}

func lines(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		b.WriteString(reading(i) + "\n")
	}
	return b.String()
}

func TestEveryAnswer(t *testing.T) {
	const ct = "Content-Type"
	for _, tc := range []struct {
		name    string
		body    io.Reader
		headers []string
		status  int
		want    string // part of the answer
		rows    int
	}{
		{"one object", strings.NewReader(reading(1)), nil, 202, `{"accepted":1}`, 1},
		{"an object over several lines", strings.NewReader(strings.ReplaceAll(reading(1), ",", ",\n")), nil, 202, `{"accepted":1}`, 1},
		{"an array", strings.NewReader("[" + reading(1) + ",\n" + reading(2) + "]"), nil, 202, `{"accepted":2}`, 2},
		{"lines", strings.NewReader(lines(0, 200)), []string{ct, "application/x-ndjson"}, 202, `{"accepted":200}`, 200},
		{"lines without the last end", strings.NewReader(reading(1) + "\n" + reading(2)), nil, 202, `{"accepted":2}`, 2},
		{"nothing", http.NoBody, nil, 202, `{"accepted":0}`, 0},
		{"no type", strings.NewReader(reading(1)), []string{ct, ""}, 202, `{"accepted":1}`, 1},
		{"charset", strings.NewReader(reading(1)), []string{ct, "Application/JSON; charset=UTF-8"}, 202, `{"accepted":1}`, 1},
		{"gzip", packed(t, compress.Gzip, lines(0, 5)), []string{ct, "application/json", "Content-Encoding", "gzip"}, 202, `{"accepted":5}`, 5},
		{"zstd", packed(t, compress.Zstd, lines(0, 5)), []string{ct, "application/json", "Content-Encoding", "zstd"}, 202, `{"accepted":5}`, 5},
		{"a bad line", strings.NewReader(lines(0, 100) + `{"device_id":7}` + "\n" + lines(0, 9)), nil, 400, `"line":101`, 0},
		{"a bad element", strings.NewReader("[" + reading(1) + ",7]"), nil, 400, `"code":"ingest/`, 0},
		{"damaged gzip", strings.NewReader("no gzip at all"), []string{ct, "application/json", "Content-Encoding", "gzip"}, 400, "damaged", 0},
		{"truncated gzip", bytes.NewReader(packed(t, compress.Gzip, lines(0, 99)).Bytes()[:90]), []string{ct, "application/json", "Content-Encoding", "gzip"}, 400, "truncated", 0},
		{"a large body", strings.NewReader(lines(0, 2000)), nil, 413, "too large", 0},
		{"a large body of unknown length", io.MultiReader(strings.NewReader(lines(0, 2000))), nil, 413, "too large", 0},
		{"a bomb", packed(t, compress.Gzip, strings.Repeat(" ", 1<<22)), []string{ct, "application/json", "Content-Encoding", "gzip"}, 413, "too large", 0},
		{"a zstd bomb", packed(t, compress.Zstd, strings.Repeat(" ", 1<<22)), []string{ct, "application/json", "Content-Encoding", "zstd"}, 413, "too large", 0},
		{"another type", strings.NewReader("a=b"), []string{ct, "application/x-www-form-urlencoded"}, 415, "application/json", 0},
		{"no type at all", strings.NewReader("a=b"), []string{ct, ";"}, 415, "application/json", 0},
		{"another charset", strings.NewReader(reading(1)), []string{ct, "application/json; charset=latin1"}, 415, "latin1", 0},
		{"another encoding", strings.NewReader(reading(1)), []string{ct, "application/json", "Content-Encoding", "br"}, 415, "gzip", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := newIngest(t, map[string]any{"max_body": int64(64 << 10)})
			w := in.post("/ingest/readings", tc.body, tc.headers...)
			if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.want) || w.Header().Get(ct) != "application/json" || !stdjson.Valid(w.Body.Bytes()) {
				t.Errorf("%d %s, want %d with %s", w.Code, w.Body, tc.status, tc.want)
			}
			if rows, _ := in.drain(); len(rows) != tc.rows {
				t.Errorf("%d rows, want %d", len(rows), tc.rows)
			}
			if q := in.src.(*source).queue; q.bytes != 0 || q.active != 0 {
				t.Errorf("%d bytes and %d requests are still counted", q.bytes, q.active)
			}
		})
	}
}

func TestTheAnswerToABadRecordSaysWhatAndWhere(t *testing.T) {
	in := newIngest(t, nil)
	w := in.post("/ingest/readings", strings.NewReader(reading(1)+"\n\n"+`{"device_id":"x","ts":12,"temperature":"warm"}`+"\n"))
	var got badRecord
	if err := stdjson.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if w.Code != 400 || got.Line != 3 || got.Byte != int64(len(reading(1))+2) || got.Column != "temperature" || got.Code != "ingest/type" ||
		!strings.HasPrefix(got.Message, "line 3") || !strings.Contains(got.Record, "warm") || got.Hint == "" {
		t.Errorf("%d %+v", w.Code, got)
	}
}

func TestMethodsAndPaths(t *testing.T) {
	in := newIngest(t, nil)
	get := httptest.NewRecorder()
	in.mux.ServeHTTP(get, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/ingest/readings", nil))
	if get.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", get.Code)
	}
	if w := in.post("/ingest", strings.NewReader(reading(1))); w.Code != 202 {
		t.Errorf("the short path with one source: %d %s", w.Code, w.Body)
	}
	if w := in.post("/ingest/other", strings.NewReader(reading(1))); w.Code != 404 || !strings.Contains(w.Body.String(), "/ingest/readings") {
		t.Errorf("an unknown name: %d %s", w.Code, w.Body)
	}
	if _, err := Registration.NewSource(values(Registration.Source, nil), sourceEnv(in.mux, "readings")); err == nil {
		t.Error("a second source of the same name was accepted")
	}
	second, _ := in.open("alarms", nil)
	if w := in.post("/ingest", strings.NewReader(reading(1))); w.Code != 404 || !strings.Contains(w.Body.String(), "post to /ingest/alarms or /ingest/readings") {
		t.Errorf("the short path with two sources: %d %s", w.Code, w.Body)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if w := in.post("/ingest", strings.NewReader(reading(1))); w.Code != 202 {
		t.Errorf("the short path when the second source is gone: %d %s", w.Code, w.Body)
	}
	in.drain()
	_ = in.src.Close()
	if w := in.post("/ingest/readings", strings.NewReader(reading(1))); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("between two runs: %d %s", w.Code, w.Body)
	}
	in.src, in.r = in.open("readings", nil) // the job was restarted
	if w := in.post("/ingest/readings", strings.NewReader(reading(1))); w.Code != 202 {
		t.Errorf("after a restart: %d %s", w.Code, w.Body)
	}
}

func TestAFullQueueAnswers429AndRecovers(t *testing.T) {
	in := newIngest(t, map[string]any{"queue": int64(64 << 10)})
	accepted, code := 0, 0
	var last *httptest.ResponseRecorder
	for code != 429 && accepted < 10_000 {
		last = in.post("/ingest/readings", strings.NewReader(lines(accepted, accepted+20)))
		if code = last.Code; code == 202 {
			accepted += 20
		}
	}
	if code != 429 || last.Header().Get("Retry-After") != "1" || accepted == 0 {
		t.Fatalf("%d after %d rows: %s", code, accepted, last.Body)
	}
	var b connector.Block
	for {
		err := in.r.Poll(t.Context(), &b)
		if errors.Is(err, connector.ErrNoData) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		accepted -= b.Rows.Len()
		b.Rows.Release()
	}
	if w := in.post("/ingest/readings", strings.NewReader(lines(0, 20))); w.Code != 202 {
		t.Errorf("after the pipeline took rows: %d %s", w.Code, w.Body)
	}
	if rows, _ := in.drain(); len(rows)-20 != accepted {
		t.Errorf("%d rows are left, want %d", len(rows)-20, accepted)
	}
	// What cannot fit into an empty queue is too large, not a matter of waiting.
	in = newIngest(t, map[string]any{"queue": int64(64 << 10)})
	if w := in.post("/ingest/readings", strings.NewReader(lines(0, 2000))); w.Code != 413 {
		t.Errorf("a request larger than the queue: %d %s", w.Code, w.Body)
	}
}

func TestTooManyRequestsAtOnceAnswer429(t *testing.T) {
	in := newIngest(t, map[string]any{"max_requests": int64(1)})
	body, feed := io.Pipe()
	done := make(chan *httptest.ResponseRecorder)
	go func() { done <- in.post("/ingest/readings", body) }()
	_, _ = feed.Write([]byte(reading(1))) // returns when the handler reads
	if w := in.post("/ingest/readings", strings.NewReader(reading(2))); w.Code != 429 {
		t.Errorf("the second request: %d", w.Code)
	}
	_ = feed.Close()
	if w := <-done; w.Code != 202 {
		t.Errorf("the first request: %d %s", w.Code, w.Body)
	}
	if w := in.post("/ingest/readings", strings.NewReader(reading(2))); w.Code != 202 {
		t.Errorf("afterwards: %d", w.Code)
	}
}

func TestDrainHandsOutWhatWasAcceptedAndRefusesTheRest(t *testing.T) {
	in := newIngest(t, nil)
	if w := in.post("/ingest/readings", strings.NewReader(lines(0, 130))); w.Code != 202 {
		t.Fatal(w.Code)
	}
	body, feed := io.Pipe()
	done := make(chan *httptest.ResponseRecorder)
	go func() { done <- in.post("/ingest/readings", body) }()
	_, _ = feed.Write([]byte(reading(1)))
	rows, _ := in.drain()
	if len(rows) != 130 || rows[0] != "dev-0000000" || rows[129] != "dev-0000129" {
		t.Errorf("%d rows", len(rows))
	}
	_ = feed.Close()
	if w := <-done; w.Code != 503 {
		t.Errorf("the request under way: %d %s", w.Code, w.Body)
	}
	if w := in.post("/ingest/readings", strings.NewReader(reading(1))); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("afterwards: %d %s", w.Code, w.Body)
	}
	var b connector.Block
	if err := in.r.Poll(t.Context(), &b); !errors.Is(err, io.EOF) {
		t.Errorf("behind the end: %v", err)
	}
	if err := in.src.Wait(t.Context()); err != nil {
		t.Errorf("Wait behind the end: %v", err)
	}
}

func TestRowsThatNobodyReadAreReleasedOnClose(t *testing.T) {
	before := batch.Live()
	in := newIngest(t, nil)
	if w := in.post("/ingest/readings", strings.NewReader(lines(0, 200))); w.Code != 202 {
		t.Fatal(w.Code)
	}
	if err := in.src.Close(); err != nil {
		t.Fatal(err)
	}
	if n := batch.Live(); n != before {
		t.Errorf("%d batches leaked", n-before)
	}
}

func TestManySmallPostsArePutTogetherAndLeakNothing(t *testing.T) {
	before, routines := batch.Live(), runtime.NumGoroutine()
	in := newIngest(t, nil)
	const posts = 10_000
	var heap [2]runtime.MemStats
	runtime.ReadMemStats(&heap[0])
	taken := 0
	var b connector.Block
	for i := range posts {
		if w := in.post("/ingest/readings", strings.NewReader(reading(i))); w.Code != 202 {
			t.Fatalf("post %d: %d %s", i, w.Code, w.Body)
		}
		if i%1000 != 999 {
			continue
		}
		for {
			err := in.r.Poll(t.Context(), &b)
			if errors.Is(err, connector.ErrNoData) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			taken += b.Rows.Len()
			b.Rows.Release()
		}
	}
	rows, _ := in.drain()
	if taken+len(rows) != posts {
		t.Errorf("%d rows, want %d", taken+len(rows), posts)
	}
	if n := batch.Live(); n != before {
		t.Errorf("%d batches leaked", n-before)
	}
	if q := in.src.(*source).queue; q.bytes != 0 || q.active != 0 {
		t.Errorf("%d bytes and %d requests are still counted", q.bytes, q.active)
	}
	if n := runtime.NumGoroutine(); n > routines {
		t.Errorf("%d goroutines more", n-routines)
	}
	runtime.GC()
	runtime.ReadMemStats(&heap[1])
	if grown := int64(heap[1].HeapAlloc) - int64(heap[0].HeapAlloc); grown > 4<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

func TestRowsWaitForCompanyUntilTheDelayIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newIngest(t, map[string]any{"max_delay": 5 * time.Millisecond})
		var b connector.Block
		begin := time.Now()
		in.post("/ingest/readings", strings.NewReader(reading(0)))
		if err := in.r.Poll(t.Context(), &b); !errors.Is(err, connector.ErrNoData) {
			t.Errorf("at once: %v", err)
		}
		woken := make(chan error)
		go func() { woken <- in.src.Wait(t.Context()) }()
		<-time.After(2 * time.Millisecond)
		in.post("/ingest/readings", strings.NewReader(reading(1)))
		if err := <-woken; err != nil || time.Since(begin) != 5*time.Millisecond {
			t.Errorf("woken after %v: %v", time.Since(begin), err)
		}
		if err := in.r.Poll(t.Context(), &b); err != nil || b.Rows.Len() != 2 {
			t.Fatalf("after the delay: %v", err)
		}
		b.Rows.Release()
		// A full batch does not wait.
		begin = time.Now()
		go func() { woken <- in.src.Wait(t.Context()) }()
		synctest.Wait()
		for i := range 4 {
			in.post("/ingest/readings", strings.NewReader(lines(i*16, i*16+16)))
		}
		if err := <-woken; err != nil || time.Since(begin) != 0 {
			t.Errorf("woken after %v: %v", time.Since(begin), err)
		}
		if err := in.r.Poll(t.Context(), &b); err != nil || b.Rows.Len() != 64 {
			t.Fatalf("a full batch: %v", err)
		}
		b.Rows.Release()
		// A cancelled context and a drain end the wait.
		ctx, cancel := context.WithCancel(t.Context())
		go func() { woken <- in.src.Wait(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-woken; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		go func() { woken <- in.src.Wait(t.Context()) }()
		synctest.Wait()
		in.src.(connector.Drainer).Drain()
		if err := <-woken; err != nil {
			t.Errorf("drained: %v", err)
		}
	})
}

func TestConcurrentPostsOverRealConnections(t *testing.T) {
	in := newIngest(t, nil)
	server := httptest.NewServer(in.mux)
	defer server.Close()
	const senders, posts, each = 8, 50, 7
	seen := map[string]int{}
	var readers, group sync.WaitGroup
	readers.Go(func() {
		var b connector.Block
		for {
			err := in.r.Poll(t.Context(), &b)
			switch {
			case errors.Is(err, io.EOF):
				return
			case errors.Is(err, connector.ErrNoData):
				_ = in.src.Wait(t.Context())
				continue
			case err != nil:
				t.Error(err)
				return
			}
			for i := range b.Rows.Len() {
				seen[string(b.Rows.Col(0).Bytes(i))]++
			}
			b.Rows.Release()
		}
	})
	for s := range senders {
		group.Go(func() {
			for p := range posts {
				from := (s*posts + p) * each
				res, err := server.Client().Post(server.URL+"/ingest", "application/json", strings.NewReader(lines(from, from+each)))
				if err != nil {
					t.Error(err)
					return
				}
				body, _ := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if res.StatusCode != http.StatusAccepted || string(body) != fmt.Sprintf("{\"accepted\":%d}\n", each) {
					t.Errorf("%d %s", res.StatusCode, body)
				}
			}
		})
	}
	group.Wait()
	in.src.(connector.Drainer).Drain()
	readers.Wait()
	if len(seen) != senders*posts*each {
		t.Errorf("%d devices, want %d", len(seen), senders*posts*each)
	}
	for d, n := range seen {
		if n != 1 {
			t.Errorf("%s came %d times", d, n)
		}
	}
}

func TestASlowBodyIsGivenUp(t *testing.T) {
	in := newIngest(t, map[string]any{"body_timeout": 20 * time.Millisecond})
	server := httptest.NewServer(in.mux)
	defer server.Close()
	body, feed := io.Pipe()
	defer func() { _ = feed.Close() }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/ingest", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	go func() { _, _ = feed.Write([]byte(`{"device_id":`)) }()
	res, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusRequestTimeout {
		t.Errorf("status %d", res.StatusCode)
	}
	if rows, _ := in.drain(); len(rows) != 0 {
		t.Errorf("%d rows of an unfinished request", len(rows))
	}
}

// preambled is a format with a header line, which every record must repeat in
// front of its device: "x" begins "x1".
func preambled() *codec.Format {
	return &codec.Format{
		Decl: &spec.Decl{Name: "preambled"}, ContentTypes: []string{"text/csv"},
		Frame: func(*spec.Values, codec.Limits) codec.Frame {
			return codec.Frame{Preamble: func(b []byte) int {
				if i := bytes.IndexByte(b, '\n'); i >= 0 {
					return i + 1
				}
				return -1
			}}
		},
		NewDecoder: func(*spec.Values, []codec.Column, []codec.Column, codec.Limits) (codec.Decoder, error) {
			return &prefixDecoder{}, nil
		},
	}
}

type prefixDecoder struct{ prefix []byte }

func (d *prefixDecoder) Begin(p []byte) error {
	if d.prefix = bytes.Clone(bytes.TrimSpace(p)); len(d.prefix) == 0 {
		return diag.New("preambled/empty", "the header is empty")
	}
	return nil
}

func (d *prefixDecoder) Decode(block []byte, sink codec.Sink) error {
	b := sink.Next()
	for i, line := range bytes.Split(bytes.TrimSpace(block), []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		if !bytes.HasPrefix(line, d.prefix) {
			b.Release()
			return sink.Bad(&codec.BadRecord{Line: int64(i) + 1, Offset: int64(bytes.Index(block, line)), Bytes: line, Code: "syntax", Reason: "another prefix"})
		}
		b.Col(0).SetBytes(b.Len(), line)
		b.SetLen(b.Len() + 1)
	}
	return sink.Done(b)
}

func TestEveryRequestHasItsOwnPreamble(t *testing.T) {
	in := &ingest{t: t, mux: http.NewServeMux()}
	env := sourceEnv(in.mux, "table")
	env.Format = preambled()
	var err error
	if in.src, err = Registration.NewSource(values(Registration.Source, nil), env); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.src.Close() }()
	if in.r, err = in.src.Open(t.Context(), connector.Split{ID: "table"}, nil); err != nil {
		t.Fatal(err)
	}
	post := func(body string, status int, want string) {
		t.Helper()
		if w := in.post("/ingest/table", strings.NewReader(body), "Content-Type", "text/csv"); w.Code != status || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%q: %d %s", body, w.Code, w.Body)
		}
	}
	for range 5 { // more requests than decoders
		post("a\na1\na2\n", 202, `{"accepted":2}`)
		post("b\nb1\n", 202, `{"accepted":1}`)
	}
	post("a\na1\nb1\n", 400, `"line":3,"byte":5`)
	post("only a header", 202, `{"accepted":0}`)
	post("\na\n", 400, "the header is empty")
	post("a\na3\n", 202, `{"accepted":1}`)
	rows, _ := in.drain()
	if got := strings.Join(rows, " "); got != strings.Repeat("a1 a2 b1 ", 5)+"a3" {
		t.Errorf("rows %s", got)
	}
}

func TestTheSourceFollowsTheContract(t *testing.T) {
	muxes := map[connector.Source]*http.ServeMux{}
	connectortest.Source(t, connectortest.SourceCase{
		Once: true, Blocks: 1,
		New: func(t testing.TB) connector.Source {
			mux := http.NewServeMux()
			s, err := Registration.NewSource(values(Registration.Source, nil), sourceEnv(mux, "readings"))
			if err != nil {
				t.Fatal(err)
			}
			muxes[s] = mux
			return s
		},
		Feed: func(t testing.TB, s connector.Source) {
			in := &ingest{t: t, mux: muxes[s]}
			if w := in.post("/ingest", strings.NewReader(lines(0, 20))); w.Code != 202 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
		},
	})
}

func TestSourcesThatCannotWorkAreRefused(t *testing.T) {
	for name, change := range map[string]func(*connector.SourceEnv){
		"no server": func(e *connector.SourceEnv) { e.HTTP = nil },
		"no format": func(e *connector.SourceEnv) { e.Format = nil },
		"no reader": func(e *connector.SourceEnv) { e.Format = &codec.Format{Decl: &spec.Decl{Name: "x"}} },
	} {
		env := sourceEnv(http.NewServeMux(), "readings")
		change(&env)
		if _, err := Registration.NewSource(values(Registration.Source, nil), env); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	in := newIngest(t, nil)
	if _, err := in.src.Open(t.Context(), connector.Split{ID: "other"}, nil); err == nil {
		t.Error("a foreign split was accepted")
	}
}

// FuzzIngest posts any bytes under any encoding: the handler answers one of its
// statuses with JSON, what it says it accepted is what comes out, and nothing leaks.
func FuzzIngest(f *testing.F) {
	f.Add([]byte(lines(0, 3)), "")
	f.Add([]byte("["+reading(1)+"]"), "identity")
	f.Add(packed(f, compress.Gzip, lines(0, 3)).Bytes(), "gzip")
	f.Add(packed(f, compress.Zstd, lines(0, 3)).Bytes(), "zstd")
	f.Add([]byte(`{"device_id":"\ud800","ts":1e400}`), "br")
	f.Fuzz(func(t *testing.T, body []byte, encoding string) {
		before := batch.Live()
		in := newIngest(t, map[string]any{"max_body": int64(32 << 10), "queue": int64(256 << 10)})
		w := in.post("/ingest/readings", bytes.NewReader(body), "Content-Type", "application/json", "Content-Encoding", encoding)
		accepted := 0
		switch w.Code {
		case 202:
			if _, err := fmt.Sscanf(w.Body.String(), "{\"accepted\":%d}\n", &accepted); err != nil {
				t.Errorf("answer %s", w.Body)
			}
		case 400, 413, 415:
			if !stdjson.Valid(w.Body.Bytes()) {
				t.Errorf("answer %s", w.Body)
			}
		default:
			t.Errorf("status %d", w.Code)
		}
		if rows, _ := in.drain(); len(rows) != accepted {
			t.Errorf("%d rows, accepted were %d", len(rows), accepted)
		}
		if n := batch.Live(); n != before {
			t.Errorf("%d batches leaked", n-before)
		}
	})
}

func BenchmarkSmallPosts(b *testing.B) {
	in := newIngest(b, nil)
	var blk connector.Block
	body := reading(1)
	for b.Loop() {
		in.post("/ingest/readings", strings.NewReader(body))
		if in.r.Poll(b.Context(), &blk) == nil {
			blk.Rows.Release()
		}
	}
}
