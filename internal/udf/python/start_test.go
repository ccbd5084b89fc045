package python

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/diag"
)

func TestWhatIsWrongWithAFunctionIsSaidAtOpen(t *testing.T) {
	tests := []struct {
		name    string
		text    string
		spec    Spec
		options Options
		code    diag.Code
		says    []string // in the formatted error
	}{
		{name: "syntax error", text: "def f(x):\n    return x +\n", code: "udf/syntax", says: []string{"functions.py:2:", "return x +", "^"}},
		{name: "missing module", text: "import numpy\nimport no_such_module_anywhere\n", code: "udf/module-missing",
			says: []string{"no_such_module_anywhere", "functions.py:2:", "pip install no_such_module_anywhere", "Traceback"}},
		{name: "exception at import", text: "def g():\n    raise RuntimeError('model is gone')\ng()\n", code: "udf/import",
			says: []string{"RuntimeError: model is gone", "functions.py:2:", "g()"}},
		{name: "exit at import", text: "import sys\nsys.exit(3)\n", code: "udf/import", says: []string{"SystemExit", "functions.py:2:"}},
		{name: "process ends at import", text: "import os, sys\nsys.stderr.write('bad driver\\n')\nos._exit(9)\n", code: "udf/worker-start", says: []string{"exited with code 9", "bad driver"}},
		{name: "crash at import", text: "import ctypes\nctypes.string_at(0)\n", code: "udf/worker-start", says: []string{"signal 11", "functions.py\", line 2"}},
		{name: "slow import", text: "import time\ntime.sleep(60)\n", options: Options{StartTimeout: 400 * time.Millisecond}, code: "udf/slow-start", says: []string{"400ms", "functions.py"}},
		{name: "no such function", text: "def anomaly_score(x): return x\n", spec: Spec{Name: "anomaly_scor"}, code: "udf/function-missing", says: []string{"did you mean anomaly_score?"}},
		{name: "no function at all", text: "x = 1\n", code: "udf/function-missing", says: []string{"@gorge.udf"}},
		{name: "not a function", text: "f = 3\n", code: "udf/function-missing"},
		{name: "too many arguments", text: "def f(a, b): return a\n", code: "udf/signature", says: []string{"f(a, b)", "1 argument"}},
		{name: "async function", text: "async def f(a): return a\n", code: "udf/signature", says: []string{"an async function"}},
		{name: "wrong version", text: "import gorge\n@gorge.udf(version=1)\ndef f(a): return a\n@gorge.udf(name='f', version=3)\ndef g(a): return a\n", spec: Spec{Version: 2},
			code: "udf/version", says: []string{"no version 2", "has 1, 3"}},
		{name: "other results", text: "import gorge\n@gorge.udf(returns='int64')\ndef f(a): return a\n", code: "udf/returns", says: []string{"returns: int64"}},
		{name: "bad declaration", text: "import gorge\n@gorge.udf(returns='double')\ndef f(a): return a\n", code: "udf/import", says: []string{"'double' is no column type", "functions.py:2:"}},
		{name: "missing file", spec: Spec{File: "no/such/file.py"}, code: "udf/file-missing", says: []string{"no/such/file.py"}},
		{name: "no argument", text: "def f(): return 1\n", spec: Spec{Args: []batch.Kind{}}, code: "udf/signature", says: []string{"0 arguments"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			spec := test.spec
			if spec.Name == "" {
				spec.Name = "f"
			}
			if spec.File == "" {
				spec.File = script(t, test.text)
			}
			if spec.Args == nil {
				spec.Args = []batch.Kind{f64}
			}
			spec.Workers = 2
			p, err := openTest(t, spec, test.options)
			if err == nil {
				_ = p.Close()
				t.Fatal("opened")
			}
			var d *diag.Error
			if !errors.As(err, &d) || d.Code != test.code {
				t.Fatalf("got %v, expected code %s", err, test.code)
			}
			text := diag.Format(err)
			for _, s := range test.says {
				if !strings.Contains(text, s) {
					t.Errorf("the error does not say %q:\n%s", s, text)
				}
			}
			for _, s := range []string{"gorge/_worker", "importlib"} {
				if strings.Contains(text, s) {
					t.Errorf("the error shows frames of the worker (%q):\n%s", s, text)
				}
			}
		})
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	needPython(t)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	spec := Spec{Name: "f", File: script(t, "import time\ntime.sleep(60)\n"), Args: []batch.Kind{f64}, Interpreter: interpreter}
	if _, err := Open(ctx, spec, Options{Log: slog.New(slog.DiscardHandler)}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
}

func TestFunctionsAreFoundByDecoratorRegistrationAndName(t *testing.T) {
	file := script(t, `
import gorge, helper
from helper import seven

@gorge.udf
def bare(x): return x + 1

@gorge.udf(version=2)
def versioned(x): return x + 2

@gorge.udf(name="versioned", version=10)
def newest(x): return x + 10

gorge.register("registered", lambda x: x + 3)

def plain(x): return x + 4
`)
	other := "import gorge\n@gorge.udf\ndef elsewhere(x): return x + 5\ndef seven(x): return x + 7\n"
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "helper.py"), []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		version int
		want    float64
		found   int
	}{
		{"bare", 0, 1, 1}, {"versioned", 2, 2, 2}, {"versioned", 0, 10, 10}, {"registered", 1, 3, 1},
		{"plain", 0, 4, 1}, {"plain", 1, 4, 1}, {"elsewhere", 0, 5, 1}, {"seven", 0, 7, 1},
	} {
		p := mustOpen(t, Spec{Name: test.name, Version: test.version, File: file, Args: []batch.Kind{f64}}, Options{})
		args := floats(1, 3, func(_, i int) float64 { return float64(i) })
		r := run(t, p, args)
		if got := r.Batch.Col(0).Float64s()[2]; got != 2+test.want {
			t.Errorf("%s version %d gives %v", test.name, test.version, got)
		}
		if got := p.Signature(); got.Version != test.found || got.Args != 1 || got.Name != test.name {
			t.Errorf("%s version %d: signature %+v", test.name, test.version, got)
		}
		r.Batch.Release()
		args.Release()
		_ = p.Close()
	}
}

