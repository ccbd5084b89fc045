package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/job"
	"github.com/gorge-stream/gorge/internal/plan"
)

// planFlags are the flags of gorge plan.
type planFlags struct {
	format string
	state  bool
	stored storeFlags
	checkpointFlags
}

func planCmd() *cobra.Command {
	f := &planFlags{}
	c := &cobra.Command{
		Use:   "plan FILE",
		Short: "Show what a pipeline will do: stages, columns read, delivery of each path",
		Long: `Show what a pipeline will do. Nothing is opened or started.

With --state: what becomes of the state in a checkpoint when the pipeline goes on
from it. kept: the pipeline goes on with it; dropped: it has no use for it; new: it
begins empty; incompatible: it means something else. The exit code is 3 when gorge run would refuse.

  gorge plan city.yaml
  gorge plan city.yaml --state
  gorge plan city.yaml --state --from backups/monday --rename averages=by_device`,
		Args: exactly(1, "the pipeline file"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	c.Flags().StringVar(&f.format, "format", "text", "text for people, json for programs, dot for Graphviz")
	c.Flags().BoolVar(&f.state, "state", false, "show what becomes of the state of the last checkpoint, or of the one that --from names")
	c.Flags().StringVar(&f.from, "from", "", "with --state: a savepoint, its folder or bucket, or the epoch of a kept checkpoint")
	c.Flags().StringArrayVar(&f.rename, "rename", nil, "with --state: old=new, a step, source or sink has another name than in the checkpoint")
	c.Flags().BoolVar(&f.dropState, "drop-state", false, "with --state: what is dropped is no reason to refuse")
	f.stored.add(c)
	return c
}

func (f *planFlags) run(cmd *cobra.Command, file string) error {
	if f.format != "text" && f.format != "json" && f.format != "dot" {
		return usage(diag.New("cli/flag", "--format cannot be %q", f.format).WithHint("possible are: text, json, dot"))
	}
	if !f.state && (f.from != "" || len(f.rename) > 0 || f.dropState) {
		return usage(diag.New("cli/flag", "--from, --rename and --drop-state are about the state of a checkpoint").WithHint("add --state"))
	}
	if f.state && f.format != "text" {
		return usage(diag.New("cli/flag", "--state is text for people").WithHint("leave out --format"))
	}
	p, warnings, err := readPipeline(cmd.InOrStdin(), file, f.stored.set, "")
	warn(cmd.ErrOrStderr(), warnings)
	if err != nil {
		return err
	}
	if f.state {
		return f.showState(cmd.Context(), cmd.OutOrStdout(), p)
	}
	out := []byte(p.Text())
	switch f.format {
	case "json":
		if out, err = p.JSON(); err != nil {
			return err
		}
	case "dot":
		out = []byte(p.DOT())
	}
	_, err = cmd.OutOrStdout().Write(out)
	return err
}

// showState writes what becomes of a checkpoint.
func (f *planFlags) showState(ctx context.Context, out io.Writer, p *plan.Plan) error {
	renames, err := f.renames()
	if err != nil {
		return usage(err)
	}
	m, place, err := f.checkpoint(ctx, p)
	if err != nil {
		return err
	}
	s := checkpoint.PlanState(m, job.Needs(p), renames)
	fmt.Fprintf(out, "checkpoint of epoch %d, taken %s, in %s\n\n%s", m.Epoch, ageText(m.Taken, time.Now()), place, s)
	if m.Finished {
		fmt.Fprintln(out, "\nthe input had ended: gorge run --fresh begins anew, and none of this counts")
	}
	if m.Pipeline != p.Name {
		return refused(diag.New("run/other-pipeline", "the checkpoint is of the pipeline %s, not of %s", m.Pipeline, p.Name).
			WithHint("name the file of that pipeline, or another place by --data or --from"))
	}
	err = s.Err(f.dropState)
	var d *diag.Error
	if errors.As(err, &d) {
		return refused(d.WithCause(nil)) // it has been shown
	}
	return err
}

// checkpoint finds the checkpoint that is meant, and where it is.
func (f *planFlags) checkpoint(ctx context.Context, p *plan.Plan) (*checkpoint.Manifest, string, error) {
	place := f.stored.place(p)
	if f.from != "" && !isEpoch(f.from) {
		m, _, err := savepointAt(ctx, nil, f.from)
		return m, f.from, err
	}
	store, err := readStore(ctx, place)
	if err != nil {
		return nil, "", err
	}
	if f.from != "" {
		m, _, err := savepointAt(ctx, store, f.from)
		return m, place, err
	}
	h, err := checkpoint.OpenHistory(ctx, store)
	if err != nil {
		return nil, "", err
	}
	m, err := h.Latest()
	if err == nil {
		err = begun(m, place)
	}
	return m, place, err
}
