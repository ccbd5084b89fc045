package plan

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/gorge-stream/gorge/internal/diag"
)

// Limits of the file. A pipeline is written by people: what goes beyond is an
// accident or an attack, and the YAML parser would pay for it.
const (
	maxFile   = 1 << 20 // bytes, before and after substitution
	maxTokens = 200_000
	maxDepth  = 32
)

type yamlKind uint8

const (
	yamlNull yamlKind = iota
	yamlScalar
	yamlMap
	yamlList
)

var yamlKindNames = [...]string{"nothing", "a single value", "a mapping", "a list"}

// yamlValue is a value of the file with the place where it stands. Scalars are
// text: what a text means is decided by the declaration that reads it.
type yamlValue struct {
	kind    yamlKind
	place   diag.Place
	text    string // of a scalar, after substitution
	origin  scalarOrigin
	entries []yamlEntry  // of a mapping, in the order of the file
	items   []*yamlValue // of a list
	written bool         // a null that was written out, not an empty value
}

type yamlEntry struct {
	key   string
	place diag.Place
	value *yamlValue
}

// get returns the value of a key of a mapping, or nil.
func (v *yamlValue) get(key string) *yamlValue {
	for i := range v.entries {
		if v.entries[i].key == key {
			return v.entries[i].value
		}
	}
	return nil
}

// keyPlace returns where a key of a mapping stands, or the mapping when it has no such key.
func (v *yamlValue) keyPlace(key string) diag.Place {
	for _, e := range v.entries {
		if e.key == key {
			return e.place
		}
	}
	return v.place
}

// reader turns the bytes of a file into yamlValues.
type reader struct {
	src  *source
	errs *diag.List
}

// readYAML returns the root of the document, nil when the file cannot be read
// at all. Other mistakes are added to errs and left out of the tree.
func readYAML(file string, data []byte, errs *diag.List) *yamlValue {
	r := &reader{src: newSource(file, string(data)), errs: errs}
	if e := r.checkBytes(data); e != nil {
		errs.Add(e)
		return nil
	}
	f, e := r.parse()
	if e != nil {
		errs.Add(e)
		return nil
	}
	if len(*errs) > 0 {
		return nil
	}
	for _, d := range f.Docs {
		if d.Body != nil {
			return r.convert(d.Body)
		}
	}
	return &yamlValue{place: r.src.place(1, 1, 1)}
}

// checkBytes refuses what is not a text file of reasonable size.
func (r *reader) checkBytes(data []byte) *diag.Error {
	if len(data) > maxFile {
		return diag.New(codeTooLarge, "the file has %d bytes, more than the %d that a pipeline may have", len(data), maxFile).
			At(diag.Place{File: r.src.file, Line: 1, Column: 1}).WithHint("a pipeline file holds settings, not data: use a file source for data")
	}
	for i, line := range r.src.lines {
		if !utf8.ValidString(line) {
			return diag.New(codeSyntax, "the line is not UTF-8 text").At(diag.Place{File: r.src.file, Line: i + 1, Column: 1}).
				WithHint("save the file as UTF-8")
		}
		if c := strings.IndexFunc(line, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }); c >= 0 {
			return diag.New(codeSyntax, "the line has a control character").
				At(diag.Place{File: r.src.file, Line: i + 1, Column: utf8.RuneCountInString(line[:c]) + 1})
		}
	}
	return nil
}

// parse runs the YAML parser over the text. It refuses the constructs that
// Gorge does not take by their tokens, before the parser recurses into them.
func (r *reader) parse() (f *ast.File, bad *diag.Error) {
	defer func() {
		// The parser is not ours; a panic in it must not cost more than this file.
		if p := recover(); p != nil {
			bad = diag.New(codeSyntax, "the file is not valid YAML").At(r.src.place(1, 1, 1)).WithCause(fmt.Errorf("the YAML parser failed: %v", p))
		}
	}()
	tokens := lexer.Tokenize(r.src.text())
	if len(tokens) > maxTokens {
		return nil, diag.New(codeTooLarge, "the file has more than %d words and signs", maxTokens).At(r.src.place(1, 1, 1))
	}
	if e := r.checkTokens(tokens); e != nil {
		return nil, e
	}
	f, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, r.syntaxError(err)
	}
	return f, nil
}

func (r *reader) syntaxError(err error) *diag.Error {
	var se yaml.Error
	if !errors.As(err, &se) {
		return diag.New(codeSyntax, "the file is not valid YAML").At(r.src.place(1, 1, 1))
	}
	e := diag.New(codeSyntax, "the file is not valid YAML: %s", strings.TrimSuffix(se.GetMessage(), "."))
	if t := se.GetToken(); t != nil && t.Position != nil {
		e.At(r.tokenPlace(t))
	} else {
		e.At(r.src.place(1, 1, 1))
	}
	switch {
	case strings.Contains(se.GetMessage(), "cannot start any token") && strings.Contains(e.Place.Source, "\t"):
		e.WithHint("indent with spaces: YAML allows no tabs")
	case strings.Contains(se.GetMessage(), "mapping value is not allowed"):
		e.WithHint("quote a text that holds \": \"")
	case strings.Contains(se.GetMessage(), "must be specified"):
		e.WithHint("inside { } and [ ] quote a text that holds one of , [ ] { }")
	}
	return e
}

