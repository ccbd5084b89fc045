// Command gorge is the engine and its tools in one binary. Each subcommand has a
// file of its own; connectors.go lists every connector and format.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/gorge-stream/gorge/internal/diag"
)

// The exit codes; docs/reference/cli.md explains them.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 3
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run executes one command line and returns its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	cmd := rootCmd()
	cmd.SetArgs(args)
	cmd.SetIn(stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.Execute()
	if err == nil {
		return exitDone
	}
	var code *exitError
	if errors.As(err, &code) {
		if code.err != nil {
			fmt.Fprint(stderr, diag.Format(code.err))
		}
		return code.code
	}
	fmt.Fprint(stderr, diag.Format(err))
	return exitFailed
}

// exitError is an error with the exit code that it means.
type exitError struct {
	code int
	err  error // nil: everything has been said
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// refused marks an error as found by the check of a pipeline.
func refused(err error) error { return &exitError{exitRefused, err} }

// usage marks an error as a wrong command line.
func usage(err error) error { return &exitError{exitUsage, err} }
