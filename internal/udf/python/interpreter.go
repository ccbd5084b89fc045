package python

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gorge-stream/gorge/internal/diag"
	gorgepy "github.com/gorge-stream/gorge/python"
)

// Interpreter is a Python that fits.
type Interpreter struct {
	Path    string // of the executable
	Version string // "3.11.7"
	NumPy   string // its version
	Origin  string // how it was found: "GORGE_PYTHON", "VIRTUAL_ENV", "PATH"
	Passed  []Unfit
}

// Unfit is an interpreter that was looked at first and does not fit.
type Unfit struct {
	Path, Origin, Why string
}

// String says which one was taken and why not another.
func (i Interpreter) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (CPython %s, NumPy %s, from %s)", i.Path, i.Version, i.NumPy, i.Origin)
	for _, u := range i.Passed {
		fmt.Fprintf(&b, "; not %s (from %s): %s", u.Path, u.Origin, u.Why)
	}
	return b.String()
}

const probeTimeout = 20 * time.Second

// probe asks an interpreter for what decides. It imports nothing heavy.
const probe = `
import json, sys
def version(name):
    try:
        from importlib.metadata import version
        return version(name)
    except Exception:
        return ""
print(json.dumps({
    "implementation": sys.implementation.name,
    "version": list(sys.version_info[:3]),
    "numpy": version("numpy"),
    "gorge": version("gorge"),
}))`

type probed struct {
	Implementation string `json:"implementation"`
	Version        [3]int `json:"version"`
	NumPy          string `json:"numpy"`
	Gorge          string `json:"gorge"`
}

// FindInterpreter looks for a Python to run functions with, in an environment as
// os.Environ returns it: the one that GORGE_PYTHON names and no other when it is
// set, else that of the active virtual environment, else that of the environment
// .venv in the working directory, else python3 of PATH. The first that fits is
// taken; the error names all and what is wrong with each.
func FindInterpreter(ctx context.Context, env []string) (Interpreter, error) {
	var found Interpreter
	for _, c := range candidates(env) {
		p, why := examine(ctx, c.Path, env)
		if why == "" {
			found.Path, found.Origin = c.Path, c.Origin
			found.Version = fmt.Sprintf("%d.%d.%d", p.Version[0], p.Version[1], p.Version[2])
			found.NumPy = p.NumPy
			return found, nil
		}
		if ctx.Err() != nil {
			return Interpreter{}, fmt.Errorf("look for a Python interpreter: %w", ctx.Err())
		}
		found.Passed = append(found.Passed, Unfit{c.Path, c.Origin, why})
	}
	return Interpreter{}, noInterpreter(found.Passed)
}

func noInterpreter(unfit []Unfit) error {
	e := diag.New("udf/no-interpreter", "no Python that can run functions was found").
		WithHint("python3 -m venv .venv && .venv/bin/pip install numpy && export GORGE_PYTHON=$PWD/.venv/bin/python")
	var why []string
	for _, u := range unfit {
		why = append(why, fmt.Sprintf("%s (from %s): %s", u.Path, u.Origin, u.Why))
	}
	if len(why) == 0 {
		why = []string{"GORGE_PYTHON and VIRTUAL_ENV are not set, there is no .venv here and PATH has no python3"}
	}
	return e.WithCause(fmt.Errorf("%s", strings.Join(why, "\n")))
}

func candidates(env []string) []Unfit {
	if p := lookup(env, "GORGE_PYTHON"); p != "" {
		if !strings.ContainsRune(p, filepath.Separator) {
			if found := onPath(env, p); found != "" {
				p = found
			}
		}
		return []Unfit{{Path: p, Origin: "GORGE_PYTHON"}}
	}
	var out []Unfit
	if v := lookup(env, "VIRTUAL_ENV"); v != "" {
		out = append(out, Unfit{Path: filepath.Join(v, "bin", "python"), Origin: "VIRTUAL_ENV"})
	}
	if p, err := filepath.Abs(filepath.Join(".venv", "bin", "python")); err == nil {
		if _, err := os.Stat(p); err == nil {
			out = append(out, Unfit{Path: p, Origin: ".venv"})
		}
	}
	if p := onPath(env, "python3"); p != "" {
		out = append(out, Unfit{Path: p, Origin: "PATH"})
	}
	return out
}

func lookup(env []string, name string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(env[i], name+"="); ok {
			return v
		}
	}
	return ""
}

func onPath(env []string, name string) string {
	for _, dir := range filepath.SplitList(lookup(env, "PATH")) {
		p := filepath.Join(dir, name)
		if info, err := os.Stat(p); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return p
		}
	}
	return ""
}

// examine runs the probe and says why an interpreter does not fit, or nothing.
func examine(ctx context.Context, path string, env []string) (probed, string) {
	var p probed
	if _, err := os.Stat(path); err != nil {
		return p, "there is no such file"
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "-P", "-c", probe)
	cmd.Env = environment(env)
	cmd.WaitDelay = time.Second
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	switch {
	case ctx.Err() != nil:
		return p, fmt.Sprintf("it gave no answer within %v", probeTimeout)
	case err != nil && strings.Contains(stderr.String(), "-P"):
		return p, "it is older than 3.11"
	case err != nil:
		return p, fmt.Sprintf("it does not run: %v: %.200s", err, strings.TrimSpace(stderr.String()))
	}
	if err := json.Unmarshal(out, &p); err != nil {
		return p, fmt.Sprintf("it is no Python: it printed %.60q", out)
	}
	return p, p.unfit()
}

func (p *probed) unfit() string {
	switch own := gorgepy.Version(); {
	case p.Implementation != "cpython":
		return fmt.Sprintf("it is %s, not CPython", p.Implementation)
	case p.Version[0] != 3 || p.Version[1] < 11:
		return fmt.Sprintf("it is Python %d.%d, 3.11 or newer is needed", p.Version[0], p.Version[1])
	case p.Gorge != "" && p.Gorge != own:
		return fmt.Sprintf("it has the package gorge %s, this engine needs %s (pip install gorge==%s)", p.Gorge, own, own)
	case p.NumPy == "":
		return "NumPy is not installed in it"
	}
	return ""
}
