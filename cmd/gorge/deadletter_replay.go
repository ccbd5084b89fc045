package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/plan"
	"github.com/gorge-stream/gorge/internal/server"
)

// replayFlags are the flags of gorge deadletter replay.
type replayFlags struct {
	letterFlags
	http, out string
}

func deadletterReplayCmd() *cobra.Command {
	f := &replayFlags{}
	c := &cobra.Command{
		Use:   "replay FILE",
		Short: "Give dead letters to the pipeline again, after the cause was mended",
		Long: `Give dead letters to the pipeline again, after the cause was mended.

The letters of an http source are posted to the source of that name of the running
engine. With --out they are written to a new file instead: that is the way for letters of
other sources, as a further input file, and of steps and sinks, whose letters hold the row as
JSON as it came to them, which no source of this pipeline takes.

What was replayed is noted at once, and a file whose letters are all replayed is moved to
dead-letters/replayed. A replay that was interrupted is repeated with the same flags: letters
that had been accepted are left out, and the one under way has the Idempotency-Key of the
first time, so that a source with checkpoints counts it once.

  gorge deadletter replay city.yaml
  gorge deadletter replay city.yaml --step readings --http 127.0.0.1:9000
  gorge deadletter replay city.yaml --step enrich --out again.ndjson`,
		Args: exactly(1, "the pipeline file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.out != "" && cmd.Flags().Changed("http") {
				return usage(diag.New("cli/flag", "--http and --out are two places to replay to").WithHint("name one of them"))
			}
			l, err := f.open(cmd, args[0])
			if err != nil {
				return err
			}
			return f.replay(cmd, l)
		},
	}
	f.add(c)
	c.Flags().StringVar(&f.http, "http", server.DefaultAddr, "address of the engine")
	c.Flags().StringVar(&f.out, "out", "", "write the payloads to this new file, one a line")
	return c
}

// replay replays what the flags choose.
func (f *replayFlags) replay(cmd *cobra.Command, l *letters) (err error) {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	steps, err := l.steps(&f.letterFlags)
	if err != nil {
		return err
	}
	if len(steps) == 0 {
		l.none(cmd, &f.letterFlags)
		return nil
	}
	if err := f.check(l.plan, steps); err != nil {
		return err
	}
	lock, err := vfs.Default.Lock(filepath.Join(l.dir, ".replay.lock"))
	if err != nil {
		return diag.New("deadletter/locked", "another replay of %s is under way", l.dir).WithCause(err).WithHint("wait for its end")
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := l.clean(); err != nil {
		return err
	}
	if f.out != "" {
		f.note(cmd, l.plan, steps[0])
		return f.toFile(cmd, l)
	}
	return f.toEngine(ctx, cmd, l)
}

// steps returns who refused the letters.
func (l *letters) steps(f *letterFlags) ([]string, error) {
	var out []string
	err := l.each(func(x *letter) error {
		if f.wants(x) && !slices.Contains(out, x.Step) {
			out = append(out, x.Step)
		}
		return nil
	})
	return out, err
}

// check refuses letters that cannot go where they are to go, before any goes anywhere.
func (f *replayFlags) check(p *plan.Plan, steps []string) error {
	if f.out != "" && len(steps) > 1 {
		return usage(diag.New("deadletter/several", "the letters are of %s, and rows of several do not fit into one file", strings.Join(steps, ", ")).
			WithHint("choose one with --step"))
	}
	for _, step := range steps {
		if f.out != "" {
			continue
		}
		if err := takes(p, step); err != nil {
			return err
		}
	}
	return nil
}

// source returns a source of the pipeline, nil when it has none of that name.
func source(p *plan.Plan, name string) *plan.Source {
	for _, n := range p.Nodes {
		if op, ok := n.Op.(*plan.Source); ok && n.Name == name {
			return op
		}
	}
	return nil
}

// takes refuses to post letters that no http source takes as they are.
func takes(p *plan.Plan, step string) error {
	const hint = "--out FILE writes them to a file, --step chooses others"
	op := source(p, step)
	switch {
	case op == nil:
		return diag.New("deadletter/no-source", "the letters of %s are rows as they came to it, and no source takes those", step).WithHint(hint)
	case op.Connector != "http":
		return diag.New("deadletter/no-source", "the source %s reads no requests, but %s", step, op.Connector).
			WithHint("--out FILE writes its letters to a file: add that to its input; --step chooses others")
	case hasHeader(op):
		return diag.New("deadletter/header", "the letters of %s lack the header line of the request that they came with", step).WithHint(hint)
	}
	return nil
}

// hasHeader reports whether records of the source mean nothing without what stands before them.
func hasHeader(op *plan.Source) bool { return op.Format == "csv" && op.FormatSet.Bool("header") }

// toEngine posts letters to the http sources of an engine.
func (f *replayFlags) toEngine(ctx context.Context, cmd *cobra.Command, l *letters) error {
	sent, refusals := 0, 0
	var first error
	parts, err := l.parts()
	if err != nil {
		return err
	}
	for _, part := range parts {
		m, err := l.openMarks(part)
		if err != nil {
			return err
		}
		err = l.eachOf(part, func(x *letter) error {
			if m.done[x.row] || !f.wants(x) {
				return nil
			}
			err := post(ctx, f.http, source(l.plan, x.Step), x)
			var refused *diag.Error
			if errors.As(err, &refused) && strings.HasPrefix(string(refused.Code), "ingest/") {
				if refusals++; first == nil {
					first = refused
				}
				return nil
			}
			if err == nil {
				sent++
				err = m.add(x.row)
			}
			return err
		})
		if err := errors.Join(err, m.close()); err != nil {
			return errors.Join(err, said(cmd, sent, f.http))
		}
	}
	if err := said(cmd, sent, f.http); err != nil || refusals == 0 {
		return err
	}
	return diag.New("deadletter/refused", "%d letters were refused again and stay", refusals).WithCause(first).
		WithHint("mend the cause and repeat the replay: what was accepted is left out")
}

func said(cmd *cobra.Command, n int, where string) error {
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "replayed %d letters to %s\n", n, where)
	return err
}

