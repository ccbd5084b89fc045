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
		return !isFolder(path) && !isDevice(path)
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
	Summary: "Writes one file, which appears when the input ends, or a folder that gets a file with each checkpoint.",
	Doc: "A path that ends with `/`, or is a folder, gets parts: files such as `part-0000000042-0.ndjson`, each whole when it appears and never changed " +
		"again. Each checkpoint with new rows adds one; without checkpoints a run adds one, `part-run-0001.ndjson`, when it ends well. What is not decided yet is in the folder `.pending` below it.\n\n" +
		"Any other path is one file. Rows go to `PATH.partial` beside it and can be followed there. When the input has ended, or a job without checkpoints was " +
		"stopped in good order, the file is made durable and renamed to `PATH`, replacing what was there in one step. After a crash a job with checkpoints " +
		"goes on behind the rows that the last one covers; without them `PATH.partial` is kept for inspection until the next run.\n\n" +
		"A pipe or device as path is written directly.",
	Short: "path",
	Fields: []spec.Field{
		{Name: "path", Type: spec.String, Required: true, Doc: "The file, or a folder with a `/` at the end. The folder that it is in must exist."},
		{Name: "compression", Type: spec.Enum, Values: []string{"auto", "none", "gzip", "zstd"}, Default: "auto",
			Doc: "How to compress; `auto` goes by the name: `.gz` gzip, `.zst` zstd, else none. The parts of a folder get the ending themselves."},
	},
	Example: `file: {path: averages.csv}`,
}

// isDevice reports whether a path names a device or pipe, as far as can be told without looking at the disk.
func isDevice(path string) bool { return strings.HasPrefix(path, "/dev/") }

func sourcePromise(set *spec.Values) delivery.Promise {
	for _, p := range set.Strings("path") {
		if p == stdinName || isDevice(p) {
			return delivery.Promise{Guarantee: delivery.AtMostOnce,
				Why: "a stream cannot be read a second time: behind a crash the run goes on with what is sent then, and rows under way are lost"}
		}
	}
	return delivery.Promise{Guarantee: delivery.ExactlyOnce, Why: "files are read on from the byte that the checkpoint names, if their content before it is unchanged"}
}

// partsWhy is the reason why parts are exact.
const partsWhy = "each checkpoint makes one whole file visible"

func sinkPromise(set *spec.Values) delivery.Promise {
	switch path := set.String("path"); {
	case isDevice(path):
		return delivery.Promise{Guarantee: delivery.AtLeastOnce, Why: "what a device was given cannot be taken back: after a crash rows are written again"}
	case isFolder(path):
		return delivery.Promise{Guarantee: delivery.ExactlyOnce, Why: partsWhy}
	}
	return delivery.Promise{Guarantee: delivery.ExactlyOnce, Why: "the file goes on behind the rows that the checkpoint covers, and appears when it is whole"}
}
