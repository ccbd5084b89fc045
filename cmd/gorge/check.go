package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/plan"
)

func checkCmd() *cobra.Command {
	var set []string
	c := &cobra.Command{
		Use:   "check FILE...",
		Short: "Say what is wrong with pipeline files, without running them",
		Long: `Check pipeline files ("-" is standard input): the text, the settings, the graph,
the types of all expressions, delivery demands, and the files of functions.

Nothing is opened or started. The exit code is 3 when a file is refused.`,
		Args: atLeastOne("pipeline files"),
		RunE: func(cmd *cobra.Command, args []string) error {
			bad := false
			for _, file := range args {
				err := checkFile(cmd, file, set)
				if err != nil && !isRefusal(err) {
					return err
				}
				bad = bad || err != nil
			}
			if bad {
				return &exitError{code: exitRefused}
			}
			return nil
		},
	}
	setFlag(c, &set)
	return c
}

// setFlag adds the flag --set to a command that reads a pipeline.
func setFlag(c *cobra.Command, set *[]string) {
	c.Flags().StringArrayVar(set, "set", nil, "override a setting of the file: path.to.setting=value")
}

// atLeastOne checks that a command has arguments.
func atLeastOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return nil
		}
		return usage(diag.New("cli/arguments", "%s needs %s", cmd.CommandPath(), what).WithHint("usage: %s", cmd.UseLine()))
	}
}

// checkFile checks one pipeline and says on standard output that it is fine, or
// on standard error what is not.
func checkFile(cmd *cobra.Command, file string, set []string) error {
	p, warnings, err := readPipeline(cmd.InOrStdin(), file, set, "")
	warn(cmd.ErrOrStderr(), warnings)
	if err == nil {
		err = checkFunctionFiles(p, file)
	}
	if err != nil {
		if isRefusal(err) {
			fmt.Fprintln(cmd.ErrOrStderr(), strings.TrimRight(diag.Format(err), "\n"))
		}
		return err
	}
	counts := map[string]int{}
	for _, n := range p.Nodes {
		if plan.IsDeadLetters(n) {
			continue
		}
		switch n.Op.(type) {
		case *plan.Source:
			counts["sources"]++
		case *plan.Sink:
			counts["sinks"]++
		case *plan.Encode, *plan.Combine: // made by the planner
		default:
			counts["steps"]++
		}
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: pipeline %s is fine (sources %d, steps %d, sinks %d)\n",
		file, p.Name, counts["sources"], counts["steps"], counts["sinks"])
	return nil
}

// checkFunctionFiles refuses functions whose file does not exist.
func checkFunctionFiles(p *plan.Plan, file string) error {
	dir := "."
	if file != "-" {
		dir = filepath.Dir(file)
	}
	var bad diag.List
	for _, f := range p.Functions {
		path := f.File
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		if info, err := os.Stat(path); err != nil {
			bad.Add(diag.New("cli/function-file", "the file of the function %s cannot be read", f.Name).At(f.Place).WithCause(err).
				WithHint("paths count from the directory of the pipeline file"))
		} else if info.IsDir() {
			bad.Add(diag.New("cli/function-file", "the file of the function %s is a directory: %s", f.Name, path).At(f.Place))
		}
	}
	if err := bad.Err(); err != nil {
		return refused(err)
	}
	return nil
}

// isRefusal reports whether err says that a pipeline is wrong, not the command line.
func isRefusal(err error) bool {
	var code *exitError
	return errors.As(err, &code) && code.code == exitRefused
}

// warn writes warnings like errors, under another name.
func warn(w io.Writer, warnings []*diag.Error) {
	for _, e := range warnings {
		fmt.Fprint(w, "warning", strings.TrimPrefix(diag.Format(e), "error"))
	}
}
