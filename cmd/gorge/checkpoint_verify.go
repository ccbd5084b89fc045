package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/snapshot"
)

func checkpointVerifyCmd() *cobra.Command {
	f := &lookFlags{}
	all := false
	c := &cobra.Command{
		Use:   "verify FILE [EPOCH]",
		Short: "Read all that a checkpoint needs, to the last byte, and name what is damaged",
		Long: `Read all that a checkpoint needs, to the last byte, and hold it against its checksums.
Without EPOCH it is the latest. The exit code is 1 when something is damaged.

  gorge checkpoint verify city.yaml
  gorge checkpoint verify city.yaml --all
  gorge checkpoint verify city.yaml --store backups/monday`,
		Args: fileAnd("an epoch"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all && len(args) == 2 {
				return usage(diag.New("cli/arguments", "--all and an epoch say two things").WithHint("leave one of them out"))
			}
			l, err := f.open(cmd, args[0])
			if err != nil {
				return err
			}
			chosen, err := l.chosen(second(args), all)
			if err != nil {
				return err
			}
			return l.verify(cmd, chosen)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "every checkpoint that is kept")
	f.add(c)
	return c
}

// chosen returns the checkpoints to verify.
func (l *look) chosen(epoch string, all bool) ([]checkpoint.Entry, error) {
	list := l.history.List()
	if all {
		return list, nil
	}
	if epoch == "" {
		return list[len(list)-1:], nil
	}
	n, err := epochIn(epoch)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		if e.Epoch == n {
			return []checkpoint.Entry{e}, nil
		}
	}
	_, err = l.history.Load(n)
	return nil, err
}

// verify reads checkpoints and says what is wrong with them.
func (l *look) verify(cmd *cobra.Command, list []checkpoint.Entry) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	damaged := 0
	for _, e := range list {
		problems := []error{e.Err}
		if e.Err == nil {
			problems = snapshot.Verify(ctx, l.store, e.Manifest)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(problems) > 0 {
			gone, err := l.gone(ctx, e.Epoch)
			if err != nil {
				return err
			}
			if gone {
				fmt.Fprintf(out, "epoch %d: deleted meanwhile, as newer ones are kept\n", e.Epoch)
				continue
			}
			damaged++
			fmt.Fprintf(out, "epoch %d: damaged\n", e.Epoch)
			for _, p := range problems {
				fmt.Fprintf(out, "  %v\n", p)
			}
			continue
		}
		fmt.Fprintf(out, "epoch %d: whole, segments %d, %s\n", e.Epoch, len(e.Manifest.Segments()), sizeText(sizeOf(e.Manifest)))
	}
	if damaged == 0 {
		return nil
	}
	return failed(diag.New("cli/damaged", "%d of %d checkpoints in %s are damaged", damaged, len(list), l.place).
		WithHint("gorge run --from EPOCH starts from one that is whole, --fresh from the beginning; both may repeat output. Look at the disk: dmesg"))
}

// gone reports whether a checkpoint is there no more: an engine that runs beside deletes old ones.
func (l *look) gone(ctx context.Context, epoch uint64) (bool, error) {
	h, err := checkpoint.OpenHistory(ctx, l.store)
	if err != nil {
		return false, err
	}
	for _, e := range h.List() {
		if e.Epoch == epoch {
			return false, nil
		}
	}
	return true, nil
}
