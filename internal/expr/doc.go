// Package expr is Gorge's expression language: text over the columns of a
// schema, type-checked and compiled to kernels that compute a column at a time.
//
//	e, err := expr.Parse("abs(score) > 3 and site != 'lab'")
//	p, err := expr.Compile(e, schema)
//	sel, err = p.Filter(b, sel)
//
// The package knows columns, types and functions. It does not know steps,
// aggregates, user-defined functions, files or time zones; it has no clock and
// no randomness: equal rows give equal results.
//
// # Language
//
// The grammar is that of github.com/expr-lang/expr, without members, statements,
// lists (except behind in), predicates and pipes. Literals are 42, 1.5, "text",
// 'text', true, false and null. Operators, the loosest first:
//
//	c ? a : b
//	or ||
//	and &&
//	not !                 not a > b is not (a > b)
//	== != < <= > >= in, not in, contains, startsWith, endsWith, matches
//	+ -
//	* / %
//	-a
//	** ^                  power
//	??                    the first that is not null; another operator behind it needs parentheses
//
// A column is written by its name; one whose name is no identifier, or is a word
// of the language, is written col("wind speed"). [Functions] lists what can be called.
//
// # Types
//
// Int32 and Float32 columns are widened to 64 bits where something is computed
// from them; a bare column keeps its kind. An int that meets a float becomes one.
// / is always a float division, div one of whole numbers. A length of time is an
// int of microseconds: timestamp - timestamp, duration("5m"). Nothing else is
// converted by itself.
//
// A signature such as "(x number, digits const int) number?" names parameters and
// kinds. number stands for int and float, ordered for those, string and timestamp,
// any for every kind: the same one for all parameters and the result. const
// demands a constant, brackets mean optional, "..." any number of them. With "?"
// the result may be null although no argument is, with "!" it never is.
//
// # What cannot be computed is null
//
// There is one rule: where a function or operator has no result for its
// arguments, or none of its type, the result is null. Nothing wraps around,
// nothing panics, no row is lost.
//
//	division or remainder by zero, int or float   null
//	int64 or timestamp out of range               null
//	conversion of unfit text, NaN or out of range null
//	root of a negative, logarithm of 0 or less    null
//	a part that a text does not have              null (split_part), empty (substring)
//	a text multiplied by replace to over 1 MiB    null
//	float too large                               +Inf or -Inf, as IEEE 754 says
//	inf - inf, 0 * inf, anything with NaN         NaN, as IEEE 754 says
//
// So NaN and infinities come from the input or from floats that grew too large,
// never from a division by zero. Compared with NaN, everything is false except !=,
// which is true.
//
// # Nulls
//
// A null argument makes the result null, also for == and !=: is_null tests for
// null. The exceptions are those of SQL:
//
//	a         b      a and b  a or b
//	true      null   null     true
//	false     null   false    null
//	null      null   null     null
//
//	null in []                         false
//	x in [a, null]                     true where x == a, else null
//	between(x, low, high)              low <= x and x <= high
//	if(null, a, b), null ? a : b       b
//	coalesce(a, b), a ?? b             b where a is null
//
// A filter keeps the rows for which the expression is true; false and null are left out.
package expr
