package expr

import (
	"fmt"
	"math/bits"

	"github.com/gorge-stream/gorge/internal/batch"
)

// Program is an expression compiled for batches of one schema. It is owned by
// one goroutine: its kernels hold scratch columns.
type Program struct {
	root  operand
	frame frame
	texts int // limit, see frame
}

// Check infers the type of e over columns of the schema. Errors are *Error.
func Check(e *Expr, s *batch.Schema) (Type, error) {
	p, err := Compile(e, s)
	if err != nil {
		return Type{}, err
	}
	return p.Type(), nil
}

// Compile makes a program of e. Errors are *Error.
func Compile(e *Expr, s *batch.Schema) (*Program, error) {
	c := &compiler{
		schema: s, numbers: map[string]int{}, ids: map[*Expr]int{}, count: map[int]int{}, seen: map[int]operand{},
	}
	if name, ok := e.IsColumn(); ok { // as it is, in its own kind
		i, err := c.lookup(e, name)
		if err != nil {
			return nil, err
		}
		f := s.Fields[i]
		return newProgram(operand{kernel: &columnKernel{i}, e: e, typ: Type{f.Kind, f.Nullable}}), nil
	}
	c.survey(e)
	root, err := c.compile(e)
	if err != nil {
		return nil, err
	}
	if root.typ.Kind == batch.Invalid {
		return nil, e.errorf(CodeType, "null alone has no type").hint("give it one by a conversion: float(null)")
	}
	return newProgram(root), nil
}

func newProgram(root operand) *Program { return &Program{root: root, texts: maxTexts} }

// Type returns the type of the result.
func (p *Program) Type() Type { return p.root.typ }

// Eval computes the rows of b. The result is read-only and valid until the next
// call; it may be a column of b. The value under a null is zero, false or empty,
// unless the result is a column of b. An error means that texts grew beyond all bounds.
func (p *Program) Eval(b *batch.Batch) (*batch.Column, error) {
	out := p.run(b)
	if out.HasNulls() && !belongs(out, b) {
		zeroNulls(out, p.frame.n)
	}
	return out, p.frame.err
}

func (p *Program) run(b *batch.Batch) *batch.Column {
	p.frame = frame{b: b, n: b.Len(), cap: max(b.Cap(), 1), seq: p.frame.seq + 1, texts: p.texts}
	out := p.root.eval(&p.frame)
	p.frame.b = nil // the batch is not ours
	return out
}

// belongs reports whether c is a column of the batch, which is not ours to write to.
func belongs(c *batch.Column, b *batch.Batch) bool {
	for i := range b.Schema().Fields {
		if c == b.Col(i) {
			return true
		}
	}
	return false
}

// zeroNulls gives null rows the value zero, so that equal results have equal bytes.
func zeroNulls(c *batch.Column, n int) {
	valid := c.Validity()[:words(n)]
	switch {
	case c.Kind() == batch.Bool:
		dst := c.Bits()
		for w, v := range valid {
			dst[w] &= v
		}
	case c.Kind().Views():
		zeroRows(c.Views()[:n], valid)
	default:
		zeroRows(values[int64](c, n), valid)
	}
}

func zeroRows[T any](rows []T, valid []uint64) {
	var zero T
	for w, v := range valid {
		for gone := ^v; gone != 0; gone &= gone - 1 {
			if i := w*blockRows + bits.TrailingZeros64(gone); i < len(rows) {
				rows[i] = zero
			}
		}
	}
}

// Filter returns the rows of b for which the program, which must be boolean, is
// true; rows where it is false or null are left out. It overwrites sel, whose capacity it reuses.
func (p *Program) Filter(b *batch.Batch, sel []uint32) ([]uint32, error) {
	if p.root.typ.Kind != batch.Bool {
		return nil, fmt.Errorf("a filter needs a boolean expression, not %s", p.root.typ.Kind)
	}
	out := p.run(b)
	sel = sel[:0]
	n := p.frame.n
	for w := range words(n) {
		t := trueWord(out, w)
		base := uint32(w * blockRows)
		if rest := n - w*blockRows; rest < blockRows {
			t &= 1<<uint(rest) - 1
		}
		for ; t != 0; t &= t - 1 {
			sel = append(sel, base+uint32(bits.TrailingZeros64(t)))
		}
	}
	return sel, p.frame.err
}

