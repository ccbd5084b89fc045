package plan

import (
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/delivery"
	"github.com/gorge-stream/gorge/internal/spec"
)

// The declarations of the parts of a file that are not connectors or formats.
// Parser, JSON Schema and reference page read them.

var eventTimeDecl = &spec.Decl{
	Name: "event_time", Short: "column",
	Summary: "When a row happened, and how long to wait for rows that come out of order.",
	Fields: []spec.Field{
		{Name: "column", Type: spec.String, Required: true, Doc: "The timestamp column that says when the row happened. It cannot be nullable."},
		{Name: "max_disorder", Type: spec.Duration, Default: time.Second, Max: float64(366 * 24 * time.Hour), Doc: "How much later than the newest row of its split a row may come and still be in time."},
		{Name: "idle_after", Type: spec.Duration, Default: 30 * time.Second, Max: float64(366 * 24 * time.Hour), Doc: "A split without rows for this long no longer holds back the watermark. 0s: it does for ever."},
		{Name: "max_ahead", Type: spec.Duration, Default: time.Minute, Max: float64(366 * 24 * time.Hour), Doc: "A row further ahead of the clock than this does not move the watermark, so that one wrong clock does not make everybody else late. 0s: no limit."},
	},
}

var badRecordNames = []string{"dead_letter", "fail", "skip"}

var sourceDecl = &spec.Decl{
	Name:    "source",
	Summary: "Where rows come from: one connector, a format, and what the rows look like.",
	Fields: []spec.Field{
		{Name: "schema", Type: spec.Columns, Doc: "The columns of the rows and their types, where connector and format do not know them. A \"?\" behind the type allows null and missing values."},
		{Name: "event_time", Type: spec.Nested, Object: eventTimeDecl, Doc: "Which column is the event time. Windows need one."},
		{Name: "on_bad_record", Type: spec.Enum, Values: badRecordNames, Default: "dead_letter", Doc: "What happens to a record that cannot be decoded: it becomes a dead letter, ends the job, or is skipped and counted. Columns that no step or sink uses are checked for their syntax only."},
	},
}

var tumblingDecl = &spec.Decl{
	Name: "tumbling", Short: "size",
	Summary: "Windows of one size, one behind the other. They are closed at the start and open at the end.",
	Fields: []spec.Field{
		{Name: "size", Type: spec.Duration, Required: true, Min: float64(time.Millisecond), Max: float64(3660 * 24 * time.Hour), Doc: "How long a window is."},
		{Name: "offset", Type: spec.Duration, Min: -float64(3660 * 24 * time.Hour), Max: float64(3660 * 24 * time.Hour), Doc: "Shifts the starts of the windows, which are else multiples of the size since 1970-01-01T00:00:00Z."},
	},
}

var windowDecl = &spec.Decl{
	Name:    "window",
	Summary: "How event time is cut into windows.",
	Fields: []spec.Field{
		{Name: "tumbling", Type: spec.Nested, Object: tumblingDecl, Doc: tumblingDecl.Summary},
	},
}

var stepDecl = &spec.Decl{
	Name:    "step",
	Summary: "One operation on the rows of a source or of another step.",
	Fields: []spec.Field{
		{Name: "from", Type: spec.String, Required: true, Doc: "The source or step whose rows the step takes; NAME.late for the late rows of a window step, NAME.dead for the dead letters of a source or call."},
		{Name: "where", Type: spec.Expression, Doc: "Keeps the rows for which the expression is true. Rows for which it is false or null are dropped."},
		{Name: "select", Type: spec.StringMap, Doc: "Makes each column of the result by an expression over the input. Other columns are left out."},
		{Name: "window", Type: spec.Nested, Object: windowDecl, Doc: "Aggregates rows per window of event time. The result has the key columns, window_start, window_end and the aggregates."},
		{Name: "aggregate", Type: spec.StringMap, Doc: "The aggregates of a window, by the name of their column."},
		{Name: "running", Type: spec.StringMap, Doc: "Adds statistics over all rows of the key so far, this one included, by the name of their column."},
		{Name: "key_by", Type: spec.Strings, Doc: "The columns of the key; without it all rows belong together and one task does the work. For window and running."},
		{Name: "late", Type: spec.Enum, Values: []string{"drop", "side"}, Default: "drop", Doc: "What happens to rows that come after their window has closed: they are dropped and counted, or go to NAME.late."},
		{Name: "ttl", Type: spec.Duration, Max: float64(3660 * 24 * time.Hour), Doc: "Forgets the statistics of a key that had no rows for this long in event time. 0s: never. For running."},
		{Name: "call", Type: spec.StringMap, Doc: "Adds the result of a function of the functions section, by the name of its column: {score: \"anomaly_score(temperature, mean)\"}. Several results have their names separated by commas: {\"low, high\": \"bounds(x)\"}."},
	},
}

