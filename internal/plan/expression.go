package plan

import (
	"errors"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/expr"
)

// expression parses the text of v; nil when it is none.
func (c *compiler) expression(v *yamlValue) *expr.Expr {
	if v.kind != yamlScalar {
		return nil // refused where the setting was read
	}
	e, err := expr.Parse(v.text)
	if err != nil {
		c.expressionError(v, err)
		return nil
	}
	return e
}

// typeOf checks e, which was written in v, against the columns of its input.
func (c *compiler) typeOf(v *yamlValue, e *expr.Expr, schema *batch.Schema) (t expr.Type, ok bool) {
	t, err := expr.Check(e, visible(schema))
	if err != nil {
		c.expressionError(v, err)
		return t, false
	}
	if t.Kind == batch.Invalid {
		c.errorf(codeExpression, v.place, "the expression has no type").WithHint("null alone could be of any type: cast it, or use a column")
		return t, false
	}
	return t, true
}

// expressionError points at the characters of the expression in the file.
func (c *compiler) expressionError(v *yamlValue, err error) {
	var bad *expr.Error
	if !errors.As(err, &bad) {
		c.errorf(codeExpression, v.place, "the expression is not valid").WithCause(err)
		return
	}
	e := c.errorf(bad.Code, v.atRunes(bad.Offset, bad.Width), "%s", bad.Message)
	e.Hint = bad.Hint
}

// atRunes is at with offset and width in characters.
func (v *yamlValue) atRunes(offset, width int) diag.Place {
	runes := []rune(v.text)
	from := min(max(offset, 0), len(runes))
	to := min(from+max(width, 1), len(runes))
	start := len(string(runes[:from]))
	return v.at(start, len(string(runes[from:to])))
}

// visible is the schema without the columns that the user cannot name.
func visible(s *batch.Schema) *batch.Schema {
	out := &batch.Schema{Time: -1}
	for i, f := range s.Fields {
		if f.Name == "" {
			continue
		}
		if i == s.Time {
			out.Time = len(out.Fields)
		}
		out.Fields = append(out.Fields, f)
	}
	return out
}
