// Package spec is how a connector, codec, step or other part of the pipeline
// file declares its settings: once. The parser, the checks, the JSON Schema in
// api/ and the reference page all come from the declaration.
//
// It holds declarations and parsed values; it reads no file and knows no YAML.
package spec

import (
	"maps"
	"time"

	"github.com/gorge-stream/gorge/internal/diag"
)

// Type is the type of a setting.
type Type uint8

// The types of settings. In the file durations are written with a unit ("500ms",
// "2s", "1h30m", "30d"), sizes with a unit ("64KiB", "10MB") or as plain bytes.
const (
	String     Type = iota // text
	Int                    // whole number, 64 bits
	Float                  // number
	Bool                   // true or false
	Duration               // time.Duration
	Size                   // bytes, as int64
	Enum                   // one of Field.Values
	Strings                // list of text; a single text is a list of one
	StringMap              // text to text, in the order of the file
	Nested                 // nested settings, declared by Field.Object
	Columns                // schema: column name to type name, in the order of the file
	Expression             // an expression over columns, type-checked by the plan
	Secret                 // text that is never printed
)

// Field declares one setting.
type Field struct {
	Name     string
	Type     Type
	Required bool
	// Default is the value when the setting is absent, of the Go type that
	// Values returns for Type; nil means the zero value.
	Default any
	// Values are the allowed words of an Enum, the texts of Strings if not all are, and
	// the words that a Duration may be instead: Values.String returns such a word.
	Values []string
	// Object declares the settings of a Nested field.
	Object *Decl
	// Min and Max bound Int, Float, Duration (as nanoseconds) and Size, both included; equal means unbounded.
	Min, Max float64
	// Doc is one or two sentences for the reference page.
	Doc string
}

// Decl declares the settings of one part.
type Decl struct {
	// Name is the word in the file: "http", "json", "tumbling".
	Name string
	// Summary is one sentence for lists.
	Summary string
	// Doc is the rest of the description, Markdown, may be empty.
	Doc string
	// Fields are the settings in the order of the reference page.
	Fields []Field
	// Short is the name of the field that takes the value when the part is
	// written as a scalar, as in "tumbling: 10s"; empty when that is not allowed.
	Short string
	// Example is a snippet of YAML that passes gorge check within a pipeline; tests run it.
	Example string
}

// Values are the parsed and checked settings of one part, defaults filled in.
type Values struct {
	decl   *Decl
	place  diag.Place
	byName map[string]Value
}

// Value is one setting with the place where it was written.
type Value struct {
	V     any
	Place diag.Place
	Set   bool // written in the file, not a default
}

// Pair is one entry of a StringMap or Columns.
type Pair struct {
	Key, Value           string
	KeyPlace, ValuePlace diag.Place
}

// NewValues makes the values of decl; absent fields take their defaults.
func NewValues(decl *Decl, place diag.Place, set map[string]Value) *Values {
	v := &Values{decl: decl, place: place, byName: set}
	if v.byName == nil {
		v.byName = map[string]Value{}
	}
	for _, f := range decl.Fields {
		if _, ok := v.byName[f.Name]; !ok && f.Default != nil {
			v.byName[f.Name] = Value{V: f.Default, Place: place}
		}
	}
	return v
}

// Decl returns the declaration.
func (v *Values) Decl() *Decl { return v.decl }

// Place returns where the part stands in the file.
func (v *Values) Place() diag.Place { return v.place }

// PlaceOf returns where the setting stands, or the place of the part when it was not written.
func (v *Values) PlaceOf(name string) diag.Place {
	if x, ok := v.byName[name]; ok {
		return x.Place
	}
	return v.place
}

// IsSet reports whether the file gives the setting.
func (v *Values) IsSet(name string) bool { return v.byName[name].Set }

// With returns the values with another one in the place of one.
func (v *Values) With(name string, value any) *Values {
	out := &Values{decl: v.decl, place: v.place, byName: maps.Clone(v.byName)}
	out.byName[name] = Value{V: value, Place: v.PlaceOf(name), Set: true}
	return out
}

func get[T any](v *Values, name string) T {
	x, _ := v.byName[name].V.(T)
	return x
}

// String returns a String, Enum, Expression or Secret setting, or the word of a Duration.
func (v *Values) String(name string) string { return get[string](v, name) }

// Int returns an Int or Size setting.
func (v *Values) Int(name string) int64 { return get[int64](v, name) }

// Float returns a Float setting.
func (v *Values) Float(name string) float64 { return get[float64](v, name) }

// Bool returns a Bool setting.
func (v *Values) Bool(name string) bool { return get[bool](v, name) }

// Duration returns a Duration setting, 0 when it is a word.
func (v *Values) Duration(name string) time.Duration { return get[time.Duration](v, name) }

// Strings returns a Strings setting.
func (v *Values) Strings(name string) []string { return get[[]string](v, name) }

// Pairs returns a StringMap or Columns setting in the order of the file.
func (v *Values) Pairs(name string) []Pair { return get[[]Pair](v, name) }

// Object returns a nested setting, or nil when it is absent.
func (v *Values) Object(name string) *Values { return get[*Values](v, name) }
