package file

import (
	"strings"

	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/delivery"
	"github.com/gorge-stream/gorge/internal/spec"
)

// Registration is the connector "file".
var Registration = connector.Registration{
	Source:        sourceDecl,
	Sink:          sinkDecl,
	DefaultFormat: "json",
	Bytes:         true,
	SourcePromise: sourcePromise,
	SinkPromise:   sinkPromise,
	NewSource:     newSource,
	NewSink:       newSink,
	NewEpochSink:  newEpochSink,
	// One file appears when the input ends. A folder gets files all the time, a device every row.
	AtEnd: func(set *spec.Values) bool {
		path := set.String("path")
		return !strings.HasSuffix(path, "/") && !strings.HasPrefix(path, "/dev/")
	},
}

// stdinName is the path that means standard input.
const stdinName = "-"

var sourceDecl = &spec.Decl{
	Name:    "file",
	Summary: "Reads files, pipes and standard input.",
	Doc: "Every file is a split with an end. Relative paths start at the working directory. Files are read in blocks of whole records " +
		"that are decoded in parallel; gzip and zstd are found by their first bytes. From standard input and pipes rows are passed on as soon as they arrive.",
	Short: "path",
	Fields: []spec.Field{
		{Name: "path", Type: spec.Strings, Required: true, Doc: "File, glob pattern (`*`, `?`, `[a-z]`), or a list of them; `-` is standard input."},
		{Name: "compression", Type: spec.Enum, Values: []string{"auto", "none", "gzip", "zstd"}, Default: "auto",
			Doc: "How the files are compressed; `auto` looks at the first bytes of each."},
		{Name: "max_inflated", Type: spec.Size, Default: int64(1 << 40), Min: 1, Max: 1 << 60,
			Doc: "The most bytes that one compressed file may inflate to; beyond them the job fails."},
	},
	Example: `file: {path: "data/*.ndjson"}`,
}

var sinkDecl = &spec.Decl{
	Name:    "file",
	Summary: "Writes one file, which appears under its name when the run ends well.",
	Doc: "Rows go to `PATH.partial` beside the file and can be followed there. When the input has ended, or the job was stopped in good order, " +
		"the file is made durable and renamed to `PATH`, replacing what was there in one step. After a failure `PATH` is as it was and `PATH.partial` " +
		"is kept for inspection until the next run. A pipe or device as path is written directly.",
	Short: "path",
	Fields: []spec.Field{
		{Name: "path", Type: spec.String, Required: true, Doc: "The file; its folder must exist."},
		{Name: "compression", Type: spec.Enum, Values: []string{"auto", "none", "gzip", "zstd"}, Default: "auto",
			Doc: "How to compress; `auto` goes by the name: `.gz` gzip, `.zst` zstd, else none."},
	},
	Example: `file: {path: averages.csv}`,
}

func sourcePromise(set *spec.Values) delivery.Promise {
	for _, p := range set.Strings("path") {
		if p == stdinName {
			return delivery.Promise{Guarantee: delivery.AtMostOnce, Why: "standard input cannot be read a second time: rows under way in a crash are lost"}
		}
	}
	return delivery.Promise{Guarantee: delivery.AtMostOnce,
		Why: "positions are not stored yet: after a crash nothing goes on where it stopped, and a new run reads the files from their start"}
}

func sinkPromise(*spec.Values) delivery.Promise {
	return delivery.Promise{Guarantee: delivery.AtMostOnce,
		Why: "the file appears only when a run ends well: the rows of a run that crashed are not taken up by the next one"}
}
