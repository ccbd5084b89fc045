package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/plan"
	"github.com/gorge-stream/gorge/internal/spec"
)

var update = flag.Bool("update", false, "rewrite the generated files")

// fresh compares a generated file of the tree with what it should be.
func fresh(t *testing.T, path string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: go test ./cmd/gorge -run Fresh -update makes it", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is out of date: go test ./cmd/gorge -run Fresh -update makes it anew", filepath.Clean(path))
	}
}

func TestGeneratedFilesAreFresh(t *testing.T) {
	schema, err := plan.JSONSchema(catalog())
	if err != nil {
		t.Fatal(err)
	}
	fresh(t, "../../api/pipeline.schema.json", schema)
	fresh(t, "../../docs/reference/pipeline.md", plan.Reference(catalog()))
	fresh(t, "../../docs/reference/errors.md", errorsPage(t))
	fresh(t, "../../docs/reference/guarantees.md", guaranteesPage(t))
}

func pipelineSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile("../../api/pipeline.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestExamplesFitTheSchemaAndCompile(t *testing.T) {
	schema := pipelineSchema(t)
	paths, err := filepath.Glob("../../examples/*/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, path := range append(paths, "starter.yaml") {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		checkPipeline(t, schema, path, src)
	}
}

func checkPipeline(t *testing.T, schema *jsonschema.Schema, name string, src []byte) {
	t.Helper()
	if _, _, err := plan.Compile(name, src, catalog(), plan.Options{}); err != nil {
		t.Errorf("%s", diag.Format(err))
	}
	js, err := yaml.YAMLToJSON(src)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(js))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(v); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// The example of each declaration is a line for a source or sink of a pipeline.
func TestExamplesOfDeclarationsCompile(t *testing.T) {
	const pipeline = `name: example
sources:
  readings: {%s}
steps:
  averages: {from: readings, key_by: device_id, window: {tumbling: 10s}, aggregate: {n: count()}}
sinks:
  out: {from: averages, %s}
`
	const file = `file: {path: in}, schema: {device_id: string, ts: timestamp_ms}, event_time: ts`
	schema := pipelineSchema(t)
	check := func(decl *spec.Decl, source, sink string) {
		if decl.Example == "" {
			t.Errorf("%s has no example", decl.Name)
			return
		}
		checkPipeline(t, schema, decl.Name+".yaml", []byte(fmt.Sprintf(pipeline, source, sink)))
	}
	cat := catalog()
	for _, s := range cat.Sources {
		source := strings.TrimSpace(s.Decl.Example)
		if !s.Rows {
			source += ", schema: {device_id: string, ts: timestamp_ms}"
		}
		if !s.Rows && !strings.Contains(source, "format:") {
			source += ", format: json"
		}
		check(s.Decl, source+", event_time: ts", "stdout: {}")
	}
	for _, s := range cat.Sinks {
		if s.Internal {
			continue
		}
		sink := strings.TrimSpace(s.Decl.Example)
		if s.Bytes && s.DefaultFormat == "" && !strings.Contains(sink, "format:") {
			sink += ", format: json"
		}
		check(s.Decl, file+", format: json", sink)
	}
	for _, f := range cat.Formats {
		if f.Reads && f.Schema == nil {
			check(f.Decl, file+", "+strings.TrimSpace(f.Decl.Example), "stdout: {}")
		}
	}
}