func TestFindInterpreterSaysWhyOthersDoNotFit(t *testing.T) {
	needPython(t)
	dir := t.TempDir()
	fake := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	answer := func(implementation, version, numpy, gorge string) string {
		return `echo '{"implementation": "` + implementation + `", "version": ` + version + `, "numpy": "` + numpy + `", "gorge": "` + gorge + `"}'`
	}
	good := answer("cpython", "[3, 12, 1]", "2.1.0", "")
	path := "PATH=" + filepath.Join(dir, "bin")
	fake("bin/python3", good)
	fake("old/bin/python", answer("cpython", "[3, 10, 2]", "1.26", ""))
	tests := []struct {
		name   string
		env    []string
		origin string
		says   string
	}{
		{"path", []string{path}, "PATH", "CPython 3.12.1, NumPy 2.1.0"},
		{"old environment", []string{path, "VIRTUAL_ENV=" + dir + "/old"}, "PATH", "old/bin/python (from VIRTUAL_ENV): it is Python 3.10, 3.11 or newer is needed"},
		{"environment without python", []string{path, "VIRTUAL_ENV=" + dir + "/none"}, "PATH", "there is no such file"},
		{"named", []string{path, "GORGE_PYTHON=" + fake("named", good)}, "GORGE_PYTHON", "named"},
		{"named on path", []string{path, "GORGE_PYTHON=python3"}, "GORGE_PYTHON", "bin/python3"},
		{"named does not exist", []string{path, "GORGE_PYTHON=" + dir + "/nothing"}, "", "there is no such file"},
		{"no numpy", []string{"GORGE_PYTHON=" + fake("bare", answer("cpython", "[3, 11, 0]", "", ""))}, "", "NumPy is not installed"},
		{"other implementation", []string{"GORGE_PYTHON=" + fake("pypy", answer("pypy", "[3, 11, 0]", "2.0", ""))}, "", "it is pypy"},
		{"other gorge", []string{"GORGE_PYTHON=" + fake("other", answer("cpython", "[3, 11, 0]", "2.0", "99.0"))}, "", "gorge 99.0"},
		{"no -P", []string{"GORGE_PYTHON=" + fake("ancient", "echo 'Unknown option: -P' >&2; exit 2")}, "", "older than 3.11"},
		{"fails", []string{"GORGE_PYTHON=" + fake("fails", "echo broken >&2; exit 1")}, "", "broken"},
		{"no python", []string{"GORGE_PYTHON=" + fake("talker", "echo hello")}, "", "it is no Python"},
		{"nothing", []string{"PATH=/nowhere"}, "", "PATH has no python3"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := FindInterpreter(context.Background(), test.env)
			if got.Origin != test.origin || (err != nil) != (test.origin == "") {
				t.Fatalf("got %v, error %v", got, err)
			}
			text := got.String()
			if err != nil {
				text = diag.Format(err)
			}
			if !strings.Contains(text, test.says) {
				t.Errorf("%q is not said:\n%s", test.says, text)
			}
		})
	}
}

