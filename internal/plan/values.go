package plan

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"

	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

// decoder reads parts of the tree by their declarations and collects what is wrong.
type decoder struct{ errs *diag.List }

func (d *decoder) errorf(code diag.Code, p diag.Place, format string, args ...any) *diag.Error {
	e := diag.New(code, format, args...).At(p)
	d.errs.Add(e)
	return e
}

// values reads the settings of decl. what names the part in sentences: "the
// source readings". It returns what could be read also when something is wrong.
func (d *decoder) values(v *yamlValue, decl *spec.Decl, what string) *spec.Values {
	set := map[string]spec.Value{}
	short := isShort(v, decl)
	switch {
	case v.kind == yamlMap:
		d.fields(v, decl, what, set)
	case short:
		f := fieldOf(decl, decl.Short)
		if x, ok := d.field(v, f, what); ok {
			set[f.Name] = spec.Value{V: x, Place: v.place, Set: true}
		}
	case v.kind != yamlNull || v.written:
		e := d.errorf(codeType, v.place, "%s needs settings, not %s", what, yamlKindNames[v.kind])
		if len(decl.Fields) > 0 {
			e.WithHint("write {%s: ...}; its settings are: %s", decl.Fields[0].Name, strings.Join(fieldNames(decl), ", "))
		}
		return spec.NewValues(decl, v.place, set)
	}
	for _, f := range decl.Fields {
		if f.Required && !(short && f.Name == decl.Short) && v.get(f.Name) == nil {
			d.errorf(codeMissing, v.place, "%s has no %q", what, f.Name).WithHint("%s: %s", f.Name, firstSentence(f.Doc))
		}
	}
	return spec.NewValues(decl, v.place, set)
}

// isShort reports whether v stands for the one field that the part has a short
// form of: a single value, or a list where the field is one.
func isShort(v *yamlValue, decl *spec.Decl) bool {
	if decl.Short == "" {
		return false
	}
	return v.kind == yamlScalar || v.kind == yamlList && fieldOf(decl, decl.Short).Type == spec.Strings
}

func (d *decoder) fields(v *yamlValue, decl *spec.Decl, what string, set map[string]spec.Value) {
	for _, e := range v.entries {
		f := fieldOf(decl, e.key)
		if f == nil {
			d.unknownKey(e, what, fieldNames(decl))
			continue
		}
		if e.value.kind == yamlNull {
			if !e.value.written || f.Required {
				d.errorf(codeMissing, e.place, "%q has no value", e.key).WithHint("%s: %s", f.Name, firstSentence(f.Doc))
			}
			continue
		}
		if x, ok := d.field(e.value, f, what); ok {
			set[f.Name] = spec.Value{V: x, Place: e.value.place, Set: true}
		}
	}
}

// field reads one setting; ok is false when an error was added.
func (d *decoder) field(v *yamlValue, f *spec.Field, what string) (x any, ok bool) {
	switch f.Type {
	case spec.Nested:
		before := len(*d.errs)
		nested := d.values(v, f.Object, fmt.Sprintf("%q of %s", f.Name, what))
		return nested, len(*d.errs) == before
	case spec.StringMap, spec.Columns:
		return d.pairs(v, f)
	case spec.Strings:
		return d.strings(v, f)
	}
	if v.kind != yamlScalar {
		e := d.errorf(codeType, v.place, "%q is %s, not %s", f.Name, typeWords[f.Type], yamlKindNames[v.kind])
		if f.Name == "from" && v.kind == yamlList {
			e.WithHint("name one source or step: several inputs come with the union step, which this version does not have")
		}
		return nil, false
	}
	return d.scalar(v, f)
}

var typeWords = map[spec.Type]string{
	spec.String: "a text", spec.Int: "a whole number", spec.Float: "a number", spec.Bool: "true or false",
	spec.Duration: "a duration", spec.Size: "a size", spec.Enum: "a word", spec.Strings: "a text or a list of texts",
	spec.StringMap: "a mapping of names to texts", spec.Nested: "a mapping of settings", spec.Columns: "a mapping of column names to types",
	spec.Expression: "an expression", spec.Secret: "a text",
}

func (d *decoder) scalar(v *yamlValue, f *spec.Field) (any, bool) {
	wrong := func(hint string) (any, bool) {
		d.errorf(codeType, v.place, "%q is %s, not %q", f.Name, typeWords[f.Type], clip(v.text)).WithHint("%s", hint)
		return nil, false
	}
	switch f.Type {
	case spec.Int:
		n, err := strconv.ParseInt(v.text, 10, 64)
		if err != nil {
			return wrong("write a whole number, for example 8")
		}
		return n, d.inRange(v, f, float64(n))
	case spec.Float:
		n, err := strconv.ParseFloat(v.text, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return wrong("write a number, for example 0.5")
		}
		return n, d.inRange(v, f, n)
	case spec.Bool:
		if v.text != "true" && v.text != "false" {
			return wrong("write true or false")
		}
		return v.text == "true", true
	case spec.Duration:
		if slices.Contains(f.Values, v.text) {
			return v.text, true
		}
		n, err := parseDuration(v.text)
		if err != nil && len(f.Values) > 0 {
			err = fmt.Errorf("%w; or write %s", err, strings.Join(f.Values, ", "))
		}
		if err != nil {
			return wrong(err.Error())
		}
		return n, d.inRange(v, f, float64(n))
	case spec.Size:
		n, err := parseSize(v.text)
		if err != nil {
			return wrong(err.Error())
		}
		return n, d.inRange(v, f, float64(n))
	case spec.Enum:
		if !slices.Contains(f.Values, v.text) {
			d.errorf(codeWord, v.place, "%q cannot be %q", f.Name, clip(v.text)).WithHint("%s", choices(v.text, f.Values))
			return nil, false
		}
	}
	return v.text, true
}