// operand is a compiled part of an expression. The kind Invalid is that of a bare null.
type operand struct {
	kernel
	e     *Expr
	typ   Type
	konst bool // the same value in every row
	value any  // of a constant; nil for null
}

// call is what a function's build gets.
type call struct {
	fn   *function
	e    *Expr
	args []operand  // of the kinds of the signature
	kind batch.Kind // of the result
	// nullable says whether the result may be null; build may set it to false.
	nullable bool
	err      *Error
}

// total says that the result is null only where an argument is.
func (c *call) total() { c.nullable = anyNullable(c.args) }

// bad refuses argument i.
func (c *call) bad(i int, format string, args ...any) *Error {
	c.err = c.args[i].e.errorf(CodeConstant, format, args...)
	return c.err
}

// result returns the scratch of the kernel.
func (c *call) result() scratch { return scratch{kind: c.kind} }

// compiler compiles one expression.
type compiler struct {
	schema *batch.Schema
	// Equal parts of the expression have the same number.
	numbers map[string]int
	ids     map[*Expr]int
	count   map[int]int     // how often the part occurs
	seen    map[int]operand // compiled parts that occur several times
}

// survey numbers the calls, equal ones alike, and counts them: what occurs
// several times is computed once.
func (c *compiler) survey(e *Expr) int {
	if id, ok := c.ids[e]; ok {
		c.count[id]++
		return id
	}
	key := []byte{byte(e.form)}
	key = append(key, e.name...)
	if e.form == formLiteral {
		key = fmt.Appendf(key, "%T %v", e.value, e.value)
	}
	for _, a := range e.args {
		key = fmt.Appendf(key, " %d", c.survey(a))
	}
	id, ok := c.numbers[string(key)]
	if !ok {
		id = len(c.numbers)
		c.numbers[string(key)] = id
	}
	c.ids[e] = id
	c.count[id]++
	return id
}

func (c *compiler) compile(e *Expr) (operand, error) {
	switch e.form {
	case formLiteral:
		return literal(e, e.value, kindOf(e.value)), nil
	case formColumn:
		return c.column(e)
	case formList:
		return operand{}, e.errorf(CodeUnsupported, "a list can only stand on the right of in")
	}
	id := c.ids[e]
	if c.count[id] < 2 {
		return c.call(e)
	}
	if o, ok := c.seen[id]; ok {
		o.e = e
		return o, nil
	}
	o, err := c.call(e)
	if err == nil && !o.konst {
		o.kernel = &shared{kernel: o.kernel}
		c.seen[id] = o
	}
	return o, err
}

func kindOf(v any) batch.Kind {
	switch v.(type) {
	case bool:
		return batch.Bool
	case int64:
		return batch.Int64
	case float64:
		return batch.Float64
	case string:
		return batch.String
	}
	return batch.Invalid
}

func literal(e *Expr, v any, kind batch.Kind) operand {
	return operand{
		kernel: &constant{scratch: scratch{kind: kind}, value: v},
		e:      e, typ: Type{kind, v == nil}, konst: true, value: v,
	}
}

func (c *compiler) lookup(e *Expr, name string) (int, error) {
	if i := c.schema.Index(name); i >= 0 && name != "" {
		return i, nil
	}
	err := e.errorf(CodeUnknownColumn, "there is no column %q", name)
	visible := c.schema.Names()
	switch best := nearest(name, visible); {
	case len(visible) == 0:
		return 0, err
	case best != "":
		return 0, err.hint("did you mean %s? The columns are %s", best, listNames(visible))
	default:
		return 0, err.hint("the columns are %s", listNames(visible))
	}
}

