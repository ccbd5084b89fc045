package plan

import (
	"fmt"
	"sort"
	"strings"

	"github.com/gorge-stream/gorge/internal/diag"
)

// Options are what comes from outside the file.
type Options struct {
	// Env looks up the environment variables of ${NAME}; nil: none is set.
	Env func(name string) (string, bool)
	// Set are overrides "path.to.setting=text", applied in order before anything is checked.
	Set []string
	// Checkpoint replaces the interval of checkpoints, or switches them off: "1s" or "off"; empty: as the file says.
	Checkpoint string
}

// Compile checks the pipeline file src and makes a plan of it. file is its name
// for messages. The error is a diag.List of everything that is wrong, in the
// order of the file. Warnings are about pipelines that run, but perhaps not as meant.
func Compile(file string, src []byte, cat *Catalog, opts Options) (*Plan, []*diag.Error, error) {
	c := &compiler{cat: cat, parts: map[string]*part{}, functions: map[string]*Function{}, plan: &Plan{}}
	c.errs = &c.found
	root := readYAML(file, src, c.errs)
	if root == nil {
		return nil, nil, c.result()
	}
	for i, flag := range opts.Set {
		if e := override(root, i, flag); e != nil {
			c.found.Add(e)
		}
	}
	if opts.Checkpoint != "" && root.kind == yamlMap {
		replaceCheckpoint(root, opts.Checkpoint)
	}
	s := &substituter{env: opts.Env, errs: c.errs, room: maxFile}
	s.walk(root)
	if len(c.found) > 0 {
		return nil, nil, c.result()
	}
	c.file(root)
	if len(c.found) == 0 {
		c.finish()
	}
	if err := c.result(); err != nil {
		return nil, inOrder(c.warnings), err
	}
	return c.plan, inOrder(c.warnings), nil
}

// compiler carries one Compile.
type compiler struct {
	decoder   // adds to found
	found     diag.List
	warnings  diag.List
	cat       *Catalog
	parts     map[string]*part // sources, steps and sinks by name
	functions map[string]*Function
	plan      *Plan
	dead      *Sink // of the section dead_letters, nil when the file has none
	deadPlace diag.Place
}

func (c *compiler) warnf(code diag.Code, p diag.Place, format string, args ...any) *diag.Error {
	e := diag.New(code, format, args...).At(p)
	c.warnings.Add(e)
	return e
}

// maxErrors is how many errors are told at once: nobody mends more in one go.
const maxErrors = 100

func (c *compiler) result() error {
	l := inOrder(c.found)
	if more := len(l) - maxErrors; more > 0 {
		last := diag.New(codeTooLarge, "there are %d more errors", more).At(l[maxErrors].Place)
		l = append(l[:maxErrors:maxErrors], last)
	}
	return l.Err()
}

// inOrder sorts by place, what has no place in the file (flags) first, so that
// people fix a file from top to bottom.
func inOrder(l diag.List) diag.List {
	flag := func(e *diag.Error) bool { return strings.HasPrefix(e.Place.File, "--") }
	sort.SliceStable(l, func(i, j int) bool {
		a, b := l[i], l[j]
		switch {
		case flag(a) != flag(b):
			return flag(a)
		case a.Place.Line != b.Place.Line:
			return a.Place.Line < b.Place.Line
		}
		return a.Place.Column < b.Place.Column
	})
	return l
}

type partKind uint8

const (
	partSource partKind = iota
	partStep
	partSink
)

var partWords = [...]string{"source", "step", "sink"}

// part is a named source, step or sink of the file on its way to a node.
type part struct {
	kind  partKind
	name  string
	place diag.Place // of the name
	value *yamlValue
	state uint8 // of the walk along "from"
	node  *Node // nil until built, and when something is wrong with it
}

func (p *part) String() string { return fmt.Sprintf("the %s %s", partWords[p.kind], p.name) }

