package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gorge-stream/gorge/internal/query"
)

// maxReasons bounds the different reasons that a list holds.
const maxReasons = 10_000

func deadletterListCmd() *cobra.Command {
	f := &letterFlags{}
	asJSON := false
	c := &cobra.Command{
		Use:   "list FILE",
		Short: "Count the dead letters by who refused them and why",
		Long: `Count the dead letters by source, step or sink, code and reason, with the place
in the input of the first and the last, where there is one.

  gorge deadletter list city.yaml
  gorge deadletter list city.yaml --step readings --json`,
		Args: exactly(1, "the pipeline file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := f.open(cmd, args[0])
			if err != nil {
				return err
			}
			reasons, err := l.reasons(f)
			if err != nil {
				return err
			}
			if len(reasons) == 0 {
				l.none(cmd, f)
				return nil
			}
			if asJSON {
				out := json.NewEncoder(cmd.OutOrStdout())
				for _, r := range reasons {
					if err := out.Encode(r); err != nil {
						return err
					}
				}
				return nil
			}
			out := query.NewColumns(cmd.OutOrStdout(), []string{"step", "code", "letters", "reason", "first", "last"})
			for _, r := range reasons {
				if err := out.Row([]string{r.Step, r.Code, strconv.Itoa(r.Letters), r.Reason, ending(r.First), ending(r.Last)}); err != nil {
					return err
				}
			}
			return out.End()
		},
	}
	f.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return c
}

// reason is the letters with one step, code and reason.
type reason struct {
	Step    string `json:"step"`
	Code    string `json:"code"`
	Reason  string `json:"reason"`
	Letters int    `json:"letters"`
	First   string `json:"first,omitempty"`
	Last    string `json:"last,omitempty"`
}

// reasons counts the letters.
func (l *letters) reasons(f *letterFlags) ([]*reason, error) {
	type key struct{ step, code, reason string }
	found := map[key]*reason{}
	err := l.each(func(x *letter) error {
		if !f.wants(x) {
			return nil
		}
		k := key{x.Step, x.Code, x.Reason}
		if found[k] == nil && len(found) >= maxReasons {
			k.reason = "(further reasons)"
		}
		r := found[k]
		if r == nil {
			r = &reason{Step: k.step, Code: k.code, Reason: k.reason, First: x.Position}
			found[k] = r
		}
		r.Letters++
		r.Last = x.Position
		return nil
	})
	var out []*reason
	for _, r := range found {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b *reason) int {
		return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(a.Code, b.Code), cmp.Compare(b.Letters, a.Letters), cmp.Compare(a.Reason, b.Reason))
	})
	if err != nil {
		return nil, fmt.Errorf("count the dead letters: %w", err)
	}
	return out, nil
}

// ending returns the end of a place: that is where the line is.
func ending(place string) string {
	const most = 40
	runes := []rune(place)
	if len(runes) <= most {
		return place
	}
	return "…" + string(runes[len(runes)-most+1:])
}
