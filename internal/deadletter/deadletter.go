// Package deadletter is the shape of a refused row: one schema for every place
// that refuses, so that one sink can take them all.
package deadletter

import "github.com/gorge-stream/gorge/internal/batch"

// The columns of a dead letter, by index.
const (
	Step     = iota // name of the source, step or sink that refused
	Code            // stable word for metrics: "syntax", "type", "exception", "refused", ...
	Reason          // one sentence
	Column          // column at fault, or null
	Position        // where the row came from: "file.ndjson:12", or null
	Detail          // traceback or response body, or null
	Payload         // original bytes of the record, or the row as JSON
)

// Schema is the schema of dead letters.
var Schema = &batch.Schema{Time: -1, Fields: []batch.Field{
	{Name: "step", Kind: batch.String},
	{Name: "code", Kind: batch.String},
	{Name: "reason", Kind: batch.String},
	{Name: "column", Kind: batch.String, Nullable: true},
	{Name: "position", Kind: batch.String, Nullable: true},
	{Name: "detail", Kind: batch.String, Nullable: true},
	{Name: "payload", Kind: batch.Binary},
}}

// Letter is one refused row.
type Letter struct {
	Step, Code, Reason, Column, Position, Detail string
	Payload                                      []byte
}

// Pool makes batches of dead letters.
var Pool = batch.NewPool(Schema, 256)

// Append adds l to b, which has the dead-letter schema and room for a row.
func Append(b *batch.Batch, l *Letter) {
	i := b.Len()
	for c, s := range [...]string{l.Step, l.Code, l.Reason, l.Column, l.Position, l.Detail} {
		col := b.Col(c)
		col.SetText(i, s)
		if s == "" && Schema.Fields[c].Nullable {
			col.SetNull(i)
		}
	}
	b.Col(Payload).SetBytes(i, l.Payload)
	b.SetLen(i + 1)
}
