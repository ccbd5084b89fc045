package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/job"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/plan"
	"github.com/gorge-stream/gorge/internal/query"
	"github.com/gorge-stream/gorge/internal/spec"
	"github.com/gorge-stream/gorge/internal/state"
	"github.com/gorge-stream/gorge/internal/state/memory"
)

func stateCmd() *cobra.Command {
	return family("state", "Look at what the steps of a pipeline remember",
		`Look at what the windows and running statistics of a pipeline remember, as of a
checkpoint: by default the latest, also of a pipeline that is running. Its age is printed.`,
		stateScanCmd(), stateGetCmd())
}

// stateFlags are the flags of gorge state.
type stateFlags struct {
	lookFlags
	epoch string
	limit int
}

func (f *stateFlags) add(c *cobra.Command) {
	f.lookFlags.add(c)
	c.Flags().StringVar(&f.epoch, "epoch", "", "the checkpoint to look at (default the latest)")
	c.Flags().BoolVar(&f.json, "json", false, "one JSON object a line")
}

func stateScanCmd() *cobra.Command {
	f := &stateFlags{}
	c := &cobra.Command{
		Use:   "scan FILE STEP",
		Short: "Show the state of a step: its keys, windows and aggregates so far",
		Long: `Show the state of a step: of each key, and of each of its open windows, the aggregates
as they stood at the checkpoint.

  gorge state scan city.yaml averages
  gorge state scan city.yaml averages --limit 0 --json > averages.ndjson
  gorge state scan city.yaml averages --store backups/monday`,
		Args: exactly(2, "the pipeline file and a step"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.limit < 0 {
				return usage(diag.New("cli/flag", "--limit is a number of rows, 0 for all, not %d", f.limit).WithHint("leave it out for the first 100"))
			}
			s, err := f.open(cmd, args[0], args[1])
			if err != nil {
				return err
			}
			return s.show(cmd, nil, f.limit)
		},
	}
	c.Flags().IntVarP(&f.limit, "limit", "n", 100, "most rows to show; 0 shows all")
	f.add(c)
	return c
}

func stateGetCmd() *cobra.Command {
	f := &stateFlags{}
	c := &cobra.Command{
		Use:   "get FILE STEP KEY...",
		Short: "Show the state of one key: a value for each key column, in their order",
		Long: `Show the state of one key of a step: a value for each key column, in the order of
key_by. A value that is not a text may be null.

  gorge state get city.yaml averages dev-0000042
  gorge state get city.yaml by_site_and_hour north 2026-01-01T00:00:00Z`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) >= 2 {
				return nil
			}
			return usage(diag.New("cli/arguments", "%s needs the pipeline file, a step and a key", cmd.CommandPath()).WithHint("usage: %s", cmd.UseLine()))
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.open(cmd, args[0], args[1])
			if err != nil {
				return err
			}
			key, err := keyOf(s.state.Key(), args[2:])
			if err != nil {
				return usage(err)
			}
			defer key.Release()
			return s.show(cmd, key, 0)
		},
	}
	f.add(c)
	return c
}

// stored is the state of a step in an open store.
type stored struct {
	*look
	state *job.StoredState
	step  string
	epoch uint64
	taken time.Time
	json  bool
}

// open finds the state of a step.
func (f *stateFlags) open(cmd *cobra.Command, file, step string) (*stored, error) {
	p, err := f.plan(cmd, file)
	if err != nil {
		return nil, err
	}
	if !hasState(p) {
		return nil, diag.New("state/none", "no step of the pipeline keeps state").WithHint("steps with window or running do")
	}
	l, err := openLook(cmd.Context(), f.place(p))
	if err != nil {
		return nil, err
	}
	m, err := l.manifest(f.epoch)
	if err == nil {
		err = begun(m, l.place)
	}
	if err != nil {
		return nil, err
	}
	s, err := job.OpenStoredState(p, step, job.Parts{
		State: func(l state.Layout, g keygroup.Range, _ bool) (job.KeyedState, error) { return memory.New(l, g), nil },
	}, m)
	return &stored{l, s, step, m.Epoch, m.Taken, f.json}, err
}

func hasState(p *plan.Plan) bool {
	for _, n := range p.Nodes {
		if n.StateLayout() != nil {
			return true
		}
	}
	return false
}

// errEnough ends the reading of state behind the limit.
var errEnough = errors.New("enough rows")

// show writes the rows of a key, or without one the first rows of all.
func (s *stored) show(cmd *cobra.Command, key *batch.Batch, limit int) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "state of the step %s at the checkpoint of epoch %d, taken %s\n", s.step, s.epoch, ageText(s.taken, time.Now()))
	out, err := newRowWriter(cmd.OutOrStdout(), s.state.Schema(), s.json)
	if err != nil {
		return err
	}
	shown := 0
	err = s.state.Read(cmd.Context(), s.store, key, func(b *batch.Batch) error {
		defer b.Release()
		n := b.Len()
		if limit > 0 && n > limit-shown {
			n = limit - shown
		}
		if err := out.write(b, n); err != nil {
			return err
		}
		if shown += n; n < b.Len() {
			return errEnough
		}
		return nil
	})
	more := errors.Is(err, errEnough)
	if err != nil && !more {
		return s.meanwhile(cmd, err)
	}
	if key != nil && shown == 0 {
		return failed(diag.New("state/no-key", "the step %s remembers nothing of that key", s.step).WithHint("gorge state scan shows the keys there are"))
	}
	if err := out.end(); err != nil {
		return err
	}
	switch {
	case more:
		fmt.Fprintf(cmd.ErrOrStderr(), "(the first %d rows, more with --limit 0)\n", shown)
	case key == nil:
		fmt.Fprintf(cmd.ErrOrStderr(), "(%d rows)\n", shown)
	}
	return nil
}

// meanwhile explains an error by an engine beside that has deleted the checkpoint.
func (s *stored) meanwhile(cmd *cobra.Command, err error) error {
	if gone, look := s.gone(cmd.Context(), s.epoch); look != nil || !gone {
		return err
	}
	return diag.New("state/deleted", "the engine has deleted the checkpoint of epoch %d while it was read, as newer ones are kept", s.epoch).
		WithHint("try again; checkpoint: {retain: 10} keeps more of them, a savepoint stays")
}

// rowWriter writes batches as JSON lines or, for people, in columns.
type rowWriter struct {
	out     io.Writer
	enc     codec.Encoder
	columns *query.Columns // nil for JSON
	buf     []byte
}

func newRowWriter(out io.Writer, s *batch.Schema, asJSON bool) (*rowWriter, error) {
	w := &rowWriter{out: out}
	name := "csv"
	if asJSON {
		name = "json"
	} else {
		w.columns = query.NewColumns(out, s.Names())
	}
	f := formats[name]
	var err error
	w.enc, err = f.NewEncoder(spec.NewValues(f.Decl, diag.Place{}, nil), s)
	return w, err
}

// write writes the first n rows of a batch.
func (w *rowWriter) write(b *batch.Batch, n int) (err error) {
	if w.buf, err = w.enc.Encode(w.buf[:0], b, 0, n); err != nil {
		return err
	}
	if w.columns == nil {
		_, err = w.out.Write(w.buf)
		return err
	}
	r := csv.NewReader(strings.NewReader(string(w.buf)))
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.columns.Row(row); err != nil {
			return err
		}
	}
}

func (w *rowWriter) end() error {
	if w.columns == nil {
		return nil
	}
	return w.columns.End()
}
