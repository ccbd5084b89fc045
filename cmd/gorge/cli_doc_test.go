package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var updateCLI = flag.Bool("update-cli", false, "write docs/reference/cli.md")

// cliPage writes the reference page of the commands.
func cliPage() string {
	var b strings.Builder
	b.WriteString("# Commands\n\nGenerated from the binary; `go test ./cmd/gorge -update-cli` writes it anew.\n\n" +
		"Data goes to standard output, everything for people to standard error. Exit codes: 0 done, 1 failed while running, 2 wrong command line, 3 refused by the check of the pipeline.\n")
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

func TestTheCommandPageIsFresh(t *testing.T) {
	file := filepath.Join("..", "..", "docs", "reference", "cli.md")
	want := cliPage()
	if *updateCLI {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/reference/cli.md is not what the commands say; run go test ./cmd/gorge -update-cli")
	}
}