// featureNames are the constructs of YAML that make a file hard to read and
// errors hard to place. Gorge needs none of them.
var featureNames = map[token.Type]string{
	token.AnchorType:     "an anchor (&)",
	token.AliasType:      "an alias (*)",
	token.TagType:        "a tag (!)",
	token.MergeKeyType:   "a merge key (<<)",
	token.MappingKeyType: "an explicit key (?)",
	token.DirectiveType:  "a directive (%)",
}

func (r *reader) checkTokens(tokens token.Tokens) *diag.Error {
	depth, dashes, content := 0, 0, false
	for i, t := range tokens {
		if name, ok := featureNames[t.Type]; ok {
			e := diag.New(codeFeature, "the file uses %s, which a pipeline file may not have", name).At(r.tokenPlace(t))
			if t.Type == token.AliasType || t.Type == token.TagType {
				e.WithHint("quote the text if it begins with this sign on purpose")
			} else {
				e.WithHint("write the settings out")
			}
			return e
		}
		dashes++
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.SequenceEntryType:
			if i > 0 && tokens[i-1].Type == token.SequenceEntryType {
				break
			}
			dashes = 0
		case token.DocumentHeaderType:
			if content {
				return diag.New(codeFeature, "the file holds a second document").At(r.tokenPlace(t)).WithHint("write one pipeline per file")
			}
		default:
			content = content || t.Type != token.CommentType
			dashes = 0
		}
		if depth > maxDepth || dashes > maxDepth {
			return diag.New(codeTooLarge, "the file is nested more than %d levels deep", maxDepth).At(r.tokenPlace(t))
		}
	}
	return nil
}

// tokenPlace is where a token begins, underlined to its end on that line.
func (r *reader) tokenPlace(t *token.Token) diag.Place {
	width := utf8.RuneCountInString(t.Value)
	if t.Type == token.SingleQuoteType || t.Type == token.DoubleQuoteType {
		width += 2
	}
	return r.src.place(t.Position.Line, t.Position.Column, width)
}

// convert turns a node of the parser into a yamlValue.
func (r *reader) convert(n ast.Node) *yamlValue {
	switch n := n.(type) {
	case *ast.MappingNode:
		place := r.tokenPlace(n.Start)
		if !n.IsFlowStyle && len(n.Values) > 0 {
			place = r.tokenPlace(n.Values[0].Key.GetToken())
		}
		return r.mapping(place, n.Values)
	case *ast.MappingValueNode:
		return r.mapping(r.tokenPlace(n.Key.GetToken()), []*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		v := &yamlValue{kind: yamlList, place: r.tokenPlace(n.Start)}
		for _, item := range n.Values {
			v.items = append(v.items, r.convert(item))
		}
		return v
	case *ast.NullNode:
		return &yamlValue{place: r.tokenPlace(n.Token), written: n.Token.Type != token.ImplicitNullType}
	case *ast.LiteralNode:
		return r.scalar(n.Start, n.Value.Value)
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return r.scalar(n.GetToken(), n.GetToken().Value)
	}
	place := r.src.place(1, 1, 1)
	if n != nil && n.GetToken() != nil {
		place = r.tokenPlace(n.GetToken())
	}
	r.errs.Add(diag.New(codeSyntax, "a pipeline file cannot hold this here").At(place))
	return &yamlValue{place: place}
}

func (r *reader) scalar(t *token.Token, text string) *yamlValue {
	o := scalarOrigin{src: r.src, yaml: text, line: t.Position.Line, column: t.Position.Column}
	switch t.Type {
	case token.SingleQuoteType:
		o.quote = '\''
		o.column++
	case token.DoubleQuoteType:
		o.quote = '"'
		o.column++
	case token.LiteralType, token.FoldedType:
		o.line++
		o.column = 1
	}
	return &yamlValue{kind: yamlScalar, place: r.tokenPlace(t), text: text, origin: o}
}

func (r *reader) mapping(place diag.Place, values []*ast.MappingValueNode) *yamlValue {
	v := &yamlValue{kind: yamlMap, place: place}
	lines := map[string]int{}
	for _, e := range values {
		t := e.Key.GetToken()
		key, at := t.Value, r.tokenPlace(t)
		if first, twice := lines[key]; twice {
			r.errs.Add(diag.New(codeDuplicateKey, "%q is written twice", clip(key)).At(at).
				WithHint("it is already on line %d: keep one of them", first))
			continue
		}
		lines[key] = at.Line
		v.entries = append(v.entries, yamlEntry{key: key, place: at, value: r.convert(e.Value)})
	}
	return v
}

// clip shortens a text of the user for a sentence.
func clip(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "..."
}