func (c *compiler) column(e *Expr) (operand, error) {
	i, err := c.lookup(e, e.name)
	if err != nil {
		return operand{}, err
	}
	f := c.schema.Fields[i]
	o := operand{kernel: &columnKernel{i}, e: e, typ: Type{f.Kind, f.Nullable}}
	var wide batch.Kind
	switch f.Kind {
	case batch.Int32:
		wide = batch.Int64
	case batch.Float32:
		wide = batch.Float64
	default:
		return o, nil
	}
	id := c.ids[e]
	if seen, ok := c.seen[id]; ok {
		seen.e = e
		return seen, nil
	}
	o.kernel = &shared{kernel: &widenKernel{scratch{kind: wide}, i}}
	o.typ.Kind = wide
	c.seen[id] = o
	return o, nil
}

// call compiles a function or operator with its arguments.
func (c *compiler) call(e *Expr) (operand, error) {
	overloads := registry[e.name]
	if len(overloads) == 0 {
		err := e.errorf(CodeUnknownFunction, "there is no function %s", e.name)
		if best := nearest(e.name, names); best != "" {
			err.hint("did you mean %s?", best)
		}
		return operand{}, err
	}
	from := e.args
	if e.name == "in" {
		from = append([]*Expr{e.args[0]}, e.args[1].args...)
	}
	args := make([]operand, len(from))
	for i, a := range from {
		var err error
		if args[i], err = c.compile(a); err != nil {
			return operand{}, err
		}
	}
	return c.resolve(e, overloads, args)
}

// resolve finds the overload that fits and builds its kernel.
func (c *compiler) resolve(e *Expr, overloads []*function, args []operand) (operand, error) {
	var fits []*function
	for _, f := range overloads {
		if least, most := f.arity(); len(args) >= least && (most < 0 || len(args) <= most) {
			fits = append(fits, f)
		}
	}
	if len(fits) == 0 {
		return operand{}, arityError(e, overloads, len(args))
	}
	for _, f := range fits {
		if class, want, bad := f.match(args); bad < 0 {
			return c.build(e, f, class, want, args)
		}
	}
	return operand{}, typeError(e, fits, args)
}

func (c *compiler) build(e *Expr, f *function, class batch.Kind, want []batch.Kind, args []operand) (operand, error) {
	k := &call{fn: f, e: e, args: make([]operand, len(args)), kind: class}
	if kind, ok := kinds[f.ret]; ok {
		k.kind = kind
	}
	fold := true
	for i, a := range args {
		k.args[i] = convert(a, want[i])
		fold = fold && a.konst
		if f.param(i).constant && (!a.konst || a.value == nil) {
			return operand{}, a.e.errorf(CodeConstant, "%s needs a constant as %s", e.name, f.param(i).name)
		}
	}
	k.nullable = f.may == '?' || f.may != '!' && anyNullable(args)
	out := operand{e: e, typ: Type{Kind: k.kind}}
	out.kernel = f.build(k)
	if k.err != nil {
		return operand{}, k.err
	}
	out.typ.Nullable = k.nullable
	if fold {
		one := frame{n: 1, cap: 1, seq: 1, texts: maxTexts}
		v := valueAt(out.eval(&one), 0)
		return literal(e, v, k.kind), nil
	}
	return out, nil
}

// convert gives an operand the kind: an int becomes a float, a bare null a null of the kind.
func convert(a operand, kind batch.Kind) operand {
	switch {
	case a.typ.Kind == kind:
		return a
	case a.konst && a.value == nil:
		return literal(a.e, nil, kind)
	case a.konst:
		return literal(a.e, float64(a.value.(int64)), kind)
	}
	k := &map1[int64, float64]{scratch: scratch{kind: batch.Float64}, a: a.kernel, f: intsToFloats}
	return operand{kernel: k, e: a.e, typ: Type{kind, a.typ.Nullable}}
}