// The states of a part.
const (
	partNew uint8 = iota
	partOpen
	partDone
)

// file reads the whole tree: first the names, then each part with what it reads.
func (c *compiler) file(root *yamlValue) {
	if root.kind != yamlMap {
		sentence := "a pipeline file is a mapping, not " + yamlKindNames[root.kind]
		if root.kind == yamlNull {
			sentence = "the file is empty"
		}
		c.errorf(codeType, root.place, "%s", sentence).WithHint("start with \"name: my-pipeline\", or run: gorge new")
		return
	}
	var all []*part
	for _, e := range root.entries {
		s := sectionOf(e.key)
		switch {
		case s == nil:
			c.unknownKey(e, "the pipeline", sectionNames())
		case e.value.kind == yamlNull:
			if s.required {
				c.errorf(codeMissing, e.place, "%q has no value", e.key).WithHint("%s: %s", s.name, firstSentence(s.doc))
			}
		case s.name == "name":
			c.pipelineName(e.value)
		case s.name == "functions":
			c.eachMember(e, func(m yamlEntry) { c.function(m) })
		case s.many:
			kind := map[string]partKind{"sources": partSource, "steps": partStep, "sinks": partSink}[s.name]
			c.eachMember(e, func(m yamlEntry) { all = append(all, c.declare(kind, m)) })
		}
	}
	for _, s := range sections {
		if s.required && root.get(s.name) == nil {
			c.errorf(codeMissing, root.place, "the pipeline has no %q", s.name).WithHint("%s: %s", s.name, firstSentence(s.doc))
		}
	}
	if len(all) > maxParts {
		c.errorf(codeTooLarge, all[maxParts].place, "the pipeline has %d sources, steps and sinks, more than %d", len(all), maxParts).
			WithHint("split it into several pipelines")
		return
	}
	for _, p := range all {
		c.build(p)
	}
	c.runSettings(root)
	if v := root.get(DeadLetters); v != nil && v.kind != yamlNull {
		c.deadLetters(v)
	}
}

func sectionOf(name string) *section {
	for i := range sections {
		if sections[i].name == name {
			return &sections[i]
		}
	}
	return nil
}

func sectionNames() []string {
	out := make([]string, len(sections))
	for i, s := range sections {
		out[i] = s.name
	}
	return out
}

func (c *compiler) pipelineName(v *yamlValue) {
	switch {
	case v.kind != yamlScalar:
		c.errorf(codeType, v.place, "\"name\" is a text, not %s", yamlKindNames[v.kind])
	case !isName(v.text):
		c.errorf(codeName, v.place, "%q cannot be the name of a pipeline", clip(v.text)).WithHint("%s", nameHint(v.text))
	default:
		c.plan.Name = v.text
	}
}

func (c *compiler) eachMember(e yamlEntry, do func(yamlEntry)) {
	if e.value.kind != yamlMap {
		c.errorf(codeType, e.value.place, "%q is a mapping of names, not %s", e.key, yamlKindNames[e.value.kind]).
			WithHint("write %s: {some_name: {...}}", e.key)
		return
	}
	for _, m := range e.value.entries {
		do(m)
	}
}

// declare enters a part under its name.
func (c *compiler) declare(kind partKind, e yamlEntry) *part {
	p := &part{kind: kind, name: e.key, place: e.place, value: e.value}
	if !isName(e.key) {
		c.errorf(codeName, e.place, "%q cannot be the name of a %s", clip(e.key), partWords[kind]).WithHint("%s", nameHint(e.key))
	}
	if e.key == DeadLetters {
		c.errorf(codeName, e.place, "%q cannot be the name of a %s: the engine has a sink of that name", e.key, partWords[kind]).
			WithHint("the section %s says where refused rows go; a %s that takes some of them has a name of its own", DeadLetters, partWords[kind])
	}
	if other := c.parts[e.key]; other != nil {
		c.errorf(codeName, e.place, "%q is already the name of a %s", clip(e.key), partWords[other.kind]).
			WithHint("sources, steps and sinks share their names: the other one is on line %d", other.place.Line)
		return p
	}
	c.parts[e.key] = p
	return p
}

