package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gorge-stream/gorge/api"
	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	jsonformat "github.com/gorge-stream/gorge/internal/codec/json"
	"github.com/gorge-stream/gorge/internal/connector"
	ingest "github.com/gorge-stream/gorge/internal/connector/http"
	"github.com/gorge-stream/gorge/internal/connector/table"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/server"
	"github.com/gorge-stream/gorge/internal/spec"
)

// document is what the tests look at in the OpenAPI document.
type document struct {
	OpenAPI string `json:"openapi"`
	Paths   map[string]map[string]struct {
		Responses map[string]json.RawMessage `json:"responses"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]any `json:"schemas"`
	} `json:"components"`
}

func parse(t *testing.T) document {
	t.Helper()
	var d document
	if err := json.Unmarshal(api.OpenAPI, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// routes returns "METHOD /path" of everything that an engine with every kind of
// connector serves.
func routes(t *testing.T) []string {
	t.Helper()
	s, err := server.New(server.Options{
		Registry: prometheus.NewRegistry(),
		Savepoint: func(context.Context, server.SavepointRequest) (server.Savepoint, error) {
			return server.Savepoint{}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	columns := []spec.Column{{Name: "id", Kind: batch.String}}
	schema := &batch.Schema{Time: -1, Fields: []batch.Field{{Name: "id", Kind: batch.String}}}
	values := func(d *spec.Decl, set map[string]spec.Value) *spec.Values {
		return spec.NewValues(d, diag.Place{}, set)
	}
	w, err := table.Registration.NewSink(values(table.Registration.Sink, map[string]spec.Value{"key": {V: []string{"id"}}}),
		connector.SinkEnv{Name: "t", Schema: schema, DataDir: t.TempDir(), HTTP: s})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(t.Context(), true); err != nil {
			t.Error(err)
		}
	})
	src, err := ingest.Registration.NewSource(values(ingest.Registration.Source, nil), connector.SourceEnv{Name: "s", HTTP: s, Format: &jsonformat.Format,
		FormatValues: values(jsonformat.Format.Decl, nil), Schema: columns, Columns: columns, Batch: schema, BatchRows: 10, Limits: codec.Limits{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	})
	var out []string
	for _, p := range s.Patterns() {
		out = append(out, strings.TrimSuffix(p, "{$}"))
	}
	return out
}

func TestEveryRouteIsDescribedAndEveryDescriptionIsServed(t *testing.T) {
	var described []string
	for path, methods := range parse(t).Paths {
		for method := range methods {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	served := routes(t)
	slices.Sort(described)
	slices.Sort(served)
	if !slices.Equal(described, served) {
		t.Errorf("described %v\nserved    %v", described, served)
	}
}

func TestEveryReferenceLeadsSomewhereAndEveryFailureIsAnError(t *testing.T) {
	d := parse(t)
	if !strings.HasPrefix(d.OpenAPI, "3.1.") {
		t.Errorf("OpenAPI %s", d.OpenAPI)
	}
	var all any
	if err := json.Unmarshal(api.OpenAPI, &all); err != nil {
		t.Fatal(err)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				if _, found := d.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")]; !found {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, x := range v {
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(all)
	for path, methods := range d.Paths {
		for method, op := range methods {
			for status, r := range op.Responses {
				if status >= "400" && !strings.Contains(string(r), "schemas/Error") && !strings.Contains(string(r), "schemas/BadRecord") {
					t.Error(fmt.Sprint(method, " ", path, ": ", status, " does not say that its body is an Error"))
				}
			}
		}
	}
}
