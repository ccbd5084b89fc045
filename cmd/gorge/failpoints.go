package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gorge-stream/gorge/internal/failpoint"
)

// failpointsCmd lists the places at which tests kill the engine: test/faults
// knows by it what the binary can be asked for.
func failpointsCmd() *cobra.Command {
	return &cobra.Command{
		Use:    "failpoints",
		Short:  "List the failpoints of this binary",
		Hidden: true,
		Args:   exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, name := range failpoint.Names() {
				fmt.Fprintln(cmd.OutOrStdout(), name)
			}
			return nil
		},
	}
}
