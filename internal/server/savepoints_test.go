package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/diag"
)

func TestSavepointsAreMadeOrRefused(t *testing.T) {
	var asked SavepointRequest
	var fails error
	s, err := New(Options{Savepoint: func(_ context.Context, r SavepointRequest) (Savepoint, error) {
		asked = r
		return Savepoint{Epoch: 7, Bytes: 12, To: r.To}, fails
	}})
	if err != nil {
		t.Fatal(err)
	}
	const json = "application/json"
	for _, c := range []struct {
		name, kind, body string
		fails            error
		status           int
		says             string
	}{
		{"made", json, `{"to": "/x", "pipeline": "p"}`, nil, http.StatusCreated, `{"epoch":7,"bytes":12,"to":"/x"}`},
		{"a form of a web page", "text/plain", `{"to": "/x"}`, nil, http.StatusBadRequest, "server/savepoint"},
		{"no place", json, `{}`, nil, http.StatusBadRequest, "server/savepoint"},
		{"another field", json, `{"to": "/x", "from": "/y"}`, nil, http.StatusBadRequest, "server/savepoint"},
		{"more behind it", json, `{"to": "/x"} {}`, nil, http.StatusBadRequest, "server/savepoint"},
		{"too long", json, `{"to": "` + strings.Repeat("x", maxRequest) + `"}`, nil, http.StatusBadRequest, "server/savepoint"},
		{"refused", json, `{"to": "/x"}`, diag.New("checkpoint/occupied", "it is full"), http.StatusConflict, "checkpoint/occupied"},
		{"failed", json, `{"to": "/x"}`, errors.New("secret"), http.StatusConflict, "run/savepoint"},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked, fails = SavepointRequest{}, c.fails
			r := httptest.NewRequest(http.MethodPost, "http://localhost/v1/savepoints", strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.kind)
			w := httptest.NewRecorder()
			s.http.Handler.ServeHTTP(w, r)
			body, _ := io.ReadAll(w.Body)
			if w.Code != c.status || !strings.Contains(string(body), c.says) || strings.Contains(string(body), "secret") {
				t.Errorf("%d %s", w.Code, body)
			}
			if c.status == http.StatusCreated && asked != (SavepointRequest{To: "/x", Pipeline: "p"}) {
				t.Errorf("asked %+v", asked)
			}
			if c.status == http.StatusBadRequest && asked.To != "" {
				t.Error("it was made nevertheless")
			}
		})
	}
}
