package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
)

// SavepointRequest asks for a savepoint: POST /v1/savepoints.
type SavepointRequest struct {
	// To is an empty folder, as the engine sees it, or a bucket written as s3://BUCKET/FOLDER.
	To string `json:"to"`
	// Pipeline is the name of the pipeline that is meant, "" for whichever runs.
	Pipeline string `json:"pipeline,omitempty"`
}

// Savepoint is one that was made.
type Savepoint struct {
	Epoch uint64 `json:"epoch"`
	Bytes int64  `json:"bytes"`
	To    string `json:"to"`
}

// maxRequest bounds the body of a request for a savepoint.
const maxRequest = 64 << 10

// savepoints makes the handler of POST /v1/savepoints. It answers when the
// savepoint is complete, however long that takes.
func (s *Server) savepoints(take func(context.Context, SavepointRequest) (Savepoint, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, err := savepointRequest(w, r)
		if err != nil {
			connector.Refuse(w, http.StatusBadRequest, err)
			return
		}
		deadlines := http.NewResponseController(w)
		// An error says that there is no deadline to move.
		_, _ = deadlines.SetReadDeadline(time.Time{}), deadlines.SetWriteDeadline(time.Time{})
		made, failure := take(r.Context(), req)
		if failure != nil {
			s.log.Warn("no savepoint was made", "to", req.To, "error", failure)
			var d *diag.Error
			if !errors.As(failure, &d) {
				d = diag.New("run/savepoint", "the savepoint could not be made").WithHint("the log of the engine tells why")
			}
			connector.Refuse(w, http.StatusConflict, d)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(made) // a client that went away is no concern of the engine
	})
}

// savepointRequest reads the body.
func savepointRequest(w http.ResponseWriter, r *http.Request) (SavepointRequest, *diag.Error) {
	var req SavepointRequest
	bad := diag.New("server/savepoint", "the body is no request for a savepoint").
		WithHint(`send Content-Type: application/json and {"to": "/an/empty/folder"}`)
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return req, bad
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	d.DisallowUnknownFields()
	if err := d.Decode(&req); err != nil || req.To == "" {
		return req, bad.WithCause(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return req, bad
	}
	return req, nil
}
