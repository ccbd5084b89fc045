package plan

import (
	"github.com/gorge-stream/gorge/internal/batch"
)

// filterStep makes a Filter of "where".
func (c *compiler) filterStep(s *stepPart, n *Node) {
	v := s.key("where")
	e := c.expression(v)
	if e == nil || s.schema == nil {
		return
	}
	t, ok := c.typeOf(v, e, s.schema)
	if !ok {
		return
	}
	if t.Kind != batch.Bool {
		c.errorf(codeExpression, v.atRunes(0, len(v.text)), "the condition of %s has the type %s, not bool", s, t.Kind).
			WithHint("compare it with something, for example %s > 0", clip(v.text))
		return
	}
	n.Op, n.Schema = &Filter{Where: e}, s.schema
}

// selectStep makes a Project of "select". Event time goes on behind it, in a
// column that the user sees when one is the time column unchanged.
func (c *compiler) selectStep(s *stepPart, n *Node) {
	v := s.key("select")
	op := &Project{}
	schema := &batch.Schema{Time: -1}
	if len(v.entries) == 0 {
		c.errorf(codeColumn, v.place, "%s selects no column", s).WithHint("write the columns of the result, for example select: {device_id: device_id}")
	}
	taken := map[string]string{}
	for _, entry := range v.entries {
		c.newColumn(s, "select", entry.key, entry.key, taken)
		e := c.expression(entry.value)
		if e == nil || s.schema == nil {
			continue
		}
		t, ok := c.typeOf(entry.value, e, s.schema)
		if !ok {
			continue
		}
		if name, plain := e.IsColumn(); plain && s.schema.Time >= 0 && name == s.schema.Fields[s.schema.Time].Name {
			schema.Time = len(schema.Fields)
		}
		op.Columns = append(op.Columns, Named{Name: entry.key, Expr: e})
		schema.Fields = append(schema.Fields, batch.Field{Name: entry.key, Kind: t.Kind, Nullable: t.Nullable})
	}
	if s.schema != nil && s.schema.Time >= 0 && schema.Time < 0 {
		addHiddenTime(schema)
	}
	n.Op, n.Schema = op, schema
}

// addHiddenTime gives the schema an event time that the user cannot name.
func addHiddenTime(s *batch.Schema) {
	s.Time = len(s.Fields)
	s.Fields = append(s.Fields, batch.Field{Kind: batch.Timestamp})
}
