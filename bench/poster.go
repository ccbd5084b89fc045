package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// poster sends requests over a connection of its own. It writes the bytes itself:
// what a client of the standard library takes of the processors would be most of what is measured.
type poster struct {
	took    []time.Duration
	retries int64 // after 429
}

// run sends every ingestClients-th body from first on, a number of times.
func (p *poster) run(ctx context.Context, address string, bodies [][]byte, first, times int) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for range times {
		for i := first; i < len(bodies) && ctx.Err() == nil; i += ingestClients {
			request := net.Buffers{head(len(bodies[i])), bodies[i]}
			begin := time.Now()
			if err := p.send(c, in, request); err != nil {
				return err
			}
			p.took = append(p.took, time.Since(begin))
		}
	}
	return ctx.Err()
}

// send sends a request until it is accepted.
func (p *poster) send(c net.Conn, in *bufio.Reader, request net.Buffers) error {
	for {
		again := append(net.Buffers{}, request...) // writing uses it up
		if _, err := again.WriteTo(c); err != nil {
			return err
		}
		status, err := answer(in)
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(status, "HTTP/1.1 202 "):
			return nil
		case !strings.HasPrefix(status, "HTTP/1.1 429 "):
			return fmt.Errorf("the engine answered %q", status)
		}
		p.retries++
		time.Sleep(time.Millisecond)
	}
}

// answer reads an answer and returns its first line.
func answer(in *bufio.Reader) (status string, err error) {
	if status, err = in.ReadString('\n'); err != nil {
		return "", err
	}
	length := 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			_, err = in.Discard(length)
			return status, err
		}
		if v, ok := bytes.CutPrefix(bytes.ToLower(line), []byte("content-length: ")); ok {
			if length, err = strconv.Atoi(string(v)); err != nil {
				return "", err
			}
		}
	}
}
