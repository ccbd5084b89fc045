package plan

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/gorge-stream/gorge/internal/diag"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	b, err := JSONSchema(testCatalog())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("pipeline.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("pipeline.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, src []byte) error {
	t.Helper()
	js, err := yaml.YAMLToJSON(src)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(js))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(v)
}

func TestTheJSONSchemaAcceptsWhatCompiles(t *testing.T) {
	s := compiledSchema(t)
	for _, path := range goldenFiles(t, "testdata/plans/*.yaml") {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(t, s, src); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestTheJSONSchemaRefusesWrongShapes(t *testing.T) {
	s := compiledSchema(t)
	for _, name := range []string{
		"connector", "missing-sections", "name", "not-a-mapping", "operation", "range", "schema", "type-wrong",
		"checkpoint", "checkpoint-word", "unknown-key", "unknown-key-checkpoint", "unknown-key-nested", "word",
	} {
		src, err := os.ReadFile(filepath.Join("testdata/errors", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if name == "range" { // the schema knows no order of durations
			src = []byte(strings.ReplaceAll(string(src), "-1s", "1s"))
		}
		if validate(t, s, src) == nil {
			t.Errorf("%s passes", name)
		}
	}
}

func TestExamplesOfStepsCompile(t *testing.T) {
	for _, op := range operations {
		name, _, _ := strings.Cut(op.example, ":")
		src := fmt.Sprintf(`name: example
sources:
  readings:
    file: in.ndjson
    format: json
    schema: {device_id: string, ts: timestamp_ms, temperature: float64}
    event_time: ts
functions: {anomaly_score: {file: udfs/anomaly.py}}
steps:
  %s
sinks:
  out: {from: %s, stdout: {}}
`, op.example, name)
		if _, _, err := Compile("example.yaml", []byte(src), testCatalog(), Options{}); err != nil {
			t.Errorf("%s: %s", op.key, diag.Format(err))
		}
	}
}

func TestTheReferencePageNamesEverySetting(t *testing.T) {
	page := string(Reference(testCatalog()))
	golden(t, "testdata/reference.md", page)
	for _, d := range []string{"event_time", "max_disorder", "on_bad_record", "tumbling", "ttl", "stddev", "truncate", "Sink: table", "Format: csv", "timeout"} {
		if !strings.Contains(page, d) {
			t.Errorf("the page does not name %s", d)
		}
	}
	if open := regexp.MustCompile(`%!|\(MISSING\)`).FindString(page); open != "" {
		t.Errorf("the page holds a formatting mistake: %s", open)
	}
}
