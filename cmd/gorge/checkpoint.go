package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/diag"
)

func checkpointCmd() *cobra.Command {
	return family("checkpoint", "Look at the checkpoints of a pipeline",
		`Look at the checkpoints of a pipeline, also while an engine runs it. FILE is the
pipeline file: it says where they are, unless --store names a savepoint or another place.`,
		checkpointListCmd(), checkpointInspectCmd(), checkpointVerifyCmd())
}

// family makes a command that has only subcommands.
func family(name, short, long string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: name, Short: short, Long: long,
		Args:                       cobra.ArbitraryArgs,
		SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			e := diag.New("cli/unknown-command", "there is no command gorge %s %q", name, args[0])
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				return usage(e.WithHint("did you mean: gorge %s %s", name, near[0]))
			}
			return usage(e.WithHint("gorge %s --help lists the commands", name))
		},
	}
	c.AddCommand(subs...)
	return c
}

// lookFlags are the flags of commands that look at stored checkpoints.
type lookFlags struct {
	storeFlags
	json bool
}

func (f *lookFlags) add(c *cobra.Command) {
	f.storeFlags.add(c)
	c.Flags().StringVar(&f.store, "store", "", "look at the checkpoints in this folder or bucket, such as a savepoint")
}

// look is an open store of checkpoints and where it is.
type look struct {
	store   checkpoint.Store
	history *checkpoint.History
	place   string
}

// open opens the checkpoints of a pipeline file for reading.
func (f *lookFlags) open(cmd *cobra.Command, file string) (*look, error) {
	p, err := f.plan(cmd, file)
	if err != nil {
		return nil, err
	}
	return openLook(cmd.Context(), f.place(p))
}

func openLook(ctx context.Context, place string) (*look, error) {
	store, err := readStore(ctx, place)
	if err != nil {
		return nil, err
	}
	h, err := checkpoint.OpenHistory(ctx, store)
	if err != nil {
		return nil, err
	}
	if len(h.List()) == 0 {
		return nil, begun(nil, place)
	}
	return &look{store, h, place}, nil
}

// manifest returns the checkpoint of an epoch, the latest for "".
func (l *look) manifest(epoch string) (*checkpoint.Manifest, error) {
	if epoch == "" {
		return l.history.Latest()
	}
	n, err := epochIn(epoch)
	if err != nil {
		return nil, err
	}
	return l.history.Load(n)
}

// epochIn reads the number of an epoch.
func epochIn(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		return 0, usage(diag.New("cli/epoch", "%q is not the number of an epoch", text).WithHint("gorge checkpoint list shows them"))
	}
	return n, nil
}

// fileAnd checks for the pipeline file and at most one more argument.
func fileAnd(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 || len(args) == 2 {
			return nil
		}
		return usage(diag.New("cli/arguments", "%s needs the pipeline file and, if need be, %s", cmd.CommandPath(), what).
			WithHint("usage: %s", cmd.UseLine()))
	}
}

// second returns the second argument, "" without one.
func second(args []string) string {
	if len(args) < 2 {
		return ""
	}
	return args[1]
}
