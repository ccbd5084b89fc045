package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/test/engine"
)

const good = `
name: copy
sources:
  in: {file: in.ndjson, schema: {a: int64, b: string}}
sinks:
  out: {from: in, file: out.ndjson}
`

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		name, pipeline, input string
		args                  []string
		code                  int
		stderr                []string
	}{
		{name: "done", pipeline: good, input: `{"a":1,"b":"x"}` + "\n", args: []string{"run", "p.yaml"}, code: 0, stderr: []string{"done:"}},
		{name: "version", args: []string{"version"}, code: 0},
		{name: "no input file", pipeline: good, args: []string{"run", "p.yaml"}, code: 1, stderr: []string{"in.ndjson"}},
		{name: "a bad record stops the job", pipeline: strings.Replace(good, "b: string}", "b: string}, on_bad_record: fail", 1), input: "{\"a\":1,\"b\":\"x\"}\n{\"a\":\n", args: []string{"run", "p.yaml"}, code: 1, stderr: []string{"in.ndjson", "line 2"}},
		{name: "unknown flag", pipeline: good, args: []string{"run", "--no-such-flag", "p.yaml"}, code: 2, stderr: []string{"no-such-flag", "hint:"}},
		{name: "unknown command", args: []string{"rum"}, code: 2, stderr: []string{"rum", "hint:"}},
		{name: "no pipeline file", args: []string{"run", "p.yaml"}, code: 2, stderr: []string{"p.yaml"}},
		{
			name: "misspelt setting", pipeline: strings.Replace(good, "from: in", "form: in", 1), args: []string{"run", "p.yaml"}, code: 3,
			stderr: []string{"p.yaml:6:9", "out: {form: in, file: out.ndjson}", "^", "hint:", "from"},
		},
		{
			name: "unknown column and unknown source in one go", pipeline: good + "  more: {from: im, file: more.ndjson}\nsteps:\n  s: {from: in, where: \"c > 1\"}\n",
			args: []string{"check", "p.yaml"}, code: 3, stderr: []string{"p.yaml:7:16", "p.yaml:9:25", "^"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if c.pipeline != "" {
				write(t, dir, "p.yaml", c.pipeline)
			}
			if c.input != "" {
				write(t, dir, "in.ndjson", c.input)
			}
			if c.args[0] == "run" {
				c.args = append(c.args, "--http", "off")
			}
			r := engine.Run(t, engine.Command{Args: c.args, Dir: dir})
			if r.Code != c.code {
				t.Errorf("exit code %d, want %d\n%s", r.Code, c.code, r.Stderr)
			}
			for _, s := range c.stderr {
				if !strings.Contains(r.Stderr, s) {
					t.Errorf("%q is not in\n%s", s, r.Stderr)
				}
			}
		})
	}
}

func TestBadRecordsCostOnlyThemselves(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "in.ndjson", `{"a":1,"b":"x"}
{"a":"one","b":"x"}
{"a":2,"b":"y"
{"a":3}
{"a":4,"b":"z","more":[1,{"c":null}]}
`)
	file := write(t, dir, "p.yaml", good+"dead_letters: {file: dead.ndjson}\n")
	r := success(t, engine.Command{Args: []string{"run", file, "--http", "off"}, Dir: dir})
	if got := read(t, filepath.Join(dir, "out.ndjson")); got != "{\"a\":1,\"b\":\"x\"}\n{\"a\":4,\"b\":\"z\"}\n" {
		t.Errorf("out:\n%s", got)
	}
	dead := engine.Lines(read(t, filepath.Join(dir, "dead.ndjson")))
	if len(dead) != 3 {
		t.Fatalf("%d dead letters, want 3:\n%s", len(dead), strings.Join(dead, "\n"))
	}
	for i, line := range []string{"line 2", "line 3", "line 4"} {
		if !strings.Contains(dead[i], "in.ndjson") || !strings.Contains(dead[i], line) {
			t.Errorf("dead letter %d does not name %s of in.ndjson: %s", i, line, dead[i])
		}
	}
	wantSummary(t, r.Stderr, map[string]int64{"rows in": 2, "out": 2, "dead letters": 3})
}
