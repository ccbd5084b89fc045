package table

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/diag"
)

// definitionVersion is the version of definitions and of the key layout.
const definitionVersion = 1

// bucketsKept is the number of buckets that retain is divided into.
const bucketsKept = 30

// maxColumns bounds the columns of a table.
const maxColumns = 4096

// column is a column of a stored table. All but keys are nullable: rows written
// before a column was added have none.
type column struct {
	Name string `json:"name"`
	Type string `json:"type"`
	kind batch.Kind
}

// definition is what the store remembers of a table.
type definition struct {
	Version int      `json:"version"`
	ID      uint32   `json:"id"`
	Name    string   `json:"name"`
	Key     []string `json:"key"`
	Columns []column `json:"columns"`
	// Width of a bucket in microseconds; 0: the table has one bucket.
	Width int64 `json:"bucket_us"`
	// Retain in microseconds as last opened for writing; 0: for ever.
	Retain int64 `json:"retain_us"`
}

// newDefinition describes a table as the pipeline file asks for it.
func newDefinition(name string, key []string, schema *batch.Schema, retain time.Duration) *definition {
	d := &definition{Version: definitionVersion, Name: name, Key: key, Retain: retain.Microseconds()}
	d.Width = (d.Retain + bucketsKept - 1) / bucketsKept
	for _, f := range schema.Fields {
		if f.Name != "" {
			d.Columns = append(d.Columns, column{f.Name, f.Kind.String(), f.Kind})
		}
	}
	return d
}

// index returns the position of the named column, or -1.
func (d *definition) index(name string) int {
	return slices.IndexFunc(d.Columns, func(c column) bool { return c.Name == name })
}

// timeKey returns the position in the key of the column that from, to and retain
// mean: the last timestamp of the key, or -1.
func (d *definition) timeKey() int {
	for i := len(d.Key) - 1; i >= 0; i-- {
		if d.Columns[d.index(d.Key[i])].kind == batch.Timestamp {
			return i
		}
	}
	return -1
}

// keyKinds returns the kinds of the key columns in order of the key.
func (d *definition) keyKinds() []batch.Kind {
	out := make([]batch.Kind, len(d.Key))
	for i, k := range d.Key {
		out[i] = d.Columns[d.index(k)].kind
	}
	return out
}

// values returns the positions of the columns outside the key, in order.
func (d *definition) values() []int {
	var out []int
	for i, c := range d.Columns {
		if !slices.Contains(d.Key, c.Name) {
			out = append(out, i)
		}
	}
	return out
}

// names returns the names of all columns.
func (d *definition) names() []string {
	out := make([]string, len(d.Columns))
	for i, c := range d.Columns {
		out[i] = c.Name
	}
	return out
}

// schema returns the columns at the given positions as a schema.
func (d *definition) schema(positions []int) *batch.Schema {
	s := &batch.Schema{Time: -1}
	for _, p := range positions {
		c := d.Columns[p]
		s.Fields = append(s.Fields, batch.Field{Name: c.Name, Kind: c.kind, Nullable: true})
	}
	return s
}

// marshal writes the definition as it is stored.
func (d *definition) marshal() ([]byte, error) {
	p, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("definition of table %s: %w", d.Name, err)
	}
	return p, nil
}

// parseDefinition reads a stored definition and proves that it can be worked with.
func parseDefinition(p []byte) (*definition, error) {
	d := &definition{}
	dec := json.NewDecoder(bytes.NewReader(p))
	dec.DisallowUnknownFields()
	if err := dec.Decode(d); err != nil {
		return nil, fmt.Errorf("definition of a table: %w", err)
	}
	if d.Version != definitionVersion {
		return nil, fmt.Errorf("definition of a table has version %d, this program reads %d", d.Version, definitionVersion)
	}
	if d.ID == 0 || d.ID == epochSpace || d.Name == "" || len(d.Key) == 0 || len(d.Columns) > maxColumns || d.Width < 0 || d.Width == 1 || d.Retain < 0 || d.Retain > 0 && d.Width == 0 {
		return nil, fmt.Errorf("definition of table %q is incomplete", d.Name)
	}
	seen := map[string]bool{}
	for i := range d.Columns {
		c := &d.Columns[i]
		if c.kind = batch.ParseKind(c.Type); c.kind == batch.Invalid || c.Name == "" || seen[c.Name] {
			return nil, fmt.Errorf("definition of table %q: bad column %q of type %q", d.Name, c.Name, c.Type)
		}
		seen[c.Name] = true
	}
	inKey := map[string]bool{}
	for _, k := range d.Key {
		if !seen[k] || inKey[k] || !keyKind(d.Columns[d.index(k)].kind) {
			return nil, fmt.Errorf("definition of table %q: bad key column %q", d.Name, k)
		}
		inKey[k] = true
	}
	if d.Width > 0 && d.timeKey() < 0 {
		return nil, fmt.Errorf("definition of table %q has buckets but no time", d.Name)
	}
	return d, nil
}

// keyKind reports whether a column of the kind can be part of a key.
func keyKind(k batch.Kind) bool { return keyWidth(k) >= 0 || k.Views() }

// adopt returns the stored definition d changed to what the pipeline asks for
// now, or says why the stored rows do not allow it. Columns may be added and may
// vanish; the key, the types and the buckets stay.
func (d *definition) adopt(want *definition) (*definition, error) {
	const away = "give the sink another name, or remove the table with the data directory"
	if !slices.Equal(d.Key, want.Key) {
		return nil, diag.New("table/key-changed", "table %s is stored with the key [%s], not [%s]",
			d.Name, strings.Join(d.Key, ", "), strings.Join(want.Key, ", ")).WithHint(away)
	}
	out := *d
	out.Columns = slices.Clone(d.Columns)
	for _, c := range want.Columns {
		switch i := d.index(c.Name); {
		case i < 0:
			out.Columns = append(out.Columns, c)
		case d.Columns[i].kind != c.kind:
			return nil, diag.New("table/type-changed", "column %s of table %s is stored as %s, not as %s",
				c.Name, d.Name, d.Columns[i].Type, c.Type).WithHint("select it under another name, or " + away)
		}
	}
	if len(out.Columns) > maxColumns {
		return nil, diag.New("table/too-many-columns", "table %s would have %d columns, %d are possible", d.Name, len(out.Columns), maxColumns).WithHint(away)
	}
	if want.Retain > 0 && d.Width == 0 {
		return nil, diag.New("table/retain-added", "table %s was made without retain and cannot get it now", d.Name).WithHint(away)
	}
	out.Retain = want.Retain
	return &out, nil
}
