package plan

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorge-stream/gorge/internal/agg"
	"github.com/gorge-stream/gorge/internal/expr"
	"github.com/gorge-stream/gorge/internal/spec"
)

// page writes Markdown.
type page struct{ bytes.Buffer }

func (p *page) linef(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// Reference is the reference page of the pipeline file, in Markdown, made from
// the declarations of all its parts.
func Reference(cat *Catalog) []byte {
	p := &page{}
	p.linef("# The pipeline file\n")
	p.linef("<!-- Made from the declarations in the code: do not edit. -->\n")
	p.linef("One YAML file is one pipeline. `gorge check FILE` says what is wrong with it, `gorge plan FILE` shows what will run.")
	p.linef("For editors there is a [JSON Schema](../../api/pipeline.schema.json). Every error is explained in [errors.md](errors.md).\n")
	p.sections()
	p.values()
	p.sources(cat)
	p.formats(cat)
	p.linef("## Functions\n\n%s\n\n```yaml\nfunctions:\n  anomaly_score: {file: udfs/anomaly.py, timeout: 2s, on_error: dead_letter}\n```\n", functionDecl.Summary)
	p.settings(functionDecl.Fields)
	p.steps()
	p.aggregates()
	p.expressions()
	p.sinks(cat)
	p.linef("## How it runs\n")
	for _, d := range []*spec.Decl{checkpointDecl, stateDecl} {
		p.part("The section "+d.Name, d)
	}
	return p.Bytes()
}

func (p *page) sections() {
	p.linef("| section | |\n|---|---|")
	for _, s := range sections {
		required := ""
		if s.required {
			required = " Required."
		}
		p.linef("| `%s` | %s%s |", s.name, s.doc, required)
	}
	p.linef("\nNames of sources, steps and sinks are up to 64 lower-case letters, digits, `_` and `-`, a letter first; no two are equal.")
	p.linef("The file has at most 1 MiB. Anchors, aliases, tags and merge keys are refused, and so are keys that are unknown or written twice.\n")
}

func (p *page) values() {
	p.linef("## Values\n")
	p.linef("| type | written as |\n|---|---|")
	for _, row := range [][2]string{
		{"text", "plain or quoted"},
		{"duration", "numbers with units `ns`, `us`, `ms`, `s`, `m`, `h`, `d`, `w`: `500ms`, `2s`, `1h30m`, `30d`"},
		{"size", "bytes, or a number with a unit `KB`, `MB`, `GB`, `TB` (1000) or `KiB`, `MiB`, `GiB`, `TiB` (1024): `64KiB`"},
		{"list of texts", "`[a, b]`, or a single text"},
		{"expression", "see [Expressions](#expressions); quote it inside `{ }` when it holds a comma, a colon or a bracket"},
		{"schema", "column names and types: `{device_id: string, ts: timestamp_ms, site: string?}`"},
	} {
		p.linef("| %s | %s |", row[0], row[1])
	}
	types := make([]string, len(spec.ColumnTypes))
	for i, t := range spec.ColumnTypes {
		types[i] = "`" + t.Name + "`"
	}
	p.linef("\nThe types of columns are %s. A plain `timestamp` is written as RFC 3339 text, the others as numbers since 1970-01-01T00:00:00Z in seconds, milliseconds, microseconds or nanoseconds.", strings.Join(types, ", "))
	p.linef("Behind any type a `?` says that the value may be null or missing.\n")
	p.linef("`${NAME}` and `${NAME:-default}` in a value are replaced by environment variables, the default taking the place of an unset or empty one; `$$` is a dollar sign.")
	p.linef("What is put in stays text: it cannot add settings. `--set path.to.setting=text` on the command line replaces a value of the file.\n")
}

func (p *page) sources(cat *Catalog) {
	p.linef("## Sources\n\n%s\n", sourceDecl.Summary)
	p.settings(sourceDecl.Fields)
	p.linef("`format` names one of the [formats](#formats), as a word or with settings: `format: {csv: {header: true}}`.\n")
	p.linef("### event_time\n\n%s\n", eventTimeDecl.Summary)
	p.settings(eventTimeDecl.Fields)
	for _, name := range sortedKeys(cat.Sources) {
		s := cat.Sources[name]
		p.part("Source: "+name, s.Decl)
		switch {
		case s.Rows:
			p.linef("It makes rows itself and takes no schema, unless a format is named: then its rows are written in that format and read again.\n")
		case s.DefaultFormat != "":
			p.linef("The format is %s unless another is named.\n", s.DefaultFormat)
		}
	}
}

func (p *page) formats(cat *Catalog) {
	p.linef("## Formats\n")
	p.linef("| format | reads | writes | |\n|---|---|---|---|")
	yes := map[bool]string{true: "yes", false: "no"}
	for _, name := range sortedKeys(cat.Formats) {
		f := cat.Formats[name]
		p.linef("| `%s` | %s | %s | %s |", name, yes[f.Reads], yes[f.Writes], cell(f.Decl.Summary))
	}
	p.linef("")
	for _, name := range sortedKeys(cat.Formats) {
		p.part("Format: "+name, cat.Formats[name].Decl)
	}
}

func (p *page) steps() {
	p.linef("## Steps\n\n%s Its input is `from`: %s\n", stepDecl.Summary, lowerFirst(fieldOf(stepDecl, "from").Doc))
	for _, op := range operations {
		p.linef("### Step: %s\n\n%s\n\n```yaml\nsteps:\n  %s\n```\n", op.key, op.doc, op.example)
		var fields []spec.Field
		for _, key := range append(append([]string{op.key}, op.needs...), op.takes...) {
			f := *fieldOf(stepDecl, key)
			f.Required = key == op.key || f.Required || slices.Contains(op.needs, key)
			fields = append(fields, f)
		}
		p.settings(fields)
		if op.key == "window" {
			for _, f := range windowDecl.Fields {
				p.linef("`window: {%s: ...}`: %s\n", f.Name, f.Doc)
				p.settings(f.Object.Fields)
			}
		}
	}
}

func (p *page) aggregates() {
	p.linef("## Aggregates\n")
	p.linef("| function | in | | example |\n|---|---|---|---|")
	for _, f := range agg.Functions {
		var in []string
		if f.Windowed {
			in = append(in, "window")
		}
		if f.Running {
			in = append(in, "running")
		}
		p.linef("| `%s` | %s | %s | `%s` |", f.Name, strings.Join(in, ", "), cell(f.Doc), f.Example)
	}
	p.linef("")
}

func (p *page) expressions() {
	p.linef("## Expressions\n")
	p.linef("An expression computes a value of each row from its columns. A column whose name is no plain word is written `col(\"odd name\")`. A `?` behind a type says that the result may be null.\n")
	group := ""
	for _, f := range expr.Functions() {
		if f.Group != group {
			group = f.Group
			p.linef("\n### %s\n\n| | arguments and result | | example |\n|---|---|---|---|", group)
		}
		p.linef("| `%s` | %s | %s | `%s` is `%s` |", cell(f.Name), cell("`"+strings.Join(f.Signatures, "`<br>`")+"`"), cell(f.Doc), cell(f.Example), cell(f.Result))
	}
	p.linef("")
}

func (p *page) sinks(cat *Catalog) {
	p.linef("## Sinks\n\n%s\n", sinkDecl.Summary)
	p.settings(sinkDecl.Fields)
	p.linef("### dead_letters\n\n%s\n", deadLettersDecl.Summary)
	for _, name := range cat.offered() {
		s := cat.Sinks[name]
		p.part("Sink: "+name, s.Decl)
		switch {
		case s.DefaultFormat != "":
			p.linef("The format is %s unless another is named.\n", s.DefaultFormat)
		case s.Bytes:
			p.linef("It needs a format.\n")
		}
	}
}

// part describes a connector or format.
func (p *page) part(title string, d *spec.Decl) {
	p.linef("### %s\n\n%s", title, d.Summary)
	if d.Doc != "" {
		p.linef("\n%s", strings.TrimSpace(d.Doc))
	}
	p.linef("")
	if d.Example != "" {
		p.linef("```yaml\n%s\n```\n", strings.TrimSpace(d.Example))
	}
	if d.Short != "" {
		form := "a single value"
		if fieldOf(d, d.Short).Type == spec.Strings {
			form += " or a list"
		}
		p.linef("Written as %s it is `%s`.\n", form, d.Short)
	}
	p.settings(d.Fields)
}

// settings is a table of settings, with tables of nested ones behind it.
func (p *page) settings(fields []spec.Field) {
	if len(fields) == 0 {
		return
	}
	p.linef("| setting | type | default | |\n|---|---|---|---|")
	for i := range fields {
		f := &fields[i]
		def := defaultText(f)
		switch {
		case f.Required:
			def = "required"
		case def != "":
			def = "`" + def + "`"
		}
		p.linef("| `%s` | %s | %s | %s |", f.Name, typeText(f), def, cell(f.Doc+rangeText(f)))
	}
	p.linef("")
	for _, f := range fields {
		if f.Type == spec.Nested && f.Object != eventTimeDecl && f.Object != windowDecl {
			p.linef("Settings of `%s`:\n", f.Name)
			p.settings(f.Object.Fields)
		}
	}
}

var typeNames = map[spec.Type]string{
	spec.String: "text", spec.Int: "whole number", spec.Float: "number", spec.Bool: "`true` or `false`",
	spec.Duration: "duration", spec.Size: "size", spec.Strings: "list of texts", spec.StringMap: "names and texts",
	spec.Nested: "settings", spec.Columns: "schema", spec.Expression: "expression", spec.Secret: "text, never printed",
}

func typeText(f *spec.Field) string {
	if len(f.Values) == 0 {
		return typeNames[f.Type]
	}
	words := "`" + strings.Join(f.Values, "`, `") + "`"
	if f.Type == spec.Duration {
		return "duration, or " + words
	}
	return words
}

// rangeText says the bounds of a setting.
func rangeText(f *spec.Field) string {
	if f.Min == f.Max {
		return ""
	}
	return fmt.Sprintf(" From %s to %s.", boundText(f, f.Min), boundText(f, f.Max))
}

func boundText(f *spec.Field, x float64) string {
	switch f.Type {
	case spec.Duration:
		return formatDuration(time.Duration(x))
	case spec.Size:
		return formatSize(x)
	case spec.Int:
		return strconv.FormatInt(int64(x), 10)
	}
	return strconv.FormatFloat(x, 'g', -1, 64)
}

// defaultText is the default of a setting as a file would write it; empty when there is none.
func defaultText(f *spec.Field) string {
	switch v := f.Default.(type) {
	case nil:
		return ""
	case time.Duration:
		return formatDuration(v)
	case int64:
		return boundText(f, float64(v))
	case []string:
		return strings.Join(v, ", ")
	default:
		return fmt.Sprint(v)
	}
}

// cell makes a text fit into a cell of a table.
func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(s), "\n", " "), "|", `\|`)
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}
