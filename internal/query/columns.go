package query

import "io"

// Columns writes rows for people as Rows does: in columns, safe for a terminal,
// with the widths that the first rows need.
type Columns struct{ t text }

// NewColumns starts with the names of the columns.
func NewColumns(out io.Writer, names []string) *Columns {
	c := &Columns{text{out: out}}
	c.t.header(names)
	return c
}

// Row adds a row, which has a cell for each name.
func (c *Columns) Row(cells []string) error { return c.t.row(cells) }

// End writes what was kept back.
func (c *Columns) End() error { return c.t.end() }
