package plan

import (
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/spec"
)

// edge is what a source, a sink and the dead-letter output have in common.
type edge struct {
	connector string
	settings  yamlEntry    // of the connector
	format    *yamlValue   // nil when the file names none
	rest      *yamlValue   // the other settings
	set       *spec.Values // rest by its declaration
}

// edge takes the settings of p apart; ok is false when it has no single connector.
func (c *compiler) edge(v *yamlValue, decl *spec.Decl, what string, connectors []string) (x edge, ok bool) {
	if v.kind != yamlMap {
		c.errorf(codeType, v.place, "%s needs settings, not %s", what, yamlKindNames[v.kind]).
			WithHint("write a connector and its settings; connectors are: %s", strings.Join(connectors, ", "))
		return edge{}, false
	}
	rest := *v
	rest.entries = nil
	x.rest = &rest
	known := append(append(connectors[:len(connectors):len(connectors)], "format"), fieldNames(decl)...)
	isConnector := map[string]bool{}
	for _, name := range connectors {
		isConnector[name] = true
	}
	for _, e := range v.entries {
		switch {
		case isConnector[e.key] && x.connector != "":
			c.errorf(codeConnector, e.place, "%s has two connectors, %s and %s", what, x.connector, e.key).
				WithHint("it has exactly one: write another %s for the second", decl.Name)
		case isConnector[e.key]:
			x.connector, x.settings = e.key, e
		case e.key == "format":
			x.format = e.value
		case fieldOf(decl, e.key) == nil:
			c.unknownKey(e, what, known)
		default:
			rest.entries = append(rest.entries, e)
		}
	}
	if x.connector == "" {
		c.errorf(codeConnector, v.place, "%s has no connector", what).WithHint("connectors are: %s", strings.Join(connectors, ", "))
	}
	x.set = c.values(x.rest, decl, what)
	return x, x.connector != ""
}

