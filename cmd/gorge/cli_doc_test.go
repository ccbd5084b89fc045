package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// cliPage writes the reference page of the commands.
func cliPage() string {
	var b strings.Builder
	b.WriteString("# Commands\n\nGenerated from the binary; `go test ./cmd/gorge -run Fresh -update` writes it anew.\n\n" +
		"Data goes to standard output, everything for people to standard error. Exit codes: 0 done, 1 failed while running, 2 wrong command line, 3 refused by the check of the pipeline, 74 the log of a table store could not be written.\n")
	for _, c := range rootCmd().Commands() {
		if c.Hidden || c.Name() == "help" {
			continue
		}
		fmt.Fprintf(&b, "\n## gorge %s\n\n%s.\n\n", c.Name(), strings.TrimSuffix(c.Short, "."))
		if c.Long != "" {
			fmt.Fprintf(&b, "%s\n\n", strings.TrimSpace(c.Long))
		}
		fmt.Fprintf(&b, "```\n%s\n\n%s```\n", c.UseLine(), machineFree(c))
	}
	return b.String()
}

// machineFree returns the flags without defaults that depend on the machine.
func machineFree(c *cobra.Command) string {
	return regexp.MustCompile(`tasks of each parallel stage \(default \d+\)`).
		ReplaceAllString(c.LocalFlags().FlagUsages(), "tasks of each parallel stage (default: the cores)")
}

func TestCommandPageIsFresh(t *testing.T) {
	fresh(t, filepath.Join("..", "..", "docs", "reference", "cli.md"), []byte(cliPage()))
}
