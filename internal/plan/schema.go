package plan

import (
	"encoding/json"
	"regexp"
	"strings"

	"github.com/gorge-stream/gorge/internal/spec"
)

// object is a piece of JSON Schema; encoding/json writes its keys in order.
type object = map[string]any

// JSONSchema describes the pipeline file in JSON Schema (draft 2020-12) for
// editors. It knows the shape of the file; names, types of expressions and
// guarantees are left to Compile.
func JSONSchema(cat *Catalog) ([]byte, error) {
	defs := object{
		"name":     object{"type": "string", "pattern": "^[a-z][a-z0-9_-]{0,63}$"},
		"text":     object{"type": []string{"string", "number", "boolean"}},
		"variable": object{"type": "string", "pattern": `\$\{`, "description": "A text with a ${NAME} or ${NAME:-default}."},
	}
	format := func(usable func(FormatInfo) bool) object {
		words := []string{}
		settings := object{}
		for _, name := range sortedKeys(cat.Formats) {
			if f := cat.Formats[name]; usable(f) {
				words = append(words, name)
				settings[name] = ref("format." + name)
				defs["format."+name] = declSchema(f.Decl)
			}
		}
		return anyOf(object{"enum": words}, ref("variable"), object{
			"type": "object", "properties": settings, "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
		})
	}
	sources, sinks := map[string]*spec.Decl{}, map[string]*spec.Decl{}
	for name, s := range cat.Sources {
		sources[name] = s.Decl
	}
	for _, name := range cat.offered() {
		sinks[name] = cat.Sinks[name].Decl
	}
	defs["source"] = edgeSchema(sourceDecl, sources, format(func(f FormatInfo) bool { return f.Reads }), defs)
	defs["sink"] = edgeSchema(sinkDecl, sinks, format(func(f FormatInfo) bool { return f.Writes }), defs)
	defs["dead_letters"] = edgeSchema(deadLettersDecl, sinks, format(func(f FormatInfo) bool { return f.Writes }), defs)
	defs["checkpoint"] = declSchema(checkpointDecl)
	defs["state"] = declSchema(stateDecl)
	defs["step"] = stepSchema()
	defs["function"] = declSchema(functionDecl)
	out := pipelineSchema()
	out["$defs"] = defs
	b, err := json.MarshalIndent(out, "", "  ")
	return append(b, '\n'), err
}

