// Package plan turns a pipeline file into a checked, typed, optimised graph of
// nodes, and explains it. The graph is data: package job builds tasks from it.
//
// The package is pure: it gets the bytes of the file and a [Catalog] of what the
// engine can do, reads no other file, no environment and no clock.
package plan

import (
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/delivery"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/expr"
	"github.com/gorge-stream/gorge/internal/spec"
)

// Catalog is what the engine can do, by the words of the pipeline file. It is
// made from the registered connectors and formats.
type Catalog struct {
	Sources map[string]SourceInfo
	Sinks   map[string]SinkInfo
	Formats map[string]FormatInfo
	// DeadLetters is the word of the sink for dead letters of files that name none.
	// Without it the letters that nobody reads are dropped and counted.
	DeadLetters string
}

// SourceInfo describes a source connector to the planner.
type SourceInfo struct {
	Decl          *spec.Decl
	DefaultFormat string
	Rows          bool // makes rows itself: no format, no schema in the file
	Schema        func(set *spec.Values) []spec.Column
	Promise       func(set *spec.Values) delivery.Promise
	Unbounded     func(set *spec.Values) bool // never ends of itself; nil: nobody knows
}

// SinkInfo describes a sink connector to the planner.
type SinkInfo struct {
	Decl          *spec.Decl
	DefaultFormat string
	Bytes         bool                        // takes encoded chunks: the planner puts an Encode node before it
	Parallel      bool                        // every task may have a writer of its own
	Dead          bool                        // may refuse rows, which become dead letters
	AtEnd         func(set *spec.Values) bool // shows nothing before the input ends; nil: it does
	Internal      bool                        // no word of the pipeline file
	Promise       func(set *spec.Values) delivery.Promise
	Check         func(set *spec.Values, schema *batch.Schema) error
}

// FormatInfo describes a format to the planner.
type FormatInfo struct {
	Decl          *spec.Decl
	Reads, Writes bool
	Schema        func(set *spec.Values) []spec.Column // nil: declared in the file
	// CheckRead and CheckWrite say whether the settings fit the columns; nil: they always do.
	CheckRead  func(set *spec.Values, columns []spec.Column) error
	CheckWrite func(set *spec.Values, schema *batch.Schema) error
}

// Port names an output of a node; it has the values of operator.Port.
type Port uint8

// The ports.
const (
	Main Port = iota
	Late
	Dead
	// Ports is the number of ports.
	Ports
)

// Ref is one input of a node.
type Ref struct {
	Node *Node
	Port Port
}

// Node is one operation of the graph.
type Node struct {
	// Name is the name of the source, step or sink in the file. Nodes that the
	// planner adds (encode, combine) have the name of the step they serve with a suffix: "out.encode".
	Name string
	Op   Op
	// Inputs are what the node reads: several for the sink of dead letters, one for any other node but a source.
	Inputs []Ref
	// Schema is the schema of the main output after pruning; nil for sinks.
	// Late rows have the schema of the input, dead letters deadletter.Schema.
	Schema *batch.Schema
	// Stage is the index in Plan.Stages of the stage that runs the node.
	Stage int
	Place diag.Place
	// Pushed says in words what the optimiser moved or added here, for gorge plan; may be empty.
	Pushed []string
}

// Op is what a node does: one of the pointer types below.
type Op interface{ op() }

// BadRecord is what happens to a record that cannot be decoded.
type BadRecord uint8

// The policies of on_bad_record.
const (
	DeadLetter BadRecord = iota
	Fail
	Skip
)

// EventTime says how a source gets its event time and watermark.
type EventTime struct {
	Column      string // empty: the source has no event time
	MaxDisorder time.Duration
	IdleAfter   time.Duration // 0: never idle
	MaxAhead    time.Duration // 0: no clamp
}

// Source reads rows.
type Source struct {
	Connector string
	Set       *spec.Values
	Format    string // empty when the connector makes rows itself
	FormatSet *spec.Values
	// Columns lists every column of the source in the order of the file; the
	// node's Schema has those that the plan needs.
	Columns     []spec.Column
	EventTime   EventTime
	OnBadRecord BadRecord
}

// Filter keeps the rows for which the expression is true (not false, not null).
type Filter struct{ Where *expr.Expr }

// Named is an output column and the expression that makes it.
type Named struct {
	Name string
	Expr *expr.Expr
}

// Project makes each output column by an expression over the input. When the
// schema carries a hidden time column, it is the input's time column passed on.
type Project struct{ Columns []Named }

