package expr

import (
	"errors"
	"io"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/parser/lexer"
)

// The limits of an expression.
const (
	MaxSource  = 64 << 10 // bytes of source
	MaxNesting = 250      // open brackets, and signs in a row
	MaxDepth   = 1000     // levels of the tree: a + b + c has two
	MaxNodes   = 10000    // literals, columns, operators and calls
)

// grammar switches off what the parser's own language knows and Gorge does not:
// functions over arrays with predicates, and "if" as a statement. The parser
// writes to its configuration, so each call has its own.
func grammar() *conf.Config {
	c := &conf.Config{MaxNodes: MaxNodes, DisableIfOperator: true, Functions: conf.FunctionsTable{}}
	for _, name := range []string{
		"all", "none", "any", "one", "filter", "map", "count", "sum", "find", "findIndex",
		"findLast", "findLastIndex", "groupBy", "sortBy", "reduce",
	} {
		c.Functions[name] = nil
	}
	return c
}

// Parse parses source text. Names are not looked up: that is for Check. Errors are *Error.
func Parse(src string) (*Expr, error) {
	if len(src) > MaxSource {
		return nil, &Error{Width: 1, Code: CodeTooLarge, Message: "the expression is longer than 64 KiB"}
	}
	if !utf8.ValidString(src) {
		return nil, &Error{Width: 1, Code: CodeSyntax, Message: "the expression is not valid UTF-8"}
	}
	c := &converter{}
	if err := c.scan(src); err != nil {
		return nil, err
	}
	tree, err := parser.ParseWithConfig(src, grammar())
	if err != nil {
		return nil, c.syntaxError(err)
	}
	e, err := c.convert(tree.Node, 0)
	if err != nil {
		return nil, err
	}
	root := *e
	root.text = src
	return &root, nil
}

// converter turns the parser's tree into ours. The tokens tell it the extent of
// arguments, which the tree does not hold.
type converter struct {
	runes  []rune
	tokens []lexer.Token
	nodes  int
}

// scan reads the tokens and bounds the nesting before the recursive parser sees it.
func (c *converter) scan(src string) error {
	c.runes = []rune(src)
	l := lexer.New()
	l.DisableIfOperator = true
	l.Reset(file.NewSource(src))
	depth, run := 0, 0
	for {
		t, err := l.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return c.syntaxError(err)
		}
		c.tokens = append(c.tokens, t)
		switch {
		case t.Is(lexer.Bracket, "(", "[", "{"):
			depth++
		case t.Is(lexer.Bracket):
			depth--
		}
		if t.Is(lexer.Operator, "|") {
			return c.at(t.Location, &Error{Code: CodeUnsupported, Message: "the operator | is not supported", Hint: "write or"})
		}
		run++ // of operators in a row
		if !t.Is(lexer.Operator) {
			run = 0
		}
		if depth > MaxNesting || run > MaxNesting {
			return c.at(t.Location, &Error{Code: CodeTooLarge, Message: "the expression is nested too deeply"})
		}
		if len(c.tokens) > 2*MaxNodes {
			return c.at(t.Location, &Error{Code: CodeTooLarge, Message: "the expression has too many parts"})
		}
	}
}

func (c *converter) at(l file.Location, e *Error) *Error {
	e.Offset = min(max(l.From, 0), len(c.runes))
	e.Width = max(min(l.To, len(c.runes))-e.Offset, 1)
	return e
}

// syntaxError translates an error of lexer or parser.
func (c *converter) syntaxError(err error) *Error {
	var fe *file.Error
	if !errors.As(err, &fe) {
		return &Error{Width: 1, Code: CodeSyntax, Message: "not an expression"}
	}
	e := c.at(fe.Location, &Error{Code: CodeSyntax})
	m := fe.Message
	switch {
	case len(c.tokens) == 1 && c.tokens[0].Is(lexer.EOF):
		e.Message = "the expression is empty"
	case strings.Contains(m, "maximum allowed nodes"):
		e.Code, e.Message = CodeTooLarge, "the expression has too many parts"
	case strings.HasPrefix(m, "unexpected token EOF"), strings.HasPrefix(m, "unexpected end"):
		e.Offset, e.Width = len(c.runes), 1
		e.Message = "the expression ends too early"
	case strings.HasPrefix(m, "unexpected token"):
		c.unexpected(e)
	case strings.HasPrefix(m, "literal not terminated"):
		e.Message = "a text is not closed: its last quote is missing"
	case strings.HasPrefix(m, "invalid integer literal"):
		c.atNumber(e)
		e.Message = "the number does not fit into 64 bits"
		e.Hint = "write it with a decimal point to get a float"
	case strings.HasPrefix(m, "invalid float literal"):
		c.atNumber(e)
		e.Message = "the number is too large for a float"
	case strings.Contains(m, "coalesce expressions (??)"):
		e.Message = "?? cannot be mixed with another operator"
		e.Hint = "put parentheses around one of them"
	default:
		e.Message = m
	}
	return e
}