// pipelineSchema is the top of the file.
func pipelineSchema() object {
	properties, required := object{}, []string{}
	for _, s := range sections {
		p := ref("name")
		switch {
		case s.many && s.name == "functions":
			p = object{"type": "object", "additionalProperties": ref("function"), "propertyNames": object{"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}}
		case s.many:
			p = object{"type": "object", "additionalProperties": ref(strings.TrimSuffix(s.name, "s")), "propertyNames": ref("name")}
		case s.decl != nil:
			p = ref(s.name)
		}
		p["description"] = s.doc
		if s.required {
			required = append(required, s.name)
		} else {
			p = orNull(p)
		}
		properties[s.name] = p
	}
	return object{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Gorge pipeline",
		"description": "A pipeline file of Gorge, made from the declarations of the engine.",
		"type":        "object", "properties": properties, "required": required, "additionalProperties": false,
	}
}

func ref(name string) object { return object{"$ref": "#/$defs/" + name} }

func anyOf(list ...object) object { return object{"anyOf": list} }

// orNull allows a setting to be written without a value, which is as if it were absent.
func orNull(o object) object {
	doc := o["description"]
	delete(o, "description")
	out := anyOf(o, object{"type": "null"})
	if doc != nil {
		out["description"] = doc
	}
	return out
}

// edgeSchema is a source or sink: its own settings and exactly one connector.
func edgeSchema(own *spec.Decl, connectors map[string]*spec.Decl, format, defs object) object {
	out := declSchema(own)
	properties := out["properties"].(object)
	properties["format"] = format
	var one []object
	for _, name := range sortedKeys(connectors) {
		def := own.Name + "." + name
		if own == deadLettersDecl {
			def = sinkDecl.Name + "." + name
		}
		defs[def] = declSchema(connectors[name])
		properties[name] = orNull(ref(def))
		one = append(one, object{"required": []string{name}})
	}
	out["oneOf"] = one
	return out
}

// stepSchema is a step: one operation with the settings that go with it.
func stepSchema() object {
	var one []object
	for _, op := range operations {
		properties := object{}
		required := append([]string{"from", op.key}, op.needs...)
		for _, name := range append(required, op.takes...) {
			properties[name] = fieldSchema(fieldOf(stepDecl, name))
		}
		one = append(one, object{
			"type": "object", "properties": properties, "required": required, "additionalProperties": false, "description": op.doc,
		})
	}
	return object{"description": stepDecl.Summary, "oneOf": one}
}

// declSchema is the settings of one part as a mapping, or as a scalar where that is allowed.
func declSchema(d *spec.Decl) object {
	properties := object{}
	var required []string
	for i := range d.Fields {
		f := &d.Fields[i]
		s := fieldSchema(f)
		if f.Required {
			required = append(required, f.Name)
		} else {
			s = orNull(s)
		}
		properties[f.Name] = s
	}
	out := object{"type": "object", "properties": properties, "additionalProperties": false, "description": d.Summary}
	if len(required) > 0 {
		out["required"] = required
	}
	if d.Short != "" {
		delete(out, "description")
		out = anyOf(out, fieldSchema(fieldOf(d, d.Short)))
		out["description"] = d.Summary
	}
	return out
}

var columnTypePattern = func() string {
	names := make([]string, len(spec.ColumnTypes))
	for i, t := range spec.ColumnTypes {
		names[i] = regexp.QuoteMeta(t.Name)
	}
	return `^(` + strings.Join(names, "|") + `)\??$`
}()

const (
	durationPattern = `^(-?([0-9.]+(ns|us|ms|s|m|h|d|w))+|0)$`
	sizePattern     = `^[0-9.]+ *([kKmMgGtT][iI]?)?[bB]?$`
)

// fieldSchema is the values that one setting takes.
func fieldSchema(f *spec.Field) object {
	var out object
	bounds := func(o object) object {
		if f.Min != f.Max {
			o["minimum"], o["maximum"] = f.Min, f.Max
		}
		return o
	}
	switch f.Type {
	case spec.Int:
		out = anyOf(bounds(object{"type": "integer"}), ref("variable"))
	case spec.Float:
		out = anyOf(bounds(object{"type": "number"}), ref("variable"))
	case spec.Bool:
		out = anyOf(object{"type": "boolean"}, ref("variable"))
	case spec.Duration:
		out = anyOf(object{"type": "string", "pattern": durationPattern}, object{"const": 0}, ref("variable"))
		if len(f.Values) > 0 {
			out = anyOf(object{"type": "string", "pattern": durationPattern}, object{"enum": f.Values}, ref("variable"))
		}
	case spec.Size:
		out = anyOf(bounds(object{"type": "integer"}), object{"type": "string", "pattern": sizePattern}, ref("variable"))
	case spec.Enum:
		out = anyOf(object{"enum": f.Values}, ref("variable"))
	case spec.Strings:
		item := ref("text")
		if len(f.Values) > 0 {
			item = anyOf(object{"enum": f.Values}, ref("variable"))
		}
		out = anyOf(item, object{"type": "array", "items": item})
	case spec.StringMap:
		out = object{"type": "object", "additionalProperties": ref("text")}
	case spec.Columns:
		out = object{"type": "object", "additionalProperties": anyOf(object{"type": "string", "pattern": columnTypePattern}, ref("variable"))}
	case spec.Nested:
		out = declSchema(f.Object)
	default:
		out = ref("text")
	}
	if f.Doc != "" {
		out["description"] = f.Doc
	}
	if f.Default != nil && f.Type != spec.Secret {
		out["default"] = defaultValue(f)
	}
	return out
}

// defaultValue is the default of a setting as a file would write it.
func defaultValue(f *spec.Field) any {
	switch f.Type {
	case spec.Duration, spec.Size:
		return defaultText(f)
	}
	return f.Default
}
