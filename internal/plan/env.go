package plan

import (
	"strings"

	"github.com/gorge-stream/gorge/internal/diag"
)

// substituter replaces ${NAME} and ${NAME:-default} in the scalars of a tree.
// What it puts in is text and stays text: it can add no key, list or mapping.
type substituter struct {
	env  func(string) (string, bool)
	errs *diag.List
	room int // bytes that may still be put in
}

func (s *substituter) walk(v *yamlValue) {
	for _, item := range v.items {
		s.walk(item)
	}
	for _, e := range v.entries {
		s.walk(e.value)
	}
	if v.kind == yamlScalar && v.origin.src != nil && strings.Contains(v.text, "$") {
		s.scalar(v)
	}
}

// scalar substitutes in one value. "$$" is a dollar sign; a "$" before anything
// else than "{" stands for itself.
func (s *substituter) scalar(v *yamlValue) {
	text := v.text
	var b strings.Builder
	var spans []span
	for i := 0; i < len(text); {
		d := strings.IndexByte(text[i:], '$')
		if d < 0 {
			b.WriteString(text[i:])
			break
		}
		b.WriteString(text[i : i+d])
		i += d
		from := b.Len()
		width := 1
		switch {
		case strings.HasPrefix(text[i:], "$$"):
			b.WriteByte('$')
			width = 2
		case strings.HasPrefix(text[i:], "${"):
			value, n, ok := s.variable(v, i)
			if !ok {
				return
			}
			b.WriteString(value)
			width = n
		default:
			b.WriteByte('$')
		}
		spans = append(spans, span{from: from, to: b.Len(), at: i, width: width})
		i += width
	}
	v.text, v.origin.spans = b.String(), spans
}

// variable returns the value of the "${...}" at offset i of v and its width.
func (s *substituter) variable(v *yamlValue, i int) (value string, width int, ok bool) {
	end := strings.IndexByte(v.text[i:], '}')
	if end < 0 {
		s.errs.Add(diag.New(codeVariable, "the \"${\" has no closing \"}\"").At(v.at(i, 2)).WithHint("write $$ for a dollar sign"))
		return "", 0, false
	}
	width = end + 1
	name, def, hasDefault := strings.Cut(v.text[i+2:i+end], ":-")
	if !isIdentifier(name) {
		s.errs.Add(diag.New(codeVariable, "%q is not the name of an environment variable", clip(name)).At(v.at(i, width)).
			WithHint("write ${NAME} or ${NAME:-default}, and $$ for a dollar sign"))
		return "", 0, false
	}
	value, set := "", false
	if s.env != nil {
		value, set = s.env(name)
	}
	switch {
	case hasDefault && value == "":
		value = def
	case !set:
		s.errs.Add(diag.New(codeVariable, "the environment variable %s is not set", clip(name)).At(v.at(i, width)).
			WithHint("set it, or write a default: ${%s:-value}", clip(name)))
		return "", 0, false
	}
	if s.room -= len(value); s.room < 0 {
		s.errs.Add(diag.New(codeTooLarge, "the environment variables put more than %d bytes into the file", maxFile).At(v.at(i, width)))
		return "", 0, false
	}
	return value, width, true
}

// isIdentifier reports whether s is a letter or underscore followed by letters, digits and underscores.
func isIdentifier(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