const maxName = 64

// isName reports whether s is [a-z][a-z0-9_-]*, at most 64 characters.
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (i == 0 || (c < '0' || c > '9') && c != '_' && c != '-') {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

// nameHint proposes a name near to s.
func nameHint(s string) string {
	fixed := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(s))
	fixed = strings.TrimLeft(fixed, "-_0123456789")
	if isName(fixed) {
		return fmt.Sprintf("use lower-case letters, digits, \"_\" and \"-\", for example %q", fixed)
	}
	return "use up to 64 lower-case letters, digits, \"_\" and \"-\", a letter first"
}

// maxParts bounds the graph. A part costs tasks, queues and metrics.
const maxParts = 1000

// build makes the node of a part and of what it reads; nil when something is wrong with it.
func (c *compiler) build(p *part) *Node {
	if p.state != partNew {
		return p.node
	}
	p.state = partOpen
	switch p.kind {
	case partSource:
		p.node = c.source(p)
	case partStep:
		p.node = c.step(p)
	case partSink:
		p.node = c.sink(p)
	}
	p.state = partDone
	if p.node != nil {
		c.plan.Nodes = append(c.plan.Nodes, p.node)
	}
	return p.node
}

// finish optimises the typed graph and lays it out.
func (c *compiler) finish() {
	c.dropUnread()
	c.addDeadLetters()
	c.guarantees()
	if len(c.found) > 0 {
		return
	}
	c.filesThatNeverAppear()
	pushFilters(c.plan)
	prune(c.plan)
	addEncoders(c.plan)
	layOut(c.plan)
}

// function reads a member of the functions section.
func (c *compiler) function(e yamlEntry) {
	before := len(c.found)
	set := c.values(e.value, functionDecl, "the function "+clip(e.key))
	if !isIdentifier(e.key) {
		c.errorf(codeName, e.place, "%q cannot be the name of a function", clip(e.key)).
			WithHint("use letters, digits and \"_\", a letter first, as in Python")
	}
	f := &Function{
		Name: e.key, File: set.String("file"), Version: int(set.Int("version")), Workers: int(set.Int("workers")),
		Timeout: set.Duration("timeout"), OnError: OnError(indexOf(onErrorNames, set.String("on_error"))),
		Default: functionDefault(set), Place: e.place,
	}
	if set.IsSet("default") && f.OnError != ErrorDefault {
		c.errorf(codeFunction, set.PlaceOf("default"), "the default of %s is never used: on_error is %s", f.Name, set.String("on_error")).
			WithHint("write on_error: default, or leave the default out")
	}
	f.Returns = returnKinds(set.Strings("returns"))
	if set.IsSet("default") && !fitsDefault(f.Default, f.Returns) {
		c.errorf(codeFunction, set.PlaceOf("default"), "the default of %s does not fit what it returns", f.Name).
			WithHint("a default is a number, for int64 a whole one; leave it out to get null")
	}
	if len(f.Returns) == 0 && len(c.found) == before {
		c.errorf(codeFunction, set.PlaceOf("returns"), "the function %s returns nothing", f.Name).WithHint("write the types of its results, for example returns: float64")
	}
	// A function with mistakes is known by name all the same, so that its calls are not refused for it.
	c.functions[e.key] = f
	c.plan.Functions = append(c.plan.Functions, *f)
}

func indexOf(names []string, name string) int {
	for i, n := range names {
		if n == name {
			return i
		}
	}
	return 0
}

// placeOf returns where a setting stands, or where its part begins.
func placeOf(v *yamlValue, key string, or diag.Place) diag.Place {
	if x := v.get(key); x != nil {
		return x.place
	}
	return or
}