func TestFindInterpreterLooksIntoTheWorkingDirectory(t *testing.T) {
	needPython(t)
	t.Chdir(t.TempDir())
	for path, version := range map[string]string{".venv/bin/python": "[3, 12, 2]", "bin/python3": "[3, 12, 1]"} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		text := `echo '{"implementation": "cpython", "version": ` + version + `, "numpy": "2.1.0", "gorge": ""}'`
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	bin, err := filepath.Abs("bin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		env    []string
		origin string
	}{
		{[]string{"PATH=" + bin}, ".venv"},
		{[]string{"PATH=" + bin, "GORGE_PYTHON=python3"}, "GORGE_PYTHON"},
	} {
		if got, err := FindInterpreter(context.Background(), c.env); err != nil || got.Origin != c.origin || !filepath.IsAbs(got.Path) {
			t.Errorf("%q: got %v, error %v", c.env, got, err)
		}
	}
}

func TestWorkerWithoutNumPySaysSo(t *testing.T) {
	needPython(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "numpy.py"), []byte("raise ImportError('No module named numpy')\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := openTest(t, Spec{Name: "f", File: script(t, "def f(x): return x\n"), Args: []batch.Kind{f64}},
		Options{Env: []string{"PATH=" + os.Getenv("PATH"), "PYTHONPATH=" + dir}})
	var d *diag.Error
	if !errors.As(err, &d) || d.Code != "udf/no-numpy" || !strings.Contains(d.Hint, "pip install numpy") {
		t.Fatalf("got %v", err)
	}
}

func TestWorkerSeesNoSecretsOfTheEngine(t *testing.T) {
	p := mustOpen(t, Spec{Name: "f", Returns: []batch.Kind{batch.String}, Args: []batch.Kind{f64}, File: script(t, `
import os
def f(x): return [",".join(sorted(os.environ))] * len(x)
`)}, Options{Env: []string{"PATH=" + os.Getenv("PATH"), "AWS_SECRET_ACCESS_KEY=s", "KAFKA_PASSWORD=p", "UDF_MODEL=m", "LC_ALL=C.UTF-8"}})
	args := floats(1, 1, func(_, _ int) float64 { return 0 })
	defer args.Release()
	r := run(t, p, args)
	defer r.Batch.Release()
	got := r.Batch.Col(0).Text(0)
	for _, name := range []string{"AWS_SECRET_ACCESS_KEY", "KAFKA_PASSWORD"} {
		if strings.Contains(got, name) {
			t.Errorf("the worker sees %s", name)
		}
	}
	for _, name := range []string{"UDF_MODEL", "LC_ALL", "PATH"} {
		if !strings.Contains(got, name) {
			t.Errorf("the worker does not see %s: %s", name, got)
		}
	}
}
