package plan

import (
	"strings"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

// stepPart is a step while its node is made.
type stepPart struct {
	*part
	set   *spec.Values
	input Ref
	// schema is the schema of the input, nil when the input is not known: then
	// only what does not depend on it is checked.
	schema *batch.Schema
}

// key returns the value of a setting in the file; it is there.
func (s *stepPart) key(name string) *yamlValue { return s.value.get(name) }

// step makes the node of a step.
func (c *compiler) step(p *part) *Node {
	before := len(c.found)
	s := &stepPart{part: p, set: c.values(p.value, stepDecl, p.String())}
	settingsOK := len(c.found) == before
	op := c.operation(s)
	var known bool
	s.input, s.schema, known = c.input(p)
	if op == nil || !settingsOK {
		return nil
	}
	n := &Node{Name: p.name, Inputs: []Ref{s.input}, Place: p.place}
	before = len(c.found) // what is wrong with the input was said there
	switch op.key {
	case "where":
		c.filterStep(s, n)
	case "select":
		c.selectStep(s, n)
	case "window":
		c.windowStep(s, n)
	case "running":
		c.runningStep(s, n)
	case "call":
		c.callStep(s, n)
	}
	if !known || len(c.found) > before {
		return nil
	}
	return n
}

// operation finds the one operation of a step; nil when there is not exactly one.
func (c *compiler) operation(s *stepPart) *operation {
	if s.value.kind != yamlMap {
		return nil
	}
	var found *operation
	var keys []string
	for i := range operations {
		op := &operations[i]
		keys = append(keys, op.key)
		if s.key(op.key) == nil {
			continue
		}
		if found != nil {
			c.errorf(codeOperation, s.keyPlace(op.key), "%s has two operations, %s and %s", s, found.key, op.key).
				WithHint("a step does one thing: write a second step that reads this one")
			return nil
		}
		found = op
	}
	if found == nil {
		e := c.errorf(codeOperation, s.place, "%s has no operation", s)
		if s.key("aggregate") != nil {
			e.WithHint("aggregate needs a window, for example window: {tumbling: 10s}")
		} else {
			e.WithHint("write one of %s", strings.Join(keys, ", "))
		}
		return nil
	}
	return c.companions(s, found)
}

// companions checks the settings that go with the operation.
func (c *compiler) companions(s *stepPart, found *operation) *operation {
	ok := true
	mine := map[string]bool{found.key: true, "from": true}
	for _, need := range found.needs {
		mine[need] = true
		if s.key(need) == nil {
			c.errorf(codeMissing, s.keyPlace(found.key), "%s has a %s without %q", s, found.key, need).
				WithHint("%s: %s", need, firstSentence(fieldOf(stepDecl, need).Doc))
			ok = false
		}
	}
	for _, take := range found.takes {
		mine[take] = true
	}
	for _, e := range s.value.entries {
		if fieldOf(stepDecl, e.key) != nil && !mine[e.key] {
			c.errorf(codeOperation, e.place, "%s cannot have %q: it does not go with %s", s, e.key, found.key).
				WithHint("%s", goesWith(e.key))
			ok = false
		}
	}
	if !ok {
		return nil
	}
	return found
}

func goesWith(key string) string {
	var with []string
	for _, op := range operations {
		for _, k := range append(append([]string{}, op.needs...), op.takes...) {
			if k == key {
				with = append(with, op.key)
			}
		}
	}
	return key + " goes with " + strings.Join(with, " and ")
}

// keyPlace returns where the name of a setting stands.
func (s *stepPart) keyPlace(key string) diag.Place { return s.value.keyPlace(key) }

// keys checks the key columns against the input.
func (c *compiler) keys(s *stepPart) []string {
	names := s.set.Strings("key_by")
	v := s.key("key_by")
	seen := map[string]bool{}
	for i, name := range names {
		place := v.place
		if v.kind == yamlList {
			place = v.items[i].place
		}
		if seen[name] {
			c.errorf(codeColumn, place, "%s names the key column %q twice", s, clip(name))
		}
		seen[name] = true
		if s.schema == nil {
			continue
		}
		switch at := visible(s.schema).Index(name); {
		case at < 0:
			c.noColumn(s, name, place)
		case isFloat(visible(s.schema).Fields[at].Kind):
			c.errorf(codeColumn, place, "%s cannot have the key %q, which has the type %s", s, name, visible(s.schema).Fields[at].Kind).
				WithHint("numbers with a fraction are rarely equal: round it in a select step first, for example int(%s)", name)
		}
	}
	if v != nil && len(names) == 0 {
		c.errorf(codeColumn, v.place, "%s has an empty key", s).WithHint("leave key_by out: all rows then belong together")
	}
	return names
}

func isFloat(k batch.Kind) bool { return k == batch.Float32 || k == batch.Float64 }

func (c *compiler) noColumn(s *stepPart, name string, place diag.Place) {
	c.errorf(codeColumn, place, "the input of %s has no column %q", s, clip(name)).WithHint("%s", choices(name, s.schema.Names()))
}

// newColumn checks the name of a column that the step adds or makes. taken are
// the columns that the result has besides, by what they are.
func (c *compiler) newColumn(s *stepPart, setting, key, name string, taken map[string]string) {
	v := s.key(setting)
	if !c.columnName(name, v, key) {
		return
	}
	if what, ok := taken[name]; ok {
		c.errorf(codeColumn, v.keyPlace(key), "%s has two columns %q: it is also %s", s, clip(name), what).WithHint("give this one another name")
	}
	taken[name] = "the column of another entry"
}
