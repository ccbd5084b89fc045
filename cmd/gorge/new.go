package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gorge-stream/gorge/internal/diag"
)

// starter is the pipeline that gorge new writes.
//
//go:embed starter.yaml
var starter string

// starterName is the name of the pipeline in starter.
const starterName = "my-pipeline"

var pipelineName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)

func newCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "new [NAME]",
		Short: "Write a first pipeline that runs with nothing else installed",
		Long:  "Write NAME.yaml (default " + starterName + ".yaml), a pipeline with comments that runs as it is. An existing file is never overwritten.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return exactly(1, "at most one name")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			name := starterName
			if len(args) == 1 {
				name = strings.TrimSuffix(args[0], ".yaml")
			}
			file, err := writeStarter(name)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "wrote %s\nnow run it: gorge run %s\n", file, file)
			return nil
		},
	}
}

// writeStarter writes the starter under a name into the working directory.
func writeStarter(name string) (file string, err error) {
	if !pipelineName.MatchString(name) {
		return "", usage(diag.New("cli/name", "%q cannot be the name of a pipeline", name).
			WithHint("use up to 64 lower-case letters, digits, \"_\" and \"-\", a letter first, for example gorge new city-sensors"))
	}
	file = name + ".yaml"
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return "", usage(diag.New("cli/exists", "%s is there already", file).WithHint("choose another name: gorge new NAME"))
	}
	if err != nil {
		return "", fmt.Errorf("write the pipeline: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.WriteString(strings.ReplaceAll(starter, starterName, name))
	return file, err
}
