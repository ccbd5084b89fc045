package connector

import (
	"encoding/json"
	"net/http"

	"github.com/gorge-stream/gorge/internal/diag"
)

// refusal is the body of every answer of the engine's HTTP address that is not a success.
type refusal struct {
	Code    diag.Code `json:"code"`
	Message string    `json:"message"`
	Hint    string    `json:"hint,omitempty"`
}

// Refuse answers a request with status and e as JSON: {"code", "message",
// "hint"}. The cause stays out of the answer: it may name files of the machine.
func Refuse(w http.ResponseWriter, status int, e *diag.Error) {
	body, err := json.Marshal(refusal{Code: e.Code, Message: e.Sentence, Hint: e.Hint})
	if err != nil { // three strings always marshal
		body = []byte(`{"code":"internal","message":"the error could not be written"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Del("Content-Length")
	w.WriteHeader(status)
	// A client that went away is no concern of the engine.
	_, _ = w.Write(append(body, '\n'))
}
