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
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
)

// receiveCmd prints what http sinks send: the other side of an alert.
func receiveCmd() *cobra.Command {
	listen := "127.0.0.1:9000"
	c := &cobra.Command{
		Use:   "receive",
		Short: "Print the rows that http sinks send, one line each",
		Long: `Listen for POST and PUT requests with JSON rows, at any path, and print each row
on a line of its own. Requests that come again under the same Idempotency-Key are
answered and not printed. It is meant for demonstrations and tests.`,
		Example: "  gorge receive --listen 127.0.0.1:9000",
		Args:    exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return receive(ctx, listen, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&listen, "listen", listen, "address to listen on; port 0 takes a free one")
	return c
}

// receive serves until ctx ends.
func receive(ctx context.Context, addr string, stdout, stderr io.Writer) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return diag.New("receive/listen", "cannot listen on %s", addr).WithCause(err).WithHint("take another port with --listen")
	}
	r := &receiver{out: stdout, seen: map[string]struct{}{}}
	srv := &http.Server{Handler: r, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	fmt.Fprintf(stderr, "receiving on http://%s/\n", l.Addr())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err = <-served:
	case <-ctx.Done():
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if err = srv.Shutdown(grace); err != nil {
			err = errors.Join(err, srv.Close())
		}
		if e := <-served; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(stderr, "received %s rows in %s requests, %s repetitions dropped\n", group(r.rows), group(r.requests), group(r.repeated))
	if err != nil {
		return diag.New("receive/serve", "the receiver ended early").WithCause(err)
	}
	return nil
}

// receiver takes requests and prints their rows.
type receiver struct {
	mu       sync.Mutex
	out      io.Writer           // guarded by mu
	seen     map[string]struct{} // guarded by mu: the last Idempotency-Keys
	order    []string            // guarded by mu: the same, oldest first
	rows     int64               // guarded by mu
	requests int64               // guarded by mu
	repeated int64               // guarded by mu
}

// Bounds of the receiver.
const (
	maxReceived = 16 << 20 // bytes of a body
	keptKeys    = 100_000
)

// ServeHTTP answers 204 when all rows were printed.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost && req.Method != http.MethodPut {
		w.Header().Set("Allow", "POST, PUT")
		connector.Refuse(w, http.StatusMethodNotAllowed, diag.New("receive/method", "%s is not allowed here", req.Method).WithHint("send rows by POST or PUT"))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxReceived))
	if err != nil {
		connector.Refuse(w, http.StatusRequestEntityTooLarge, diag.New("receive/body", "the body broke off or is over %d bytes", maxReceived))
		return
	}
	text, rows, err := rowsOf(body)
	if err != nil {
		connector.Refuse(w, http.StatusBadRequest, diag.New("receive/json", "the body is no JSON: %v", err))
		return
	}
	r.print(req.Header.Get("Idempotency-Key"), text, rows)
	w.WriteHeader(http.StatusNoContent)
}

// print prints the rows unless their key was seen before.
func (r *receiver) print(key string, text []byte, rows int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	if key != "" {
		if _, again := r.seen[key]; again {
			r.repeated++
			return
		}
		if len(r.order) == keptKeys {
			delete(r.seen, r.order[0])
			r.order = r.order[1:]
		}
		r.seen[key] = struct{}{}
		r.order = append(r.order, key)
	}
	r.rows += int64(rows)
	_, _ = r.out.Write(text) // whoever closed the output will see no rows
}

// rowsOf turns one value, an array or values one after the other into lines.
func rowsOf(body []byte) (text []byte, rows int, err error) {
	var out bytes.Buffer
	line := func(v []byte) error {
		if err := json.Compact(&out, v); err != nil {
			return err
		}
		out.WriteByte('\n')
		rows++
		return nil
	}
	for dec := json.NewDecoder(bytes.NewReader(body)); ; {
		var v json.RawMessage
		if err := dec.Decode(&v); errors.Is(err, io.EOF) {
			return printable(out.Bytes()), rows, nil
		} else if err != nil {
			return nil, 0, err
		}
		elements := []json.RawMessage{v}
		if v[0] == '[' {
			if err := json.Unmarshal(v, &elements); err != nil {
				return nil, 0, err
			}
		}
		for _, e := range elements {
			if err := line(e); err != nil {
				return nil, 0, err
			}
		}
	}
}

// printable escapes what a terminal could take for a command: JSON allows DEL and
// the C1 controls in strings as they are, and nobody checked that it is UTF-8.
func printable(text []byte) []byte {
	var out []byte
	for _, r := range string(bytes.ToValidUTF8(text, []byte("\uFFFD"))) {
		if r >= 0x7F && r < 0xA0 {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}
