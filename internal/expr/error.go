package expr

import (
	"fmt"
	"strings"

	"github.com/agnivade/levenshtein"

	"github.com/gorge-stream/gorge/internal/diag"
)

// The codes of the errors of this package.
const (
	CodeSyntax          diag.Code = "expr/syntax"           // not an expression
	CodeTooLarge        diag.Code = "expr/too-large"        // longer, deeper or of more parts than allowed
	CodeUnsupported     diag.Code = "expr/unsupported"      // an expression of the grammar that Gorge does not offer
	CodeUnknownColumn   diag.Code = "expr/unknown-column"   // no column of that name in the input
	CodeUnknownFunction diag.Code = "expr/unknown-function" // no function of that name
	CodeArguments       diag.Code = "expr/arguments"        // too few or too many arguments
	CodeType            diag.Code = "expr/type"             // not defined for values of that type
	CodeConstant        diag.Code = "expr/constant"         // an argument must be a constant, or is a bad one
)

// Error is a refused expression.
type Error struct {
	// Offset and Width say which characters of the source to underline; Offset counts from 0.
	Offset, Width int
	Code          diag.Code
	Message       string // one sentence, without a full stop
	Hint          string // what to do; may be empty
}

// Error returns message, code and hint on one line.
func (e *Error) Error() string {
	if e.Hint == "" {
		return fmt.Sprintf("%s [%s]", e.Message, e.Code)
	}
	return fmt.Sprintf("%s [%s]; hint: %s", e.Message, e.Code, e.Hint)
}

func (e *Expr) errorf(code diag.Code, format string, args ...any) *Error {
	return &Error{Offset: e.offset, Width: max(e.width, 1), Code: code, Message: fmt.Sprintf(format, args...)}
}

func (e *Error) hint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// maxCandidates bounds the names that a hint lists.
const maxCandidates = 12

// nearest returns the candidate that name is likely a misspelling of, or "".
func nearest(name string, candidates []string) string {
	best, at := "", len(name)/3+1
	for _, c := range candidates {
		if strings.EqualFold(c, name) {
			return c
		}
		if d := levenshtein.ComputeDistance(strings.ToLower(name), strings.ToLower(c)); d < at && d < len(c) {
			best, at = c, d
		}
	}
	return best
}

// listNames writes up to maxCandidates names.
func listNames(names []string) string {
	if len(names) > maxCandidates {
		return strings.Join(names[:maxCandidates], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}
