package python

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/agnivade/levenshtein"

	"github.com/gorge-stream/gorge/internal/diag"
	gorgepy "github.com/gorge-stream/gorge/python"
)

// refusal turns a worker's answer that it cannot serve the function into an
// error for a person.
func (p *Pool) refusal(m *message) error {
	name, file := p.spec.Name, p.spec.File
	text := strings.TrimSpace(m.Message)
	switch m.Code {
	case "syntax":
		return diag.New("udf/syntax", "%s is not valid Python: %s", file, text).At(placeOf(m))
	case "module_missing":
		module := ""
		if len(m.Names) > 0 {
			module = m.Names[0]
		}
		return diag.New("udf/module-missing", "%s imports %s, which is not installed", file, module).At(placeOf(m)).
			WithCause(traceback(m)).WithHint("%s -m pip install %s", p.spec.Interpreter, module)
	case "import":
		return diag.New("udf/import", "%s raised %s while it was imported", file, text).At(placeOf(m)).WithCause(traceback(m))
	case "function_missing":
		return p.functionMissing(m)
	case "version":
		return diag.New("udf/version", "function %s has no version %d; %s has %s", name, p.spec.Version, file, strings.Join(m.Names, ", ")).
			WithHint("declare it with @gorge.udf(version=%d), or ask for a version that is there", p.spec.Version)
	case "arity", "signature":
		return diag.New("udf/signature", "%s (%s)", text, file).
			WithHint("the function is called with whole columns, one argument for each expression of the call")
	case "returns":
		return diag.New("udf/returns", "%s (%s)", text, file).
			WithHint("say returns: %s at functions.%s in the pipeline", strings.Join(m.Names, ", "), name)
	case "numpy_missing":
		return diag.New("udf/no-numpy", "function %s needs NumPy, which %s cannot import: %s", name, p.spec.Interpreter, text).
			WithHint("%s -m pip install numpy", p.spec.Interpreter)
	case "file_missing":
		return p.fileMissing()
	}
	return diag.New("udf/protocol", "worker of function %s refused to start: %s", name, text)
}

func (p *Pool) functionMissing(m *message) error {
	e := diag.New("udf/function-missing", "%s has no function %s", p.spec.File, p.spec.Name)
	if near := nearest(p.spec.Name, m.Names); near != "" {
		return e.WithHint("did you mean %s?", near)
	}
	if len(m.Names) == 0 {
		return e.WithHint("the file defines no function; declare one with @gorge.udf")
	}
	return e.WithHint("it has %s", strings.Join(m.Names[:min(len(m.Names), 10)], ", "))
}

// nearest returns the name that was probably meant, or nothing.
func nearest(name string, names []string) string {
	best, distance := "", len(name)/3+2
	for _, n := range names {
		if d := levenshtein.ComputeDistance(strings.ToLower(name), strings.ToLower(n)); d < distance {
			best, distance = n, d
		}
	}
	return best
}

func (p *Pool) fileMissing() error {
	return diag.New("udf/file-missing", "file %s of function %s does not exist", p.spec.File, p.spec.Name).
		WithHint("the path is taken from the folder of the pipeline file")
}

func placeOf(m *message) diag.Place {
	if m.File == "" || m.Line < 1 {
		return diag.Place{}
	}
	place := diag.Place{File: m.File, Line: m.Line, Column: max(m.Column, 1), Width: 1, Source: m.Source}
	if place.Source == "" {
		place.Source = lineOf(m.File, m.Line)
		trimmed := strings.TrimLeft(place.Source, " \t")
		place.Column = len(place.Source) - len(trimmed) + 1
		place.Width = max(len(trimmed), 1)
	}
	return place
}

// lineOf returns a line of a file, or nothing: it only decorates an error.
func lineOf(file string, line int) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	lines := strings.Split(string(b), "\n")
	if line > len(lines) {
		return ""
	}
	return lines[line-1]
}

func traceback(m *message) error {
	if m.Traceback == "" {
		return nil
	}
	return errors.New(strings.TrimSpace(m.Traceback))
}

func (p *Pool) slowStart(reason, err error) error {
	if !errors.Is(reason, context.DeadlineExceeded) {
		return fmt.Errorf("start worker of function %s: %w", p.spec.Name, reason)
	}
	return diag.New("udf/slow-start", "worker of function %s was not ready within %v", p.spec.Name, p.options.StartTimeout).
		WithCause(err).WithHint("%s probably does long work while it is imported: time python -c 'import runpy; runpy.run_path(\"%s\")'", p.spec.File, p.spec.File)
}

func (p *Pool) diedAtStart(end, tail string) error {
	e := diag.New("udf/worker-start", "worker of function %s %s before it was ready", p.spec.Name, end)
	if tail != "" {
		e = e.WithCause(errors.New(tail))
	}
	return e.WithHint("%s %s", p.spec.Interpreter, p.spec.File)
}

// checkHello compares a worker with its engine.
func (p *Pool) checkHello(m *message) error {
	own := gorgepy.Version()
	if m.Type == "hello" && m.Protocol == protocol && m.PackageVersion() == own {
		return nil
	}
	return diag.New("udf/protocol", "worker of function %s has gorge %s and speaks protocol %d, this engine has %s and %d",
		p.spec.Name, m.PackageVersion(), m.Protocol, own, protocol)
}
