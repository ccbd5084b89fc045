package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gorge-stream/gorge/internal/diag"
)

func deadletterShowCmd() *cobra.Command {
	f := &letterFlags{}
	limit, asJSON := 0, false
	c := &cobra.Command{
		Use:   "show FILE",
		Short: "Show dead letters whole",
		Long: `Show dead letters whole: who refused the row and why, where it came from, and the row
itself: of a source the record as it came, of a step or sink its row as JSON.

  gorge deadletter show city.yaml
  gorge deadletter show city.yaml --step readings --code type --limit 3`,
		Args: exactly(1, "the pipeline file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 0 {
				return usage(diag.New("cli/flag", "--limit is a number of letters, 0 for all, not %d", limit).WithHint("leave it out for the first 20"))
			}
			l, err := f.open(cmd, args[0])
			if err != nil {
				return err
			}
			return l.show(cmd, f, limit, asJSON)
		},
	}
	f.add(c)
	c.Flags().StringVar(&f.code, "code", "", "only letters with this code")
	c.Flags().IntVarP(&limit, "limit", "n", 20, "most letters to show; 0 shows all")
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line, the payload in base64")
	return c
}

func (l *letters) show(cmd *cobra.Command, f *letterFlags, limit int, asJSON bool) error {
	shown := 0
	out := json.NewEncoder(cmd.OutOrStdout())
	err := l.each(func(x *letter) error {
		if !f.wants(x) {
			return nil
		}
		if limit > 0 && shown == limit {
			return errEnough
		}
		shown++
		if asJSON {
			return out.Encode(x)
		}
		_, err := fmt.Fprint(cmd.OutOrStdout(), x.text())
		return err
	})
	switch {
	case errors.Is(err, errEnough):
		fmt.Fprintf(cmd.ErrOrStderr(), "(the first %d letters, more with --limit 0)\n", shown)
	case err != nil:
		return err
	case shown == 0:
		l.none(cmd, f)
	}
	return nil
}

// text writes a letter for people.
func (x *letter) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, letter %d\n", x.part, x.row)
	for _, field := range [][2]string{
		{"step", x.Step}, {"code", x.Code}, {"reason", x.Reason}, {"column", x.Column},
		{"position", x.Position}, {"detail", x.Detail}, {"payload", string(x.Payload)},
	} {
		if field[1] == "" {
			continue
		}
		lines := strings.Split(strings.TrimRight(field[1], "\n"), "\n")
		for i, line := range lines {
			name := field[0]
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(&b, "  %-8s  %s\n", name, legible(line))
		}
	}
	return b.String() + "\n"
}
