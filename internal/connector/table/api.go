package table

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
)

// api serves the tables of one HTTP address. Its routes are registered once and
// stay; tables come and go with their writers.
type api struct {
	mu     sync.RWMutex
	tables map[string][]*table // guarded by mu; one entry per open writer
}

// apis are the APIs by the mux that they are registered on: sinks are built one
// by one and know of each other only by sharing it.
var apis = struct {
	mu    sync.Mutex
	byMux map[connector.Mux]*api
}{byMux: map[connector.Mux]*api{}}

// apiOn returns the API on mux and registers it the first time; nil without a mux.
func apiOn(mux connector.Mux) *api {
	if mux == nil {
		return nil
	}
	apis.mu.Lock()
	defer apis.mu.Unlock()
	a := apis.byMux[mux]
	if a == nil {
		a = newAPI(mux)
		apis.byMux[mux] = a
	}
	return a
}

func newAPI(mux connector.Mux) *api {
	a := &api{tables: map[string][]*table{}}
	mux.Handle("GET /v1/tables", http.HandlerFunc(a.list))
	mux.Handle("GET /v1/tables/{name}", http.HandlerFunc(a.read))
	return a
}

// add makes a table readable until the returned function is called.
func (a *api) add(t *table) (remove func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name := t.def.Name
	a.tables[name] = append(a.tables[name], t)
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		list := a.tables[name]
		i := slices.Index(list, t)
		if list = slices.Delete(list, i, i+1); len(list) == 0 {
			delete(a.tables, name)
		} else {
			a.tables[name] = list
		}
	}
}

// hold returns the named table and keeps its store open until release is called.
func (a *api) hold(name string) (t *table, release func(), e *diag.Error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	list := a.tables[name]
	if len(list) == 0 {
		return nil, nil, diag.New("table/not-found", "there is no table %q", clip(name)).WithHint("%s", a.known(name))
	}
	t = list[0]
	// While the table is listed a writer holds its store, so it has a holder.
	t.store.retain()
	return t, func() { _ = t.store.release() }, nil
}

// known names the tables; called with mu held.
func (a *api) known(name string) string {
	if len(a.tables) == 0 {
		return "the pipeline has no sink of kind table, or has not started yet"
	}
	return nearest(name, a.names())
}

func (a *api) names() []string {
	out := make([]string, 0, len(a.tables))
	for n := range a.tables {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// read answers GET /v1/tables/{name}.
func (a *api) read(w http.ResponseWriter, r *http.Request) {
	t, release, e := a.hold(r.PathValue("name"))
	if e != nil {
		connector.Refuse(w, status(e), e)
		return
	}
	defer release()
	values, err := parseQuery(r)
	if err != nil {
		connector.Refuse(w, http.StatusBadRequest, err)
		return
	}
	req, e := t.parse(values, r.Header.Values("Accept"))
	if e != nil {
		connector.Refuse(w, status(e), e)
		return
	}
	if err := t.serve(w, req); err != nil {
		t.store.log.Debug("a read of a table was broken off", "table", t.def.Name, "error", err)
		panic(http.ErrAbortHandler) // the client must not take what it has for a whole answer
	}
}

func parseQuery(r *http.Request) (url.Values, *diag.Error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, diag.New("table/bad-value", "the parameters of the URL are malformed").WithCause(err).
			WithHint("write special characters as %%XX")
	}
	return values, nil
}

// info is what GET /v1/tables says of one table.
type info struct {
	Name    string   `json:"name"`
	Key     []string `json:"key"`
	Time    string   `json:"time,omitempty"`
	Retain  string   `json:"retain,omitempty"`
	Columns []column `json:"columns"`
	Rows    int64    `json:"rows_estimate"`
	Bytes   uint64   `json:"bytes_estimate"`
	Expired int64    `json:"rows_expired"`
}

// list answers GET /v1/tables.
func (a *api) list(w http.ResponseWriter, _ *http.Request) {
	out := struct {
		Tables []info `json:"tables"`
	}{Tables: []info{}}
	a.mu.RLock()
	names := a.names()
	a.mu.RUnlock()
	for _, n := range names {
		t, release, e := a.hold(n)
		if e != nil {
			continue // its writer closed since
		}
		i, err := t.info()
		release()
		if err != nil {
			(&answer{w: w}).refuseOrAbort(err)
			return
		}
		out.Tables = append(out.Tables, *i)
	}
	body, err := json.Marshal(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(body, '\n')) // a client that went away is no concern
}

func (a *answer) refuseOrAbort(err error) {
	if a.refuse(err) != nil {
		panic(http.ErrAbortHandler)
	}
}

// exactRows is how many rows are counted one by one for an estimate.
const exactRows = 100_000

func (t *table) info() (*info, error) {
	d := t.def
	i := &info{Name: d.Name, Key: d.Key, Columns: d.Columns, Expired: t.expired.Load()}
	if k := d.timeKey(); k >= 0 {
		i.Time = d.Key[k]
	}
	if d.Retain > 0 {
		i.Retain = (time.Duration(d.Retain) * time.Microsecond).String()
	}
	n, all, err := t.count(exactRows)
	if err != nil {
		return nil, err
	}
	i.Rows = int64(n)
	lower, upper := appendPrefix(nil, d.ID, 0), append(appendPrefix(nil, d.ID, noTime), keyAfter)
	if i.Bytes, err = t.store.db.EstimateDiskUsage(lower, upper); err != nil {
		return nil, t.store.readError(err)
	}
	if !all {
		stored, err := t.storedRows(lower, upper, i.Bytes)
		if err != nil {
			return nil, err
		}
		i.Rows = max(i.Rows, stored+t.fresh.Load())
	}
	return i, nil
}

// storedRows estimates the rows in files: those of every file that holds some of
// the table, by the share of their bytes that are the table's.
func (t *table) storedRows(lower, upper []byte, bytes uint64) (int64, error) {
	levels, err := t.store.db.SSTables(pebble.WithProperties(), pebble.WithKeyRangeFilter(lower, upper))
	if err != nil {
		return 0, t.store.readError(err)
	}
	rows, size := uint64(0), uint64(0)
	for _, files := range levels {
		for _, f := range files {
			if f.Properties != nil {
				rows += f.Properties.NumEntries
				size += f.Size
			}
		}
	}
	if size == 0 {
		return 0, nil
	}
	return int64(float64(rows) * min(1, float64(bytes)/float64(size))), nil
}
