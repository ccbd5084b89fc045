package query

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// LocalBase is the base address for the client of [Local].
const LocalBase = "http://localhost"

// Local serves a handler inside the process, without a port that others could
// reach, and returns a client whose every request goes to it. Call stop when done.
func Local(h http.Handler) (client *http.Client, stop func() error) {
	l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Serve(l) // it ends with ErrServerClosed
	}()
	transport := &http.Transport{DialContext: l.dial}
	return &http.Client{Transport: transport}, func() error {
		transport.CloseIdleConnections()
		err := s.Close()
		<-ended
		return err
	}
}

// pipes is a listener whose connections are made by dial.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept returns the next connection that was dialled.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close stops accepting.
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

// Addr returns a name for messages.
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "inside the process", Net: "pipe"} }
