package plan

import (
	"strings"
	"unicode/utf8"

	"github.com/gorge-stream/gorge/internal/diag"
)

// override applies one --set flag, "a.b.c=text", to the tree. The text is a
// scalar as it stands: it is neither YAML nor subject to substitution.
func override(root *yamlValue, index int, flag string) *diag.Error {
	place := func(from, to int) diag.Place {
		return diag.Place{
			File: "--set", Line: index + 1, Column: utf8.RuneCountInString(flag[:from]) + 1,
			Width: max(1, utf8.RuneCountInString(flag[from:to])), Source: flag,
		}
	}
	bad := func(p diag.Place, format string, args ...any) *diag.Error {
		return diag.New(codeSet, format, args...).At(p).WithHint("write --set path.to.setting=value, for example --set sources.readings.event_time.max_disorder=5s")
	}
	if !utf8.ValidString(flag) || len(flag) > maxFile || strings.ContainsAny(flag, "\x00\n\r") {
		return bad(diag.Place{File: "--set", Line: index + 1, Column: 1}, "the flag is not one line of text")
	}
	path, text, ok := strings.Cut(flag, "=")
	if !ok {
		return bad(place(0, len(flag)), "the flag has no \"=\"")
	}
	if strings.Count(path, ".") >= maxDepth {
		return bad(place(0, len(path)), "the path has too many parts")
	}
	at, v := 0, root
	for {
		key, rest, more := strings.Cut(path[at:], ".")
		p := place(at, at+len(key))
		if key == "" {
			return bad(p, "the path has an empty part")
		}
		if v.kind == yamlNull {
			*v = yamlValue{kind: yamlMap, place: p}
		}
		if v.kind != yamlMap {
			return bad(p, "%q cannot be set inside %s", clip(key), yamlKindNames[v.kind])
		}
		next := v.get(key)
		if next == nil {
			next = &yamlValue{place: p}
			v.entries = append(v.entries, yamlEntry{key: key, place: p, value: next})
		}
		v = next
		if !more {
			break
		}
		at = len(path) - len(rest)
	}
	*v = yamlValue{kind: yamlScalar, text: text, place: place(len(path)+1, len(flag))}
	return nil
}
