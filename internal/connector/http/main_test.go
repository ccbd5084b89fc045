package httpio

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/codec/json"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

// TestMain looks for goroutines and batches that outlive the tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		if n := batch.Live(); n != 0 {
			fmt.Fprintf(os.Stderr, "%d batches leaked\n", n)
			code = 1
		}
	}
	os.Exit(code)
}

func values(decl *spec.Decl, set map[string]any) *spec.Values {
	m := map[string]spec.Value{}
	for k, v := range set {
		m[k] = spec.Value{V: v, Set: true}
	}
	return spec.NewValues(decl, diag.Place{}, m)
}

// readings are the columns of the tests.
var readings = []codec.Column{
	{Name: "device_id", Kind: batch.String},
	{Name: "ts", Kind: batch.Timestamp, Wire: spec.WireMillis},
	{Name: "temperature", Kind: batch.Float64, Nullable: true},
}

func schemaOf(columns []codec.Column) *batch.Schema {
	s := &batch.Schema{Time: -1}
	for _, c := range columns {
		s.Fields = append(s.Fields, batch.Field{Name: c.Name, Kind: c.Kind, Nullable: c.Nullable})
	}
	return s
}

var jsonFormat = &json.Format

func reading(i int) string {
	return fmt.Sprintf(`{"device_id":"dev-%07d","ts":%d,"temperature":%d.5}`, i, 1_760_000_000_000+i, i%40)
}
