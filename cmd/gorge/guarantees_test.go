package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/plan"
)

// edge is a source or sink of the page of guarantees: what people call it and how a file writes it.
type edge struct{ name, connector, settings string }

var guaranteeSources = []edge{
	{"file", "file", `file: in.ndjson, format: json, schema: {k: string}`},
	{"file, standard input", "file", `file: "-", format: json, schema: {k: string}`},
	{"generate", "generate", `generate: {events: 1000}, format: json, schema: {k: string}`},
	{"http", "http", `http: {}, schema: {k: string}`},
}

var guaranteeSinks = []edge{
	{"file, one file", "file", `file: out.ndjson, format: json`},
	{"file, a folder", "file", `file: out/, format: json`},
	{"file, delivery: at_least_once", "file", `file: out/, format: json, delivery: at_least_once`},
	{"http", "http", `http: "http://localhost/"`},
	{"http, batch: 100", "http", `http: {url: "http://localhost/", batch: 100}`},
	{"null", "null", `"null": {}`},
	{"stdout", "stdout", `stdout: {}`},
	{"table", "table", `table: {key: k}`},
}

// killTests returns the tests that hold the cells, by "source -> sink": each kills
// the engine again and again and compares the output with the input. Nothing can
// be compared of null, and standard input cannot be read again.
func killTests() map[string]string {
	out := map[string]string{}
	for source, scenario := range map[string]string{"file": "from-file", "generate": "from-generate", "http": "from-http"} {
		for _, sink := range []string{
			"file, one file", "file, a folder", "file, delivery: at_least_once", "http", "http, batch: 100", "stdout", "table",
			"dead letters of the data directory",
		} {
			out[source+" -> "+sink] = "TestTheEngineIsKilled/scenario/" + scenario
		}
	}
	return out
}

// guaranteesPage writes what each pair of source and sink holds, as the planner finds it.
func guaranteesPage(t *testing.T) []byte {
	var b bytes.Buffer
	b.WriteString("# What each pair of source and sink holds\n\n<!-- Made from the code: do not edit. -->\n\n" +
		"This is what `gorge plan` finds for a pipeline of one source and one sink with checkpoints on: the guarantee after a crash of the engine, the link it comes from, and why.\n" +
		"[Delivery](../concepts/delivery.md) explains the words. Steps between them change nothing: state is in every checkpoint. With `checkpoint: off` every path is `at_most_once`.\n" +
		"The last column names the test of `test/faults` that kills the engine in such a pipeline and compares the output with the input.\n\n" +
		"| source | sink | guarantee | comes from | because | held by |\n|---|---|---|---|---|---|\n")
	for _, source := range guaranteeSources {
		for _, sink := range guaranteeSinks {
			paths, refused := guaranteePaths(t, source, sink)
			if refused != nil {
				link, why, _ := strings.Cut(refused.Error(), ": ")
				fmt.Fprintf(&b, "| %s | %s | refused | %s | %s | |\n", source.name, sink.name, guaranteeLinks[link], why)
				continue
			}
			guaranteeRow(&b, source.name, sink.name, paths[0])
			for _, path := range paths[1:] {
				if sink.connector == "null" && path.Nodes[0] == "in.dead" {
					guaranteeRow(&b, source.name, "dead letters of the data directory", path)
				}
			}
		}
	}
	return b.Bytes()
}

// guaranteePaths returns the paths of a pipeline of one source and one sink, or
// why it is refused: the sink asks for more than they hold.
func guaranteePaths(t *testing.T, source, sink edge) (paths []plan.Path, refused error) {
	t.Helper()
	src := fmt.Sprintf("name: p\nsources: {in: {%s}}\nsinks: {out: {from: in, %s}}\n", source.settings, sink.settings)
	p, _, err := plan.Compile(source.name+" to "+sink.name, []byte(src), catalog(), plan.Options{})
	var list diag.List
	if errors.As(err, &list) && len(list) == 1 && list[0].Code == "plan/delivery" {
		return nil, list[0].Cause
	}
	if err != nil {
		t.Fatal(diag.Format(err))
	}
	return p.Paths, nil
}

// guaranteeLinks are words for the links of the pipelines.
var guaranteeLinks = map[string]string{"in": "source", "out": "sink", "dead_letters": "sink", "engine": "every link"}

func guaranteeRow(b *bytes.Buffer, source, sink string, p plan.Path) {
	test := killTests()[source+" -> "+sink]
	if test != "" {
		test = "`" + test + "`"
	}
	fmt.Fprintf(b, "| %s | %s | `%s` | %s | %s | %s |\n", source, sink, p.Guarantee, guaranteeLinks[p.Weakest], strings.ReplaceAll(p.Why, "|", `\|`), test)
}

// TestThePageOfGuaranteesHasEveryConnector asks for a row for each connector that a file can name.
func TestThePageOfGuaranteesHasEveryConnector(t *testing.T) {
	has := func(list []edge, connector string) bool {
		for _, e := range list {
			if e.connector == connector {
				return true
			}
		}
		return false
	}
	cat := catalog()
	for name := range cat.Sources {
		if !has(guaranteeSources, name) {
			t.Errorf("the source %s is not on the page", name)
		}
	}
	for name, s := range cat.Sinks {
		if !s.Internal && !has(guaranteeSinks, name) {
			t.Errorf("the sink %s is not on the page", name)
		}
	}
}
