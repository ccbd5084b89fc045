package expr

import (
	"cmp"
	"math"
	"math/big"

	"github.com/gorge-stream/gorge/internal/batch"
)

// The reference computes one row at a time with values of Go types and shares no
// code with the kernels: big.Int finds overflows, package time knows the
// calendar, package strings the texts. instant is a timestamp.
type instant int64

// reference is an interpreter for one row.
type reference map[string]any

func (r reference) eval(e *Expr) any {
	switch e.form {
	case formLiteral:
		return e.value
	case formColumn:
		return r[e.name]
	}
	kind := r.kind(e)
	if e.name == "in" {
		return r.in(e)
	}
	args := make([]any, len(e.args))
	null := false
	for i, a := range e.args {
		args[i] = r.eval(a)
		null = null || args[i] == nil
	}
	if v, ok := nullFunction(e.name, args); ok {
		return widen(v, kind)
	}
	if null {
		return nil
	}
	mixed := batch.Invalid
	for _, a := range e.args {
		mixed = unify(mixed, r.kind(a))
	}
	if mixed == batch.Float64 {
		for i := range args {
			args[i] = widen(args[i], batch.Float64)
		}
	}
	return widen(strictFunction(e.name, args, kind), kind)
}

func (r reference) in(e *Expr) any {
	x := r.eval(e.args[0])
	kind := r.kind(e.args[0])
	for _, a := range e.args[1].args {
		kind = unify(kind, r.kind(a))
	}
	var result any = false
	for _, a := range e.args[1].args {
		switch v := r.eval(a); {
		case x == nil || v == nil:
			result = nil
		case widen(x, kind) == widen(v, kind):
			return true
		}
	}
	return result
}

// widen makes a float of an int where the type says so.
func widen(v any, kind batch.Kind) any {
	if i, ok := v.(int64); ok && kind == batch.Float64 {
		return float64(i)
	}
	return v
}

// kind infers the type of an expression anew.
func (r reference) kind(e *Expr) batch.Kind {
	switch e.form {
	case formLiteral:
		return kindOf(e.value)
	case formColumn:
		return testKinds[e.name]
	}
	switch e.name {
	case "int", "div", "length", "year", "month", "day", "hour", "minute", "second", "weekday", "epoch_ms", "duration":
		return batch.Int64
	case "float", "/", "sqrt", "exp", "log", "log10", "pow":
		return batch.Float64
	case "string", "lower", "upper", "trim", "concat", "substring", "replace", "split_part":
		return batch.String
	case "timestamp", "truncate", "from_epoch_ms":
		return batch.Timestamp
	case "date_trunc":
		return batch.Timestamp
	case "if":
		return unify(r.kind(e.args[1]), r.kind(e.args[2]))
	case "round":
		if len(e.args) == 2 {
			return batch.Float64
		}
	case "+", "-":
		if len(e.args) == 2 {
			a, b := r.kind(e.args[0]), r.kind(e.args[1])
			switch {
			case a == batch.Timestamp && b == batch.Timestamp:
				return batch.Int64
			case a == batch.Timestamp || b == batch.Timestamp:
				return batch.Timestamp
			}
		}
	case "*", "%", "mod", "abs", "sign", "ceil", "floor", "trunc", "coalesce", "least", "greatest", "min", "max":
	default:
		return batch.Bool
	}
	kind := batch.Invalid
	for _, a := range e.args {
		kind = unify(kind, r.kind(a))
	}
	return kind
}

// nullFunction computes what has a result for null arguments.
func nullFunction(name string, args []any) (any, bool) {
	has := func(v any) bool { return args[0] == v || args[1] == v }
	switch name {
	case "and":
		if has(false) {
			return false, true
		}
	case "or":
		if has(true) {
			return true, true
		}
	case "if":
		if args[0] == true {
			return args[1], true
		}
		return args[2], true
	case "coalesce":
		for _, a := range args {
			if a != nil {
				return a, true
			}
		}
		return nil, true
	case "is_null":
		return args[0] == nil, true
	case "between": // x >= low and x <= high
		low, high := compareOrNull(args[0], args[1]), compareOrNull(args[0], args[2])
		if low != nil && low.(int)&^1 != 0 || high != nil && high.(int) != 0 && high.(int) != -1 {
			return false, true
		}
		if low == nil || high == nil {
			return nil, true
		}
		return true, true
	}
	return nil, false
}

// unordered is what a comparison with NaN gives.
const unordered = 1 << 10

// compareOrNull returns -1, 0, 1, unordered, or nil for a null.
func compareOrNull(a, b any) any {
	if a == nil || b == nil {
		return nil
	}
	return order3(a, b)
}

func order3(a, b any) int {
	if x, ok := a.(int64); ok {
		if y, ok := b.(int64); ok {
			return cmp.Compare(x, y)
		}
	}
	switch x := a.(type) {
	case instant:
		return cmp.Compare(x, b.(instant))
	case string:
		return cmp.Compare(x, b.(string))
	case bool:
		if x == b.(bool) {
			return 0
		}
		return 1
	}
	x, y := widen(a, batch.Float64).(float64), widen(b, batch.Float64).(float64)
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	case x == y:
		return 0
	}
	return unordered
}

