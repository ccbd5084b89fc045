// Package expr is Gorge's expression language.
package expr

// Expr is a parsed expression.
type Expr struct{}
