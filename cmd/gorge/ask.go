package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/gorge-stream/gorge/internal/diag"
)

// unreachable is the code of the error when nothing listens at an address.
const unreachable = diag.Code("cli/unreachable")

func isUnreachable(err error) bool {
	var d *diag.Error
	return errors.As(err, &d) && d.Code == unreachable
}

// baseOf returns the URL of an engine's address.
func baseOf(addr string) string {
	addr = strings.TrimSuffix(addr, "/")
	if !strings.Contains(addr, "://") {
		addr = "http://" + addr
	}
	return addr
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

// ask posts a question to a running engine and decodes the answer.
func ask(ctx context.Context, addr, path string, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, baseOf(addr)+path, bytes.NewReader(body))
	if err != nil {
		return usage(badAddress(addr, err))
	}
	req.Header.Set("Content-Type", "application/json")
	status, got, err := send(req, addr)
	if err != nil {
		return err
	}
	if status/100 != 2 {
		return refusalIn(status, got, addr)
	}
	if err := json.Unmarshal(got, answer); err != nil {
		return fmt.Errorf("the answer of the engine at %s: %w", addr, err)
	}
	return nil
}

func badAddress(addr string, err error) error {
	return diag.New("cli/address", "%q is not the address of an engine", addr).WithCause(err).WithHint("write it like 127.0.0.1:8080")
}

// send sends a request to an engine and returns status and body of the answer.
func send(req *http.Request, addr string) (status int, body []byte, err error) {
	res, err := http.DefaultClient.Do(req)
	var op *net.OpError
	if errors.Is(err, syscall.ECONNREFUSED) || errors.As(err, &op) && op.Op == "dial" {
		return 0, nil, diag.New(unreachable, "no engine answers at %s", addr).WithCause(err).
			WithHint("gorge run prints its address: name it by --http")
	}
	if err != nil {
		return 0, nil, fmt.Errorf("ask the engine at %s: %w", addr, err)
	}
	defer res.Body.Close()
	if body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer)); err != nil {
		return 0, nil, fmt.Errorf("ask the engine at %s: %w", addr, err)
	}
	return res.StatusCode, body, nil
}

// refusalIn returns the error that an engine answered with.
func refusalIn(status int, body []byte, addr string) error {
	var e struct {
		Code    diag.Code
		Message string
		Hint    string
	}
	if json.Unmarshal(body, &e) != nil || e.Code == "" {
		return diag.New("cli/no-engine", "what answers at %s is no Gorge engine (status %d)", addr, status).
			WithHint("gorge run prints the address of its engine: name it by --http")
	}
	if e.Code == "server/not-found" {
		return diag.New(e.Code, "%s", e.Message).WithHint("the engine at %s does not serve this: it may be older, or run another pipeline", addr)
	}
	return diag.New(e.Code, "%s", e.Message).WithHint("%s", e.Hint)
}