// strictFunction computes what is null for null arguments; nil says that there is no result.
func strictFunction(name string, args []any, kind batch.Kind) any {
	switch name {
	case "==", "!=", "<", "<=", ">", ">=":
		o := order3(args[0], args[1])
		return map[string]bool{
			"==": o == 0, "!=": o != 0, "<": o == -1, "<=": o == -1 || o == 0, ">": o == 1, ">=": o == 1 || o == 0,
		}[name]
	case "least", "min":
		return extreme(args, -1)
	case "greatest", "max":
		return extreme(args, 1)
	case "and", "or": // both are known and do not decide alone
		return name == "and"
	case "not":
		return !args[0].(bool)
	case "int", "float", "string", "bool", "timestamp":
		return cast(name, args[0])
	}
	if s, ok := args[0].(string); ok && name != "date_trunc" && name != "duration" {
		return textFunction(name, s, args[1:])
	}
	switch a := args[0].(type) {
	case int64:
		if len(args) == 1 || kind != batch.Float64 {
			return intFunction(name, a, args)
		}
	case instant, string:
		return timeFunction(name, args)
	}
	return floatFunction(name, args)
}

func extreme(args []any, sign int) any {
	best := args[0]
	for _, a := range args[1:] {
		if x, ok := a.(float64); ok { // Go's own rules for NaN and -0
			if sign < 0 {
				best = min(best.(float64), x)
			} else {
				best = max(best.(float64), x)
			}
			continue
		}
		if order3(a, best) == sign {
			best = a
		}
	}
	return best
}

func fit(x *big.Int) any {
	if x.IsInt64() {
		return x.Int64()
	}
	return nil
}

func intFunction(name string, a int64, args []any) any {
	x, y := big.NewInt(a), new(big.Int)
	time := false
	if len(args) > 1 {
		switch b := args[1].(type) {
		case int64:
			y.SetInt64(b)
		case instant:
			y.SetInt64(int64(b))
			time = true
		}
	}
	var v any
	switch name {
	case "+":
		v = fit(x.Add(x, y))
	case "-":
		if len(args) == 1 {
			return fit(x.Neg(x))
		}
		v = fit(x.Sub(x, y))
	case "*":
		v = fit(x.Mul(x, y))
	case "div", "%", "mod":
		if y.Sign() == 0 {
			return nil
		}
		if name == "div" {
			return fit(x.Quo(x, y))
		}
		return fit(x.Rem(x, y))
	case "abs":
		return fit(x.Abs(x))
	case "sign":
		return int64(x.Sign())
	case "ceil", "floor", "trunc", "round":
		return a
	case "from_epoch_ms":
		v, time = fit(x.Mul(x, big.NewInt(1000))), true
	default:
		panic("reference: int " + name)
	}
	if i, ok := v.(int64); ok && time {
		return instant(i)
	}
	return v
}

func floatFunction(name string, args []any) any {
	x := widen(args[0], batch.Float64).(float64)
	y := 0.0
	if len(args) > 1 {
		y = widen(args[1], batch.Float64).(float64)
	}
	none := false
	var v float64
	switch name {
	case "+":
		v = x + y
	case "-":
		if v = x - y; len(args) == 1 {
			v = -x
		}
	case "*":
		v = x * y
	case "/":
		v, none = x/y, y == 0
	case "%", "mod":
		v, none = math.Mod(x, y), y == 0
	case "abs":
		v = math.Abs(x)
	case "sign":
		if v = x; x > 0 || x < 0 {
			v = math.Copysign(1, x)
		}
	case "ceil":
		v = math.Ceil(x)
	case "floor":
		v = math.Floor(x)
	case "trunc":
		v = math.Trunc(x)
	case "round":
		if v = math.Round(x); len(args) == 2 {
			v = roundDigits(x, int(y))
		}
	case "sqrt":
		v, none = math.Sqrt(x), x < 0
	case "exp":
		v = math.Exp(x)
	case "log":
		v, none = math.Log(x), x <= 0
	case "log10":
		v, none = math.Log10(x), x <= 0
	case "pow":
		v = math.Pow(x, y)
		none = x == 0 && y < 0 || math.IsNaN(v) && !math.IsNaN(x) && !math.IsNaN(y)
	case "is_nan":
		return math.IsNaN(x)
	default:
		panic("reference: float " + name)
	}
	if none {
		return nil
	}
	return v
}

func roundDigits(x float64, digits int) float64 {
	p := math.Pow(10, math.Abs(float64(digits)))
	switch {
	case digits < 0:
		return math.Round(x/p) * p
	case math.IsNaN(x) || math.Abs(x*p) >= 1<<52:
		return x
	}
	return math.Round(x*p) / p
}