// operation is one of the things a step can do.
type operation struct {
	key     string   // the setting that chooses it
	needs   []string // settings that must come with it
	takes   []string // settings that may come with it
	doc     string
	example string // a step that passes; tests run it
}

var operations = []operation{
	{key: "where", doc: "Keeps the rows for which a condition is true.", example: "hot: {from: readings, where: temperature > 30}"},
	{key: "select", doc: "Makes new columns, and leaves the others out.", example: "fahrenheit: {from: readings, select: {device_id: device_id, ts: ts, degrees: temperature * 1.8 + 32}}"},
	{key: "window", needs: []string{"aggregate"}, takes: []string{"key_by", "late"}, doc: "Aggregates rows per key and window of event time.", example: "averages: {from: readings, key_by: device_id, window: {tumbling: 10s}, aggregate: {avg_temp: avg(temperature), n: count()}}"},
	{key: "running", takes: []string{"key_by", "ttl"}, doc: "Adds to each row statistics over all rows of its key so far.", example: "profiled: {from: readings, key_by: device_id, running: {mean: mean(temperature), std: stddev(temperature)}, ttl: 7d}"},
	{key: "call", doc: "Adds to each row the results of a function of the functions section.", example: "scored: {from: readings, call: {score: anomaly_score(temperature)}}"},
}

var sinkDecl = &spec.Decl{
	Name:    "sink",
	Summary: "Where rows go: one connector and a format.",
	Fields: []spec.Field{
		{Name: "from", Type: spec.String, Required: true, Doc: "The source or step whose rows the sink takes; NAME.late and NAME.dead as in a step."},
		{Name: "delivery", Type: spec.Enum, Values: delivery.Names, Doc: "What the path from the source to this sink has to hold when the engine crashes. A pipeline that asks for more than its edges can hold is refused."},
	},
}

var deadLettersDecl = &spec.Decl{
	Name:    "dead_letters",
	Summary: "Where dead letters go that no step or sink reads: one connector and a format. A dead letter has the columns step, code, reason, column, position, detail and payload.",
}

var onErrorNames = []string{"fail", "dead_letter", "default"}

var functionDecl = &spec.Decl{
	Name:    "function",
	Summary: "A function in Python that a call step uses by name.",
	Fields: []spec.Field{
		{Name: "file", Type: spec.String, Required: true, Doc: "The Python file that registers the function, relative to the pipeline file."},
		{Name: "version", Type: spec.Int, Max: 1 << 30, Doc: "The version to use where the file registers several; 0: any."},
		{Name: "workers", Type: spec.Int, Max: 256, Doc: "How many processes run the function; 0: the engine chooses."},
		{Name: "timeout", Type: spec.Duration, Default: 5 * time.Second, Min: float64(time.Millisecond), Max: float64(time.Hour), Doc: "How long a call for one batch may take."},
		{Name: "on_error", Type: spec.Enum, Values: onErrorNames, Default: "fail", Doc: "What happens to rows for which the function fails: they end the job, become dead letters, or get the default as result."},
		{Name: "default", Type: spec.Float, Doc: "The result of failed rows with on_error: default. Left out or null: null."},
		{Name: "returns", Type: spec.Strings, Values: returnNames(), Default: []string{"float64"}, Doc: "The type of the result, or a list of types for several results."},
	},
}

func returnNames() []string {
	var out []string
	for _, k := range []batch.Kind{batch.Float64, batch.Int64, batch.Bool, batch.String} {
		out = append(out, k.String())
	}
	return out
}

// section is a key at the top of the file.
type section struct {
	name     string
	decl     *spec.Decl // of its members by name, of itself, or nil for a text
	many     bool       // a mapping of names to members
	required bool
	doc      string
}

var sections = []section{
	{name: "name", required: true, doc: "The name of the pipeline: lower-case letters, digits, \"_\" and \"-\"."},
	{name: "sources", decl: sourceDecl, many: true, required: true, doc: "Where rows come from, by name."},
	{name: "functions", decl: functionDecl, many: true, doc: "Functions in Python, by name."},
	{name: "steps", decl: stepDecl, many: true, doc: "What happens to the rows: a graph of operations by name."},
	{name: "sinks", decl: sinkDecl, many: true, required: true, doc: "Where rows go, by name."},
	{name: "checkpoint", decl: checkpointDecl, doc: "How the pipeline survives a crash; without it there is a checkpoint every 5 seconds."},
	{name: "state", decl: stateDecl, doc: "Where state lives while the pipeline runs."},
	{name: "dead_letters", decl: deadLettersDecl, doc: "Where refused rows go that no step or sink reads; without it, into a file of the data directory."},
}
