package faults

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Engine is a binary under test, and what its lives are started with.
type Engine struct {
	Path   string
	Python string   // an interpreter with NumPy; "" when there is none
	Env    []string // added to the environment of each life
	// Patience is for how long a life may take for anything; 0 for the default.
	Patience time.Duration
}

func (e *Engine) patience() time.Duration { return cmp.Or(e.Patience, defaultPatience) }

// Build builds the engine from the tree into dir; tags is "" or "seeded".
func Build(root, dir, tags string) (string, error) {
	path := filepath.Join(dir, "gorge")
	args := []string{"build", "-trimpath", "-o", path}
	if tags != "" {
		args = append(args, "-tags", tags)
	}
	cmd := exec.Command("go", append(args, "./cmd/gorge")...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}

// Points returns the names of the failpoints of the binary.
func (e *Engine) Points() ([]string, error) {
	out, err := e.command("failpoints").Output()
	if err != nil {
		return nil, fmt.Errorf("gorge failpoints: %w", err)
	}
	return strings.Fields(string(out)), nil
}

func (e *Engine) command(args ...string) *exec.Cmd {
	cmd := exec.Command(e.Path, args...)
	cmd.Env = append(os.Environ(), e.Env...)
	if e.Python != "" {
		cmd.Env = append(cmd.Env, "GORGE_PYTHON="+e.Python)
	}
	return cmd
}

// output runs a command of the engine and returns what it printed.
func (e *Engine) output(args ...string) ([]byte, error) {
	var errs bytes.Buffer
	cmd := e.command(args...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gorge %s: %w", strings.Join(args, " "), err), errors.New(errs.String()))
	}
	return out, nil
}
