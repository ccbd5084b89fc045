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
		writeCommand(&b, c, "##")
	}
	return b.String()
}

// writeCommand writes the section of a command, and of those below it.
func writeCommand(b *strings.Builder, c *cobra.Command, mark string) {
	if c.Hidden || c.Name() == "help" {
		return
	}
	fmt.Fprintf(b, "\n%s %s\n\n%s.\n\n", mark, c.CommandPath(), strings.TrimSuffix(c.Short, "."))
	if c.Long != "" {
		fmt.Fprintf(b, "%s\n\n", strings.TrimSpace(c.Long))
	}
	if !c.HasSubCommands() {
		fmt.Fprintf(b, "```\n%s\n\n%s```\n", c.UseLine(), machineFree(c))
	}
	for _, sub := range c.Commands() {
		writeCommand(b, sub, mark+"#")
	}
}

// TestCommandsAreExplainedByExamples holds that whoever asks for help sees how it looks.
func TestCommandsAreExplainedByExamples(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		name := c.CommandPath()
		if c.Parent() != nil && c.Parent().Parent() != nil && !strings.Contains(c.Long, "\n  "+name+" ") {
			t.Errorf("the help of %s has no example", name)
		}
	}
	walk(rootCmd())
}

// machineFree returns the flags without defaults that depend on the machine.
func machineFree(c *cobra.Command) string {
	return regexp.MustCompile(`tasks of each parallel stage \(default \d+\)`).
		ReplaceAllString(c.LocalFlags().FlagUsages(), "tasks of each parallel stage (default: the cores)")
}

func TestCommandPageIsFresh(t *testing.T) {
	fresh(t, filepath.Join("..", "..", "docs", "reference", "cli.md"), []byte(cliPage()))
}