// WindowKind is a kind of window assigner.
type WindowKind uint8

// The window kinds.
const (
	Tumbling WindowKind = iota
)

// Window declares the windows of an aggregation.
type Window struct {
	Kind   WindowKind
	Size   time.Duration
	Offset time.Duration
}

// Aggregate is one aggregate column.
type Aggregate struct {
	Name     string // of the output column
	Function string // in the registry of package agg
	Args     []*expr.Expr
	// Params are literal arguments behind the columns, as in quantile(x, 0.5).
	Params []float64
}

// WindowAggregate aggregates per key and window. Its output columns are the
// keys, window_start, window_end, the aggregates, and the hidden time column if somebody needs it.
type WindowAggregate struct {
	Keys       []string // columns of the input; none for one global group
	Window     Window
	Aggregates []Aggregate
	// Combine: rows arrive as partial accumulators from Combine nodes before the exchange.
	Combine bool
	// LateOutput: late rows go to the Late port; otherwise they are dropped and counted.
	LateOutput bool
}

// Running adds statistics of all rows of the key so far, this one included, to each row.
type Running struct {
	Keys  []string
	Stats []Aggregate
	TTL   time.Duration // state of a key without rows for this long in event time is dropped; 0: never
}

// OnError is what happens to rows for which a function failed.
type OnError uint8

// The policies of on_error.
const (
	ErrorFail OnError = iota
	ErrorDeadLetter
	ErrorDefault
)

// Call adds the results of a user-defined function to each row.
type Call struct {
	Function string // in Plan.Functions
	Args     []*expr.Expr
	Results  []string // names of the new columns
}

// Encode turns rows into chunks of bytes of a format: one Binary column "payload".
type Encode struct {
	Format string
	Set    *spec.Values
	Schema *batch.Schema // of the rows, for the header and footer of the file
}

// Sink writes rows, or chunks when the connector takes bytes.
type Sink struct {
	Connector string
	Set       *spec.Values
	Format    string
	FormatSet *spec.Values
	// Delivery is what the file demands, nil when it demands nothing; see Direct.
	Delivery *delivery.Guarantee
	// Bytes and Parallel are copied from the SinkInfo of the connector.
	Bytes, Parallel bool
}

// Combine makes partial results of a window step before the exchange. Its
// output has the keys, the start of the window as hidden event time, and the
// words of the accumulators: package job knows that schema, the node's is nil.
type Combine struct{ Of *WindowAggregate }

func (*Source) op()          {}
func (*Filter) op()          {}
func (*Project) op()         {}
func (*WindowAggregate) op() {}
func (*Running) op()         {}
func (*Call) op()            {}
func (*Encode) op()          {}
func (*Sink) op()            {}
func (*Combine) op()         {}

// Function is a declared user-defined function.
type Function struct {
	Name    string
	File    string // path as written, relative to the pipeline file
	Version int    // 0: any
	Workers int    // 0: chosen by the engine
	Timeout time.Duration
	OnError OnError
	Default float64 // result of failed rows under ErrorDefault; NaN for null
	Returns []batch.Kind
	Place   diag.Place
}

// Partitioning is how rows reach the tasks of a stage.
type Partitioning uint8

// The partitionings.
const (
	BySplit Partitioning = iota // a stage that begins with sources
	ByKey                       // hash of key columns: each task owns a range of key groups
	Single                      // one task
)

// Stage is a set of nodes that run to completion in one goroutine per task,
// without a queue between them.
type Stage struct {
	Partitioning Partitioning
	Keys         []string // columns of ByKey, in the schema of the edge that enters the stage
	Nodes        []*Node  // in topological order
}

// Checkpoint is how the pipeline survives a crash.
type Checkpoint struct {
	Off      bool          // the file says checkpoint: off
	Interval time.Duration // between two barriers
	Timeout  time.Duration // after which a checkpoint that does not finish is abandoned
	Retain   int           // how many checkpoints are kept
	Store    string        // "" for the data directory, or "s3://bucket/prefix?endpoint=..."
}

// State is where keyed state lives while the pipeline runs.
type State struct {
	Disk        bool
	MemoryLimit int64 // bytes that the state of one task takes in memory with Disk
}

// Plan is a checked pipeline.
type Plan struct {
	Name       string
	Checkpoint Checkpoint
	State      State
	Nodes      []*Node // in topological order
	Stages     []Stage
	Functions  []Function
	// Paths are the ways from sources to sinks with what they hold, a path for each sink.
	Paths []Path
}