// atNumber moves the place from the token behind a number, where the parser
// notices that the number is too large, to the number.
func (c *converter) atNumber(e *Error) {
	if i := c.tokenAt(e.Offset) - 1; i >= 0 {
		c.at(c.tokens[i].Location, e)
	}
}

// unexpected words the error about a token in the wrong place.
func (c *converter) unexpected(e *Error) {
	word := string(c.runes[e.Offset:min(e.Offset+e.Width, len(c.runes))])
	e.Message = "unexpected " + quoteWord(word)
	switch word {
	case "=":
		e.Hint = "comparison is written =="
	case "contains", "matches", "startsWith", "endsWith", "in":
		e.Hint = word + " stands between its arguments: a " + word + " b"
	case ">":
		if e.Offset > 0 && c.runes[e.Offset-1] == '<' {
			e.Hint = "not equal is written !="
		}
	case "&":
		e.Hint = "write and"
	case ",":
		if c.listInParentheses(c.tokenAt(e.Offset)) {
			e.Hint = "a list is written in brackets: a in [1, 2]"
		}
	}
}

// listInParentheses reports whether token i stands in parentheses behind "in".
func (c *converter) listInParentheses(i int) bool {
	depth := 0
	for i--; i > 0; i-- {
		switch t := c.tokens[i]; {
		case t.Is(lexer.Bracket, ")", "]", "}"):
			depth++
		case t.Is(lexer.Bracket) && depth == 0:
			return c.tokens[i-1].Is(lexer.Operator, "in")
		case t.Is(lexer.Bracket):
			depth--
		}
	}
	return false
}

func quoteWord(w string) string { return "\"" + w + "\"" }

// convert turns one node and what is below it into an expression.
func (c *converter) convert(n ast.Node, depth int) (*Expr, error) {
	c.nodes++
	if n == nil || depth > MaxDepth || c.nodes > 2*MaxNodes {
		return nil, &Error{Width: 1, Code: CodeTooLarge, Message: "the expression is nested too deeply"}
	}
	e := &Expr{}
	e.offset, e.width = c.place(n.Location())
	switch n := n.(type) {
	case *ast.NilNode:
	case *ast.BoolNode:
		e.value = n.Value
	case *ast.IntegerNode:
		e.value = int64(n.Value)
	case *ast.FloatNode:
		e.value = n.Value
	case *ast.StringNode:
		if !utf8.ValidString(n.Value) {
			return nil, e.errorf(CodeSyntax, "the text is not valid UTF-8")
		}
		e.value = n.Value
	case *ast.IdentifierNode:
		if n.Value != "null" {
			e.form, e.name = formColumn, n.Value
		}
	case *ast.UnaryNode:
		return c.unary(e, n, depth)
	case *ast.BinaryNode:
		return c.binary(e, n, depth)
	case *ast.ConditionalNode:
		e.form, e.name = formOperator, "if"
		if err := c.children(e, depth, n.Cond, n.Exp1, n.Exp2); err != nil {
			return nil, err
		}
		e.offset, e.width = e.args[0].offset, e.args[0].width // the parser gives the place behind the whole
	case *ast.CallNode:
		id, ok := n.Callee.(*ast.IdentifierNode)
		if !ok {
			return nil, e.errorf(CodeUnsupported, "only functions by name can be called")
		}
		return c.call(e, id.Value, n.Arguments, depth)
	case *ast.BuiltinNode:
		return c.call(e, n.Name, n.Arguments, depth)
	default:
		return nil, unsupported(e, n)
	}
	return e, nil
}

func (c *converter) place(l file.Location) (offset, width int) {
	e := c.at(l, &Error{})
	return e.Offset, e.Width
}

func (c *converter) children(e *Expr, depth int, nodes ...ast.Node) error {
	for _, n := range nodes {
		a, err := c.convert(n, depth+1)
		if err != nil {
			return err
		}
		e.args = append(e.args, a)
	}
	return nil
}

func (c *converter) unary(e *Expr, n *ast.UnaryNode, depth int) (*Expr, error) {
	if err := c.children(e, depth, n.Node); err != nil {
		return nil, err
	}
	a := e.args[0]
	switch n.Operator {
	case "+":
		return a, nil
	case "-":
		e.form, e.name = formOperator, "-"
		v, literal := negative(a.value)
		if literal {
			return &Expr{value: v, offset: e.offset, width: max(a.offset+a.width-e.offset, 1)}, nil
		}
	default:
		e.form, e.name = formOperator, "not"
	}
	return e, nil
}

func negative(v any) (any, bool) {
	switch v := v.(type) {
	case int64:
		return -v, true // a literal is never the smallest int64
	case float64:
		return -v, !math.Signbit(v)
	}
	return nil, false
}

