package httpio

import (
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
)

// routers has the one router of each Mux. A pattern of a Mux cannot be taken
// back, so that a router stays for the life of the process and sources come and
// go in it: a job that is restarted finds its address free.
var routers = struct {
	sync.Mutex
	of map[connector.Mux]*router
}{of: map[connector.Mux]*router{}}

// router finds the source of a request by its path.
type router struct {
	mu      sync.RWMutex
	sources map[string]http.Handler // guarded by mu
}

// routerOf returns the router of a Mux; the first call registers its patterns.
func routerOf(mux connector.Mux) *router {
	routers.Lock()
	defer routers.Unlock()
	r := routers.of[mux]
	if r == nil {
		r = &router{sources: map[string]http.Handler{}}
		mux.Handle("POST /ingest", http.HandlerFunc(r.short))
		mux.Handle("POST /ingest/{name}", http.HandlerFunc(r.named))
		routers.of[mux] = r
	}
	return r
}

// add registers a source; it reports whether the name was free.
func (r *router) add(name string, h http.Handler) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.sources[name]; taken {
		return false
	}
	r.sources[name] = h
	return true
}

func (r *router) remove(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sources, name)
}

// named serves POST /ingest/NAME.
func (r *router) named(w http.ResponseWriter, req *http.Request) {
	name := req.PathValue("name")
	r.mu.RLock()
	h := r.sources[name]
	r.mu.RUnlock()
	if h == nil {
		r.refuse(w, diag.New("ingest/unknown-source", "there is no http source named %q", clip(name)))
		return
	}
	h.ServeHTTP(w, req)
}

// short serves POST /ingest, which is clear only with one source.
func (r *router) short(w http.ResponseWriter, req *http.Request) {
	r.mu.RLock()
	var h http.Handler
	for _, only := range r.sources {
		h = only
	}
	n := len(r.sources)
	r.mu.RUnlock()
	if n != 1 {
		r.refuse(w, diag.New("ingest/which-source", "/ingest takes rows only while there is one http source; there are %d", n))
		return
	}
	h.ServeHTTP(w, req)
}

// refuse answers a request that found no source.
func (r *router) refuse(w http.ResponseWriter, e *diag.Error) {
	r.mu.RLock()
	paths := make([]string, 0, len(r.sources))
	for name := range r.sources {
		paths = append(paths, "/ingest/"+name)
	}
	r.mu.RUnlock()
	if len(paths) == 0 { // between two runs of a job
		unavailable(w)
		return
	}
	slices.Sort(paths)
	connector.Refuse(w, http.StatusNotFound, e.WithHint("post to %s", strings.Join(paths, " or ")))
}

// unavailable answers while the pipeline does not run or stops.
func unavailable(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	connector.Refuse(w, http.StatusServiceUnavailable, diag.New("ingest/stopping", "the pipeline is not taking rows: it is stopping or not running yet").
		WithHint("send the request again later; nothing of it was accepted"))
}

// clip bounds what of a request is repeated in an answer.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
