package operator

import (
	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/expr"
)

// Column says how an output column of Project is made: by passing on column
// Input when Program is nil, else by the program.
type Column struct {
	Input   int
	Program *expr.Program
}

// Project makes each output column by an expression, or passes an input column on.
type Project struct {
	columns []Column
	last    []bool // the column is the last one that passes its input on
	out     *batch.Pool
}

var _ Operator = (*Project)(nil)

// NewProject makes a projection to the schema of the pool, one Column for each of its fields.
func NewProject(columns []Column, out *batch.Pool) *Project {
	p := &Project{columns: columns, out: out, last: make([]bool, len(columns))}
	for i, c := range columns {
		p.last[i] = c.Program == nil
		for _, d := range columns[i+1:] {
			if d.Program == nil && d.Input == c.Input {
				p.last[i] = false
			}
		}
	}
	return p
}

// ProcessBatch emits the projected rows. Columns that are passed on change their
// batch without a copy when nobody else holds the input.
func (p *Project) ProcessBatch(b *batch.Batch, out Output) error {
	defer b.Release()
	n := b.Len()
	o := p.out.Get()
	o.Before = b.Before
	// Programs first: they read columns that are moved below.
	for i, c := range p.columns {
		if c.Program == nil {
			continue
		}
		col, err := c.Program.Eval(b)
		if err != nil {
			o.Release()
			return err
		}
		o.Col(i).CopyFrom(col, n)
	}
	for i, c := range p.columns {
		if c.Program == nil {
			passOn(o, i, b, c.Input, p.last[i])
		}
	}
	o.SetLen(n)
	return out.Emit(Main, o)
}

// passOn gives column from of b to column to of o: moved when b is to be given
// up by its sole holder and the column is not needed again, else copied.
func passOn(o *batch.Batch, to int, b *batch.Batch, from int, last bool) {
	if last && b.Sole() && b.Cap() == o.Cap() {
		o.Col(to).Swap(b.Col(from))
		return
	}
	o.Col(to).CopyFrom(b.Col(from), b.Len())
}

// OnWatermark does nothing: a projection keeps no rows back.
func (p *Project) OnWatermark(batch.Time, Output) error { return nil }

// Close does nothing.
func (p *Project) Close() {}