// operators maps the binary operators of the grammar to the functions behind them.
var operators = map[string]string{
	"+": "+", "-": "-", "*": "*", "/": "/", "%": "%", "**": "pow", "^": "pow",
	"==": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=",
	"and": "and", "&&": "and", "or": "or", "||": "or", "??": "coalesce",
	"in": "in", "contains": "contains", "matches": "matches", "startsWith": "starts_with", "endsWith": "ends_with",
}

func (c *converter) binary(e *Expr, n *ast.BinaryNode, depth int) (*Expr, error) {
	name, ok := operators[n.Operator]
	if !ok {
		return nil, e.errorf(CodeUnsupported, "the operator %s is not supported", n.Operator)
	}
	e.form, e.name = formOperator, name
	if name != "in" {
		if err := c.children(e, depth, n.Left, n.Right); err != nil {
			return nil, err
		}
		return c.lift(e), nil
	}
	list, ok := n.Right.(*ast.ArrayNode)
	if !ok {
		return nil, e.errorf(CodeUnsupported, "in needs a list on its right").hint("write a in [1, 2, 3]; a range is between(a, low, high)")
	}
	right := &Expr{form: formList}
	right.offset, right.width = c.place(list.Location())
	if err := c.children(right, depth+1, list.Nodes...); err != nil {
		return nil, err
	}
	if err := c.children(e, depth, n.Left); err != nil {
		return nil, err
	}
	e.args = append(e.args, right)
	return c.lift(e), nil
}

// lift makes not (a > b) of the parser's (not a) > b when no parentheses were
// written: as in SQL and Python, not binds looser than comparisons and arithmetic.
func (c *converter) lift(e *Expr) *Expr {
	left := e.args[0]
	if left.name != "not" || left.form != formOperator || e.name == "and" || e.name == "or" {
		return e
	}
	depth := 0
	for i := c.tokenAt(left.offset); i < len(c.tokens) && c.tokens[i].From < e.offset; i++ {
		switch t := c.tokens[i]; {
		case t.Is(lexer.Bracket, "(", "[", "{"):
			depth++
		case t.Is(lexer.Bracket):
			depth--
		}
		if depth < 0 {
			return e
		}
	}
	inner := *e
	inner.args = append([]*Expr{left.args[0]}, e.args[1:]...)
	outer := *left
	outer.args = []*Expr{&inner}
	return &outer
}

func (c *converter) call(e *Expr, name string, args []ast.Node, depth int) (*Expr, error) {
	e.form, e.name = formCall, name
	if err := c.children(e, depth, args...); err != nil {
		return nil, err
	}
	if name == "col" {
		column, ok := "", false
		if len(e.args) == 1 {
			column, ok = e.args[0].value.(string)
		}
		if !ok {
			return nil, e.errorf(CodeArguments, "col takes the name of a column in quotes").hint(`col("wind speed")`)
		}
		return &Expr{form: formColumn, name: column, offset: e.offset, width: e.width}, nil
	}
	c.texts(e)
	return e, nil
}

// texts finds the source of each argument of a call among the tokens.
func (c *converter) texts(e *Expr) {
	i := c.tokenAt(e.offset) + 1
	if i >= len(c.tokens) || !c.tokens[i].Is(lexer.Bracket, "(") {
		return
	}
	depth, arg, from := 0, 0, i+1
	for ; i < len(c.tokens); i++ {
		t := c.tokens[i]
		switch {
		case t.Is(lexer.Bracket, "(", "[", "{"):
			depth++
		case t.Is(lexer.Bracket):
			depth--
		}
		if depth == 0 || depth == 1 && t.Is(lexer.Operator, ",") {
			if arg < len(e.args) && i > from {
				a := *e.args[arg]
				a.text = string(c.runes[c.tokens[from].From:c.tokens[i-1].To])
				e.args[arg] = &a
			}
			arg, from = arg+1, i+1
		}
		if depth == 0 {
			return
		}
	}
}

// tokenAt returns the index of the token that starts at the character.
func (c *converter) tokenAt(offset int) int {
	lo, hi := 0, len(c.tokens)
	for lo < hi {
		if m := (lo + hi) / 2; c.tokens[m].From < offset {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo
}

func unsupported(e *Expr, n ast.Node) *Error {
	switch n.(type) {
	case *ast.MemberNode, *ast.ChainNode, *ast.SliceNode:
		return e.errorf(CodeUnsupported, "values have no members").hint(`a column whose name has a dot is written col("a.b")`)
	case *ast.ArrayNode:
		return e.errorf(CodeUnsupported, "a list can only stand on the right of in")
	case *ast.BytesNode:
		return e.errorf(CodeUnsupported, "there are no literals of binary")
	case *ast.VariableDeclaratorNode, *ast.SequenceNode:
		return e.errorf(CodeUnsupported, "an expression cannot have statements")
	default:
		return e.errorf(CodeUnsupported, "this is not supported in an expression")
	}
}
