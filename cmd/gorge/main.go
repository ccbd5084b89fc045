// Command gorge is the engine and its tools in one binary. Each subcommand has a
// file of its own; connectors.go lists every connector and format.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/failpoint"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run executes one command line and returns its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	err := failpoint.Arm(os.Getenv(failpoint.Variable))
	if err == nil {
		err = failpoint.Trace(os.Getenv(failpoint.TraceVariable))
	}
	if err != nil {
		fmt.Fprint(stderr, diag.Format(err))
		return exitUsage
	}
	cmd := rootCmd()
	cmd.SetArgs(args)
	cmd.SetIn(stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err = cmd.Execute(); err == nil {
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
