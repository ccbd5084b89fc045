package spec

import "github.com/gorge-stream/gorge/internal/batch"

// WireKind refines a batch.Kind by how the value is written outside.
type WireKind uint8

// How a timestamp is written. For other kinds it is WireDefault.
const (
	WireDefault WireKind = iota // RFC 3339 text for timestamps
	WireSeconds                 // number since 1970-01-01T00:00:00Z, whole or with a fraction
	WireMillis
	WireMicros
	WireNanos
)

// Column is a declared column of a source.
type Column struct {
	Name     string
	Kind     batch.Kind
	Wire     WireKind
	Nullable bool
}

// ColumnTypes maps the type names of a schema in the pipeline file to kind and
// wire kind. Behind any of them a "?" says that the value may be null or missing.
var ColumnTypes = []struct {
	Name string
	Kind batch.Kind
	Wire WireKind
}{
	{"bool", batch.Bool, WireDefault},
	{"int32", batch.Int32, WireDefault},
	{"int64", batch.Int64, WireDefault},
	{"float32", batch.Float32, WireDefault},
	{"float64", batch.Float64, WireDefault},
	{"string", batch.String, WireDefault},
	{"binary", batch.Binary, WireDefault},
	{"timestamp", batch.Timestamp, WireDefault},
	{"timestamp_s", batch.Timestamp, WireSeconds},
	{"timestamp_ms", batch.Timestamp, WireMillis},
	{"timestamp_us", batch.Timestamp, WireMicros},
	{"timestamp_ns", batch.Timestamp, WireNanos},
}
