package main

import (
	"github.com/spf13/cobra"

	"github.com/gorge-stream/gorge/internal/diag"
)

func planCmd() *cobra.Command {
	var set []string
	var format string
	c := &cobra.Command{
		Use:   "plan FILE",
		Short: "Show what a pipeline will do: stages, columns read, delivery of each path",
		Args:  exactly(1, "the pipeline file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "text" && format != "json" && format != "dot" {
				return usage(diag.New("cli/flag", "--format cannot be %q", format).WithHint("possible are: text, json, dot"))
			}
			p, warnings, err := readPipeline(cmd.InOrStdin(), args[0], set, "")
			warn(cmd.ErrOrStderr(), warnings)
			if err != nil {
				return err
			}
			out := []byte(p.Text())
			switch format {
			case "json":
				if out, err = p.JSON(); err != nil {
					return err
				}
			case "dot":
				out = []byte(p.DOT())
			}
			_, err = cmd.OutOrStdout().Write(out)
			return err
		},
	}
	setFlag(c, &set)
	c.Flags().StringVar(&format, "format", "text", "text for people, json for programs, dot for Graphviz")
	return c
}
