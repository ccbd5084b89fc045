package main

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

// keyOf makes a batch with one row of the texts of a key.
func keyOf(s *batch.Schema, values []string) (*batch.Batch, error) {
	if len(values) != len(s.Fields) {
		return nil, badKey(s, "the key has %d values, and %d were given", len(s.Fields), len(values))
	}
	one := &oneRow{pool: batch.NewPool(s, 1)}
	if len(values) == 0 {
		b := one.Next()
		b.SetLen(1)
		return b, nil
	}
	var columns []codec.Column
	members := make([]string, len(values))
	for i, f := range s.Fields {
		value, err := jsonValue(f.Kind, values[i])
		if err != nil {
			return nil, badKey(s, "%q is no value of the key column %s", values[i], f.Name)
		}
		name, err := json.Marshal(f.Name)
		if err != nil {
			return nil, err
		}
		members[i] = string(name) + ":" + value
		columns = append(columns, codec.Column{Name: f.Name, Kind: f.Kind, Nullable: f.Nullable})
	}
	f := formats["json"]
	d, err := f.NewDecoder(spec.NewValues(f.Decl, diag.Place{}, nil), columns, columns, codec.Limits{}.WithDefaults())
	if err != nil {
		return nil, err
	}
	line := []byte("{" + strings.Join(members, ",") + "}\n")
	if err := d.Decode(append(line, make([]byte, codec.Pad)...)[:len(line)], one); err != nil {
		return nil, err
	}
	if one.bad != "" || one.row == nil {
		return nil, badKey(s, "that is no key: %s", one.bad)
	}
	return one.row, nil
}

// jsonValue writes a text as the JSON value that means it in a column.
func jsonValue(k batch.Kind, text string) (string, error) {
	if k.Views() || k == batch.Timestamp && text != "null" {
		quoted, err := json.Marshal(text)
		return string(quoted), err
	}
	if !json.Valid([]byte(text)) || strings.ContainsAny(text, "{[\"") {
		return "", errors.New("no JSON number or word")
	}
	return text, nil
}

func badKey(s *batch.Schema, format string, args ...any) error {
	columns := s.String()
	if len(s.Fields) == 0 {
		columns = "none, as all rows are one group"
	}
	return diag.New("state/key", format, args...).WithHint("the key columns are: %s", columns)
}

// oneRow takes one row of a decoder.
type oneRow struct {
	pool *batch.Pool
	row  *batch.Batch
	bad  string
}

// Next gives the decoder a batch.
func (o *oneRow) Next() *batch.Batch { return o.pool.Get() }

// Done takes the row.
func (o *oneRow) Done(b *batch.Batch) error {
	if b.Len() == 0 || o.row != nil {
		b.Release()
		return nil
	}
	o.row = b
	return nil
}

// Bad keeps the reason.
func (o *oneRow) Bad(r *codec.BadRecord) error {
	o.bad = r.Reason
	return nil
}