func sortedKeys[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// connectorSettings reads the settings of the connector; an empty value is no settings.
func (c *compiler) connectorSettings(e yamlEntry, decl *spec.Decl, what string) *spec.Values {
	v := e.value
	if v.kind == yamlNull {
		v = &yamlValue{kind: yamlMap, place: e.place}
	}
	return c.values(v, decl, fmt.Sprintf("%q of %s", e.key, what))
}

// choice is a format as named in the file or by default.
type choice struct {
	name string
	info FormatInfo
	set  *spec.Values
}

// formatOf reads "format: json" or "format: {json: {...}}". An absent one is
// the default of the connector, which may be none. usable filters the formats by direction.
func (c *compiler) formatOf(x edge, def string, usable func(FormatInfo) bool, verb, what string) (f choice, ok bool) {
	names := make([]string, 0, len(c.cat.Formats))
	for _, n := range sortedKeys(c.cat.Formats) {
		if usable(c.cat.Formats[n]) {
			names = append(names, n)
		}
	}
	v := x.format
	place, settings := x.settings.place, (*yamlValue)(nil)
	switch {
	case v == nil || v.kind == yamlNull && v.written:
		f.name = def
	case v.kind == yamlScalar:
		f.name, place = v.text, v.place
	case v.kind == yamlMap && len(v.entries) == 1:
		f.name, place, settings = v.entries[0].key, v.entries[0].place, v.entries[0].value
	default:
		c.errorf(codeFormat, v.place, "the format of %s is a word or a word with settings", what).
			WithHint("write format: %s, or format: {%s: {...}}", names[0], names[0])
		return f, false
	}
	if f.name == "" {
		return f, true
	}
	f.info, ok = c.cat.Formats[f.name]
	switch {
	case !ok:
		c.errorf(codeFormat, place, "there is no format %q", clip(f.name)).WithHint("%s", choices(f.name, names))
		return f, false
	case !usable(f.info):
		c.errorf(codeFormat, place, "the format %s cannot be %s", f.name, verb).WithHint("%s", choices("", names))
		return f, false
	}
	if settings == nil || settings.kind == yamlNull {
		settings = &yamlValue{kind: yamlMap, place: place}
	}
	f.set = c.values(settings, f.info.Decl, fmt.Sprintf("the format %s of %s", f.name, what))
	return f, true
}

// source makes the node of a source with all its columns.
func (c *compiler) source(p *part) *Node {
	before := len(c.found)
	x, ok := c.edge(p.value, sourceDecl, p.String(), sortedKeys(c.cat.Sources))
	var declared []spec.Column
	if v := x.schema(); v != nil {
		declared = c.schema(v, x.set.Pairs("schema"))
	}
	if !ok {
		return nil
	}
	info := c.cat.Sources[x.connector]
	s := &Source{Connector: x.connector}
	s.Set = c.connectorSettings(x.settings, info.Decl, p.String())
	f, ok := c.formatOf(x, info.DefaultFormat, func(f FormatInfo) bool { return f.Reads }, "read", p.String())
	s.Format, s.FormatSet = f.name, f.set
	if ok && f.name == "" && !info.Rows {
		c.errorf(codeFormat, x.settings.place, "%s has no format", p).WithHint("write what its bytes are, for example format: json")
	}
	s.OnBadRecord = BadRecord(indexOf(badRecordNames, x.set.String("on_bad_record")))
	if len(c.found) > before {
		return nil
	}
	if s.Columns, ok = c.columns(p, x, s, info, f.info, declared); !ok {
		return nil
	}
	if check := f.info.CheckRead; check != nil {
		if err := check(s.FormatSet, s.Columns); err != nil {
			c.misfit(err, s.FormatSet.Place(), p.String())
			return nil
		}
	}
	schema := &batch.Schema{Time: -1}
	for _, col := range s.Columns {
		schema.Fields = append(schema.Fields, batch.Field{Name: col.Name, Kind: col.Kind, Nullable: col.Nullable})
	}
	if et := x.set.Object("event_time"); et != nil && !c.eventTime(p, s, et, schema) {
		return nil
	}
	return &Node{Name: p.name, Op: s, Schema: schema, Place: p.place}
}

// schema returns the declared schema when there is one that could be read.
func (x *edge) schema() *yamlValue {
	if x.rest == nil || x.set == nil || !x.set.IsSet("schema") {
		return nil
	}
	return x.rest.get("schema")
}

// columns finds out what the rows of a source look like: the file says it, or
// the format does, or the connector.
func (c *compiler) columns(p *part, x edge, s *Source, info SourceInfo, format FormatInfo, declared []spec.Column) ([]spec.Column, bool) {
	var own []spec.Column
	maker := "the connector " + s.Connector
	switch {
	case s.Format != "" && format.Schema != nil:
		own = format.Schema(s.FormatSet)
		maker = "the format " + s.Format
	case s.Format == "" && info.Schema != nil:
		own = info.Schema(s.Set)
	}
	if declared != nil && own != nil {
		c.errorf(codeSchema, x.schema().place, "%s makes the columns of %s itself", maker, p).WithHint("leave the schema out")
		return nil, false
	}
	switch {
	case own != nil:
		return own, true
	case declared == nil:
		c.errorf(codeSchema, x.settings.place, "%s has no schema", p).
			WithHint("write its columns and types, for example schema: {device_id: string, ts: timestamp_ms, value: float64}")
		return nil, false
	}
	return declared, true
}

// maxColumns bounds the width of a row.
const maxColumns = 4096

// typesElsewhere are the words that other systems have for the types.
var typesElsewhere = map[string]string{
	"boolean": "bool", "bytes": "binary", "date": "timestamp", "datetime": "timestamp", "double": "float64", "float": "float64",
	"int": "int64", "integer": "int64", "long": "int64", "str": "string", "text": "string", "varchar": "string",
}

// schema reads the declared columns; what is wrong with them is left out.
func (c *compiler) schema(v *yamlValue, pairs []spec.Pair) []spec.Column {
	if len(pairs) == 0 || len(pairs) > maxColumns {
		c.errorf(codeSchema, v.place, "a schema has 1 to %d columns, not %d", maxColumns, len(pairs))
	}
	out := make([]spec.Column, 0, len(pairs))
	for _, pair := range pairs {
		if !c.columnName(pair.Key, v, pair.Key) {
			continue
		}
		word, nullable := strings.CutSuffix(pair.Value, "?")
		col := spec.Column{Name: pair.Key, Nullable: nullable}
		names := make([]string, len(spec.ColumnTypes))
		for i, t := range spec.ColumnTypes {
			names[i] = t.Name
			if t.Name == word {
				col.Kind, col.Wire = t.Kind, t.Wire
			}
		}
		if col.Kind == batch.Invalid {
			if here, ok := typesElsewhere[strings.ToLower(word)]; ok {
				word = here
			}
			c.errorf(codeSchema, pair.ValuePlace, "there is no type %q", clip(pair.Value)).WithHint("%s", choices(word, names))
			continue
		}
		out = append(out, col)
	}
	return out
}

// maxColumnName is the longest name of a column in bytes.
const maxColumnName = 128

// columnName checks the name of a new column; it was written as key of v.
func (c *compiler) columnName(name string, v *yamlValue, key string) bool {
	bad := len(name) > maxColumnName || strings.TrimSpace(name) != name || name == "" || !utf8.ValidString(name)
	if bad {
		c.errorf(codeColumn, v.keyPlace(key), "%q cannot be the name of a column", clip(name)).
			WithHint("use 1 to %d characters without spaces around them", maxColumnName)
	}
	return !bad
}

func (c *compiler) eventTime(p *part, s *Source, et *spec.Values, schema *batch.Schema) bool {
	name := et.String("column")
	place := et.PlaceOf("column")
	i := schema.Index(name)
	switch {
	case i < 0:
		c.errorf(codeEventTime, place, "%s has no column %q", p, clip(name)).WithHint("%s", choices(name, schema.Names()))
		return false
	case schema.Fields[i].Kind != batch.Timestamp:
		c.errorf(codeEventTime, place, "the event time cannot be %q, which has the type %s", name, schema.Fields[i].Kind).
			WithHint("declare it as timestamp, or as timestamp_s, timestamp_ms, timestamp_us or timestamp_ns where it is written as a number")
		return false
	case schema.Fields[i].Nullable:
		c.errorf(codeEventTime, place, "the event time cannot be %q, which may be null", name).
			WithHint("leave the \"?\" of its type out: records without a time then are bad records")
		return false
	}
	schema.Time = i
	s.EventTime = EventTime{
		Column: name, MaxDisorder: et.Duration("max_disorder"), IdleAfter: et.Duration("idle_after"), MaxAhead: et.Duration("max_ahead"),
	}
	return true
}