// busyPatience is for how long a letter is offered to an engine that has no room.
const busyPatience = time.Minute

// post gives one letter to an engine, until it is accepted or refused.
func post(ctx context.Context, addr string, op *plan.Source, x *letter) error {
	key := sha256.Sum256(fmt.Appendf(nil, "%s %d\n%s", x.part, x.row, x.Payload))
	for give := time.Now().Add(busyPatience); ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, baseOf(addr)+"/ingest/"+url.PathEscape(x.Step), bytes.NewReader(x.Payload))
		if err != nil {
			return usage(badAddress(addr, err))
		}
		if types := formats[op.Format].ContentTypes; len(types) > 0 {
			req.Header.Set("Content-Type", types[0])
		}
		req.Header.Set("Idempotency-Key", fmt.Sprintf("gorge-replay-%x", key[:16]))
		status, body, err := send(req, addr)
		switch {
		case err != nil:
			return err
		case status/100 == 2:
			return nil
		case status != http.StatusTooManyRequests || time.Now().After(give):
			return refusalIn(status, body, addr)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// toFile writes payloads to a file, which appears whole, and marks them then. A
// file that holds just that is one of a replay that was interrupted behind it.
func (f *replayFlags) toFile(cmd *cobra.Command, l *letters) error {
	rows := map[string][]int{}
	err := writeOnce(f.out, func(w io.Writer) error {
		return l.each(func(x *letter) error {
			if !f.wants(x) {
				return nil
			}
			rows[x.part] = append(rows[x.part], x.row)
			_, err := w.Write(append(bytes.TrimSuffix(x.Payload, []byte("\n")), '\n'))
			return err
		})
	})
	if err != nil {
		return err
	}
	n := 0
	for part, list := range rows {
		m, err := l.openMarks(part)
		if err != nil {
			return err
		}
		for _, row := range list {
			err = errors.Join(err, m.add(row))
		}
		if err := errors.Join(err, m.close()); err != nil {
			return err
		}
		n += len(list)
	}
	return said(cmd, n, f.out)
}

// note says what a file with the letters of a source lacks.
func (f *replayFlags) note(cmd *cobra.Command, p *plan.Plan, step string) {
	if op := source(p, step); op != nil && hasHeader(op) {
		fmt.Fprintf(cmd.ErrOrStderr(), "note: the source %s reads csv with a header line, which its letters lack: put it in front\n", step)
	}
}

// writeOnce makes a file durable under its name, unless one with the same bytes is there.
func writeOnce(path string, write func(io.Writer) error) error {
	cannot := func(err error) error {
		return diag.New("deadletter/write", "the letters cannot be written to %s", path).WithCause(err).
			WithHint("nothing is marked as replayed: name another file")
	}
	partial := path + ".partial"
	w, err := os.OpenFile(partial, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return cannot(err)
	}
	defer os.Remove(partial) // behind the renaming there is none
	buf := bufio.NewWriter(w)
	if err := errors.Join(write(buf), buf.Flush(), w.Sync(), w.Close()); err != nil {
		return cannot(err)
	}
	same, err := sameBytes(partial, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = errors.Join(os.Rename(partial, path), syncDir(filepath.Dir(path)))
	case err == nil && !same:
		return diag.New("deadletter/exists", "%s is there already, with something else in it", path).WithHint("name a new file")
	}
	if err != nil {
		return cannot(err)
	}
	return nil
}

// sameBytes reports whether two files hold the same.
func sameBytes(a, b string) (bool, error) {
	one, err := os.Open(a)
	if err != nil {
		return false, err
	}
	defer one.Close()
	two, err := os.Open(b)
	if err != nil {
		return false, err
	}
	defer two.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, one); err != nil {
		return false, err
	}
	want := hash.Sum(nil)
	hash.Reset()
	_, err = io.Copy(hash, two)
	return bytes.Equal(hash.Sum(nil), want), err
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