func formatSize(x float64) string {
	for _, u := range []struct {
		name string
		unit float64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if x >= u.unit && math.Mod(x, u.unit) == 0 {
			return strconv.FormatFloat(x/u.unit, 'f', -1, 64) + u.name
		}
	}
	return strconv.FormatFloat(x, 'f', -1, 64)
}

func (d *decoder) inRange(v *yamlValue, f *spec.Field, x float64) bool {
	if f.Min == f.Max || x >= f.Min && x <= f.Max {
		return true
	}
	d.errorf(codeRange, v.place, "%q is %s, outside %s to %s", f.Name, clip(v.text), boundText(f, f.Min), boundText(f, f.Max))
	return false
}

func (d *decoder) strings(v *yamlValue, f *spec.Field) (any, bool) {
	if v.kind == yamlScalar {
		v = &yamlValue{kind: yamlList, items: []*yamlValue{v}}
	}
	if v.kind != yamlList {
		d.errorf(codeType, v.place, "%q is %s, not %s", f.Name, typeWords[f.Type], yamlKindNames[v.kind])
		return nil, false
	}
	out := make([]string, 0, len(v.items))
	ok := true
	for _, item := range v.items {
		switch {
		case item.kind != yamlScalar:
			d.errorf(codeType, item.place, "%q is a list of texts, but this is %s", f.Name, yamlKindNames[item.kind])
			ok = false
		case len(f.Values) > 0 && !slices.Contains(f.Values, item.text):
			d.errorf(codeWord, item.place, "%q cannot hold %q", f.Name, clip(item.text)).WithHint("%s", choices(item.text, f.Values))
			ok = false
		default:
			out = append(out, item.text)
		}
	}
	return out, ok
}

func (d *decoder) pairs(v *yamlValue, f *spec.Field) (any, bool) {
	if v.kind != yamlMap {
		d.errorf(codeType, v.place, "%q is %s, not %s", f.Name, typeWords[f.Type], yamlKindNames[v.kind])
		return nil, false
	}
	out := make([]spec.Pair, 0, len(v.entries))
	ok := true
	for _, e := range v.entries {
		switch {
		case e.value.kind == yamlNull:
			d.errorf(codeMissing, e.place, "%q has no value", clip(e.key))
			ok = false
		case e.value.kind != yamlScalar:
			d.errorf(codeType, e.value.place, "%q takes a text here, not %s", clip(e.key), yamlKindNames[e.value.kind])
			ok = false
		default:
			out = append(out, spec.Pair{Key: e.key, Value: e.value.text, KeyPlace: e.place, ValuePlace: e.value.place})
		}
	}
	return out, ok
}

// unknownKey refuses a key and names what may have been meant.
func (d *decoder) unknownKey(e yamlEntry, what string, known []string) {
	if s, ok := notYet[e.key]; ok {
		d.errorf(codeUnknownKey, e.place, "%s cannot have %q yet", what, e.key).WithHint("%s", s)
		return
	}
	d.errorf(codeUnknownKey, e.place, "%s has no setting %q", what, clip(e.key)).WithHint("%s", choices(e.key, known))
}

// notYet are words that are planned; people who read about them deserve more than "unknown".
var notYet = map[string]string{
	"dedupe":  "this version has no dedupe step",
	"union":   "this version has no union: give each input a step of its own",
	"join":    "this version has no join",
	"expand":  "this version has no expand step",
	"sliding": "this version has tumbling windows only",
	"session": "this version has tumbling windows only",
	"count":   "this version has tumbling windows only",
}

// choices is the hint for a word that is not among the known ones.
func choices(word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(known) == 0 {
		return "there is nothing to choose from"
	}
	return "possible are: " + strings.Join(known, ", ")
}

// nearest returns the known word with the fewest typing mistakes, or the only
// one that is longer or shorter at its end; "" when there is none.
func nearest(word string, known []string) string {
	if len(word) > 64 {
		return ""
	}
	var same []string
	for _, k := range known {
		if min(len(k), len(word)) >= 3 && (strings.HasPrefix(k, word) || strings.HasPrefix(word, k)) {
			same = append(same, k)
		}
	}
	if len(same) == 1 {
		return same[0]
	}
	best, least := "", 1+max(1, len(word)/3)
	for _, k := range known {
		if len(k)-len(word) >= least || len(word)-len(k) >= least {
			continue
		}
		if n := levenshtein.ComputeDistance(strings.ToLower(word), strings.ToLower(k)); n < least {
			best, least = k, n
		}
	}
	return best
}

func fieldOf(decl *spec.Decl, name string) *spec.Field {
	for i := range decl.Fields {
		if decl.Fields[i].Name == name {
			return &decl.Fields[i]
		}
	}
	return nil
}

func fieldNames(decl *spec.Decl) []string {
	out := make([]string, len(decl.Fields))
	for i, f := range decl.Fields {
		out[i] = f.Name
	}
	return out
}

// firstSentence cuts a doc text behind its first sentence, for hints.
func firstSentence(doc string) string {
	s, _, _ := strings.Cut(doc, ". ")
	return strings.TrimSuffix(s, ".")
}
