package plan

import (
	"fmt"
	"strings"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/delivery"
	"github.com/gorge-stream/gorge/internal/spec"
)

func decl(name, short string, fields ...spec.Field) *spec.Decl {
	return &spec.Decl{Name: name, Short: short, Summary: "The " + name + " of the tests.", Fields: fields}
}

func promise(g delivery.Guarantee, why string) func(*spec.Values) delivery.Promise {
	return func(*spec.Values) delivery.Promise { return delivery.Promise{Guarantee: g, Why: why} }
}

// testCatalog has a connector of each kind: the plan knows them by their declarations only.
func testCatalog() *Catalog {
	path := spec.Field{Name: "path", Type: spec.String, Required: true, Doc: "The file."}
	return &Catalog{
		Sources: map[string]SourceInfo{
			"file": {
				Decl:    decl("file", "path", path, spec.Field{Name: "compression", Type: spec.Enum, Values: []string{"auto", "none", "gzip", "zstd"}, Default: "auto"}),
				Promise: promise(delivery.ExactlyOnce, ""), DefaultFormat: "",
			},
			"http": {
				Decl: decl("http", "", spec.Field{Name: "queue", Type: spec.Size, Default: int64(8 << 20), Min: 1 << 10, Max: 1 << 30},
					spec.Field{Name: "tls", Type: spec.Nested, Object: decl("tls", "cert", spec.Field{Name: "cert", Type: spec.String, Required: true, Doc: "The certificate. A file."}, spec.Field{Name: "verify", Type: spec.Bool})}),
				DefaultFormat: "json", Promise: promise(delivery.AtMostOnce, "rows that were accepted live in memory only"),
			},
			"generate": {
				Decl: decl("generate", "", spec.Field{Name: "rate", Type: spec.Float, Default: 1000.0, Min: 1e-3, Max: 1e9}, spec.Field{Name: "keys", Type: spec.Int, Default: int64(100), Min: 1, Max: 1 << 40},
					spec.Field{Name: "for", Type: spec.Duration}),
				Unbounded: func(set *spec.Values) bool { return set.Duration("for") == 0 },
				Rows:      true, Promise: promise(delivery.ExactlyOnce, ""),
				Schema: func(*spec.Values) []spec.Column {
					return []spec.Column{
						{Name: "device_id", Kind: batch.String}, {Name: "ts", Kind: batch.Timestamp, Wire: spec.WireMillis},
						{Name: "temperature", Kind: batch.Float64}, {Name: "anomaly", Kind: batch.Bool},
					}
				},
			},
		},
		Sinks: map[string]SinkInfo{
			"stdout": {Decl: decl("stdout", ""), DefaultFormat: "json", Promise: promise(delivery.AtLeastOnce, "what was printed cannot be taken back")},
			"file": {Decl: decl("file", "path", path), Bytes: true, Promise: promise(delivery.ExactlyOnce, ""),
				AtEnd: func(set *spec.Values) bool { return !strings.HasSuffix(set.String("path"), "/") }},
			"http": {
				Dead: true, Decl: decl("http", "url", spec.Field{Name: "url", Type: spec.String, Required: true, Doc: "Where to post."}, spec.Field{Name: "method", Type: spec.Enum, Values: []string{"POST", "PUT"}, Default: "POST"},
					spec.Field{Name: "headers", Type: spec.StringMap}, spec.Field{Name: "token", Type: spec.Secret}),
				DefaultFormat: "json", Promise: promise(delivery.Idempotent, "the receiver sees repetitions"),
			},
			"table": {
				Decl:  decl("table", "", spec.Field{Name: "key", Type: spec.Strings, Required: true, Doc: "The key columns."}, spec.Field{Name: "retain", Type: spec.Duration}),
				Check: checkTable, Promise: promise(delivery.Idempotent, "rows are upserted by key"),
			},
			"letters": {Decl: decl("letters", ""), Bytes: true, DefaultFormat: "json", Internal: true, Promise: promise(delivery.ExactlyOnce, "")},
			"null":    {Decl: decl("null", ""), Parallel: true},
		},
		DeadLetters: "letters",
		Formats: map[string]FormatInfo{
			"json": {Decl: decl("json", "", spec.Field{Name: "shape", Type: spec.Enum, Values: []string{"lines", "array", "object"}, Default: "lines"}), Reads: true, Writes: true},
			"csv":  {Decl: decl("csv", "", spec.Field{Name: "header", Type: spec.Bool, Default: true}, spec.Field{Name: "delimiter", Type: spec.String, Default: ","}), Reads: true, Writes: true},
			"raw": {Decl: decl("raw", ""), Reads: true, Schema: func(*spec.Values) []spec.Column {
				return []spec.Column{{Name: "payload", Kind: batch.Binary}}
			}},
			"arrow": {Decl: decl("arrow", ""), Writes: true},
		},
	}
}

func checkTable(set *spec.Values, schema *batch.Schema) error {
	for _, k := range set.Strings("key") {
		if schema.Index(k) < 0 {
			return fmt.Errorf("there is no column %q", k)
		}
	}
	return nil
}
