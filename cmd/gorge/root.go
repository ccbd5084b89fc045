package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gorge-stream/gorge/internal/diag"
)

// rootCmd makes the command tree: one line per subcommand.
func rootCmd() *cobra.Command {
	root := &cobra.Command{
		Use:                        "gorge",
		Short:                      "Real-time stream processing in one binary, with Python functions at column speed",
		SilenceUsage:               true,
		SilenceErrors:              true,
		Args:                       cobra.ArbitraryArgs,
		SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			e := diag.New("cli/unknown-command", "there is no command %q", args[0])
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				return usage(e.WithHint("did you mean: gorge %s", near[0]))
			}
			return usage(e.WithHint("gorge --help lists the commands"))
		},
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(diag.New("cli/flag", "%v", err).WithHint("%s --help lists the flags", cmd.CommandPath()))
	})
	root.AddCommand(
		newCmd(),
		checkCmd(),
		planCmd(),
		runCmd(),
		generateCmd(),
		receiveCmd(),
		queryCmd(),
		checkpointCmd(),
		savepointCmd(),
		stateCmd(),
		deadletterCmd(),
		testCmd(),
		versionCmd(),
		failpointsCmd(),
	)
	return root
}

// exactly checks the number of arguments of a command.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return usage(diag.New("cli/arguments", "%s needs %s, not %d arguments", cmd.CommandPath(), what, len(args)).
			WithHint("usage: %s", cmd.UseLine()))
	}
}

// versionCmd prints what this binary is.
func versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of the engine",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintln(cmd.OutOrStdout(), versionText())
			return nil
		},
	}
}
