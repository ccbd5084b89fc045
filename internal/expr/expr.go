package expr

import (
	"slices"
	"strconv"
	"strings"

	"github.com/gorge-stream/gorge/internal/batch"
)

// Expr is a parsed expression. It is constant after construction and may be shared.
type Expr struct {
	form  form
	name  string  // of a column, function or operator
	value any     // of a literal
	args  []*Expr // of a call, operator or list
	text  string  // as written; empty where only the tree is known
	// Characters of the parsed source that an error underlines.
	offset, width int
}

// form is the shape of an expression.
type form uint8

const (
	formLiteral  form = iota
	formColumn        // a column by name
	formCall          // f(a, b) as written
	formOperator      // what is written with an operator; name is the function behind it
	formList          // [a, b], only on the right of "in"
)

// Type is the type of an expression's values.
type Type struct {
	Kind     batch.Kind
	Nullable bool
}

// String returns the name of the kind, with "?" behind it when values may be null.
func (t Type) String() string {
	if t.Nullable {
		return t.Kind.String() + "?"
	}
	return t.Kind.String()
}

// Source returns the text of the expression: as written where it was written,
// else (after Substitute) printed from the tree. It parses to an equal expression.
func (e *Expr) Source() string {
	if e.text != "" {
		return e.text
	}
	return e.String()
}

// Columns returns the names of the columns that e reads, each once, in order of appearance.
func (e *Expr) Columns() []string {
	var out []string
	seen := map[string]bool{}
	e.walk(map[*Expr]bool{}, func(x *Expr) {
		if x.form == formColumn && !seen[x.name] {
			seen[x.name] = true
			out = append(out, x.name)
		}
	})
	return out
}

// walk visits every node once: Substitute makes trees that share parts, and
// written out such a tree can be far larger than it is.
func (e *Expr) walk(done map[*Expr]bool, f func(*Expr)) {
	if done[e] {
		return
	}
	done[e] = true
	f(e)
	for _, a := range e.args {
		a.walk(done, f)
	}
}

// Call returns name and arguments when e is a function call such as
// "avg(temperature)", known to this package or not; not when e is written with
// an operator. Offsets in errors about an argument count from the start of the whole source.
func (e *Expr) Call() (name string, args []*Expr, ok bool) {
	if e.form != formCall {
		return "", nil, false
	}
	return e.name, e.args, true
}

// IsColumn returns the name when e is a bare column reference.
func (e *Expr) IsColumn() (name string, ok bool) {
	if e.form != formColumn {
		return "", false
	}
	return e.name, true
}

// Literal returns the value when e is a literal: int64, float64, string, bool, or nil for null.
func (e *Expr) Literal() (v any, ok bool) {
	if e.form != formLiteral {
		return nil, false
	}
	return e.value, true
}

// Place returns the first character and the number of characters of the source
// that stand for e in an error: the name of a column or function, a literal, an operator.
func (e *Expr) Place() (offset, width int) { return e.offset, e.width }

// Substitute returns e with every column of the map replaced by the expression
// it maps to. It moves a filter in front of the step that makes its columns. The
// expressions are shared, not copied.
func (e *Expr) Substitute(by map[string]*Expr) *Expr {
	return e.substitute(by, map[*Expr]*Expr{})
}

func (e *Expr) substitute(by map[string]*Expr, done map[*Expr]*Expr) *Expr {
	if to, ok := done[e]; ok {
		return to
	}
	to := e.replaced(by, done)
	done[e] = to
	return to
}

func (e *Expr) replaced(by map[string]*Expr, done map[*Expr]*Expr) *Expr {
	if e.form == formColumn {
		if to, ok := by[e.name]; ok {
			return to
		}
		return e
	}
	var args []*Expr
	for i, a := range e.args {
		b := a.substitute(by, done)
		if b != a && args == nil {
			args = slices.Clone(e.args)
		}
		if args != nil {
			args[i] = b
		}
	}
	if args == nil {
		return e
	}
	out := *e
	out.args, out.text = args, ""
	return &out
}

// Cost estimates how dear e is for a row, as a multiple of an addition. It
// orders filters; nothing else depends on it.
func Cost(e *Expr) int {
	cost := 0
	e.walk(map[*Expr]bool{}, func(x *Expr) {
		switch x.form {
		case formCall, formOperator:
			cost += costOf(x.name)
		case formColumn:
			cost++
		}
	})
	return cost
}

// String prints the tree in a canonical form that parses to an equal tree. It
// ends in "..." where the text would be longer than an expression may be.
func (e *Expr) String() string {
	var b strings.Builder
	e.print(&b)
	return b.String()
}

// infix maps the functions that are printed between their two arguments to the operator.
var infix = map[string]string{
	"+": "+", "-": "-", "*": "*", "/": "/", "%": "%", "==": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=",
	"and": "and", "or": "or", "in": "in", "contains": "contains", "matches": "matches",
}

func (e *Expr) print(b *strings.Builder) {
	if b.Len() > MaxSource {
		if !strings.HasSuffix(b.String(), "...") {
			b.WriteString("...")
		}
		return
	}
	switch e.form {
	case formLiteral:
		printLiteral(b, e.value)
	case formColumn:
		if identifier(e.name) {
			b.WriteString(e.name)
		} else {
			b.WriteString("col(" + strconv.Quote(e.name) + ")")
		}
	case formList:
		b.WriteByte('[')
		printList(b, e.args)
		b.WriteByte(']')
	default:
		e.printCall(b)
	}
}

func (e *Expr) printCall(b *strings.Builder) {
	op, binary := infix[e.name]
	switch {
	case binary && len(e.args) == 2:
		e.args[0].printOperand(b)
		b.WriteString(" " + op + " ")
		e.args[1].printOperand(b)
	case e.name == "-" && e.form == formOperator:
		b.WriteByte('-')
		e.args[0].printOperand(b)
	case e.name == "not":
		b.WriteString("not ")
		e.args[0].printOperand(b)
	default:
		b.WriteString(e.name + "(")
		printList(b, e.args)
		b.WriteByte(')')
	}
}

// printOperand puts parentheses around whatever could bind otherwise than it should.
func (e *Expr) printOperand(b *strings.Builder) {
	_, binary := infix[e.name]
	compound := e.form == formOperator && (binary || e.name == "not" || e.name == "-")
	switch v := e.value.(type) {
	case int64:
		compound = v < 0
	case float64:
		compound = v < 0
	}
	if compound {
		b.WriteByte('(')
	}
	e.print(b)
	if compound {
		b.WriteByte(')')
	}
}

func printList(b *strings.Builder, list []*Expr) {
	for i, a := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		a.print(b)
	}
}

func printLiteral(b *strings.Builder, v any) {
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case float64:
		s := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(s, ".e") {
			s += ".0"
		}
		b.WriteString(s)
	case string:
		b.WriteString(strconv.Quote(v))
	}
}

// reserved are the words that the grammar does not take as a name.
var reserved = []string{"and", "or", "not", "in", "contains", "matches", "startsWith", "endsWith", "let", "true", "false", "null", "nil"}

// identifier reports whether a column name can be written as it is.
func identifier(name string) bool {
	if name == "" || slices.Contains(reserved, name) {
		return false
	}
	for i := range len(name) {
		c := name[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}
