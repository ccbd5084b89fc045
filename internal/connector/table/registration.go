package table

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/delivery"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

// Dir is the directory of the table store below the engine's data directory.
const Dir = "tables"

// Registration is the sink "table".
var Registration = connector.Registration{
	Sink: &spec.Decl{
		Name:    "table",
		Summary: "Rows kept in the engine by key, readable over HTTP while the pipeline runs.",
		Doc: "A row replaces the one with the same key. The table has the name of the sink: read it with `gorge query NAME` or\n" +
			"`GET /v1/tables/NAME`. The last timestamp in `key` is the time of a row: ranges of time and `retain` go by it.\n" +
			"With checkpoints, rows can be read from the checkpoint on that covers them. While the disk is full the pipeline waits.",
		Fields: []spec.Field{
			{Name: "key", Type: spec.Strings, Required: true,
				Doc: "Columns that make a row unique, in the order by which rows are found: `[device_id, window_start]`."},
			{Name: "retain", Type: spec.Duration, Min: float64(time.Second), Max: float64(maxRetain),
				Doc: "How long a row is kept behind the latest row, by the timestamp in the key; for ever when absent. Rows are dropped a thirtieth of it at a time."},
			{Name: "path", Type: spec.String,
				Doc: "Directory for the table store; `" + Dir + "` in the data directory when absent. Tables with the same path share a store."},
		},
		Example: "table: {key: [device_id, window_start], retain: 30d}",
	},
	SinkPromise:  func(*spec.Values) delivery.Promise { return delivery.Promise{Guarantee: delivery.ExactlyOnce} },
	Dead:         true,
	NewSink:      newSink,
	NewEpochSink: newEpochSink,
	CheckSink:    checkSink,
}

// maxRetain keeps retain far from the ends of time.
const maxRetain = 200 * 365 * 24 * time.Hour

// tableName is what can be a path segment of a URL as it is.
var tableName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

// openTable opens the table of a sink. Its store is to be released, and it closed.
func openTable(set *spec.Values, env connector.SinkEnv) (*table, error) {
	if err := checkSink(set, env.Schema); err != nil {
		return nil, err
	}
	if !tableName.MatchString(env.Name) {
		return nil, diag.New("table/bad-name", "%q cannot be the name of a table", clip(env.Name)).At(set.Place()).
			WithHint("use letters, digits, '_', '-' and '.'")
	}
	dir := set.String("path")
	if dir == "" {
		if env.DataDir == "" {
			return nil, diag.New("table/no-data-dir", "table %s has no directory to live in", env.Name).At(set.Place()).
				WithHint("set path, or start the engine with a data directory")
		}
		dir = filepath.Join(env.DataDir, Dir)
	}
	log, files := env.Log, env.FS
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if files == nil {
		files = vfs.Default
	}
	s, err := acquire(dir, files, log)
	if err != nil {
		return nil, place(err, set)
	}
	t, err := s.table(newDefinition(env.Name, set.Strings("key"), env.Schema, set.Duration("retain")))
	if err != nil {
		return nil, errors.Join(place(err, set), s.release())
	}
	return t, nil
}

// lister returns what puts the table on the API of the engine, which is there at once.
func lister(mux connector.Mux, t *table) func() (remove func()) {
	a := apiOn(mux)
	return func() func() {
		if a == nil {
			return func() {}
		}
		return a.add(t)
	}
}

// tellStalls passes on when the disk of the table is full, until stop is called.
func tellStalls(env connector.SinkEnv, t *table) (stop func()) {
	if env.Stalled == nil {
		return func() {}
	}
	return t.store.disk.watch(func(full bool) {
		reason := ""
		if full {
			reason = fmt.Sprintf("table %s: the disk of %s is full", env.Name, t.store.dir)
		}
		env.Stalled(reason)
	})
}

// newSink makes a writer that takes no part in epochs.
func newSink(set *spec.Values, env connector.SinkEnv) (connector.SinkWriter, error) {
	t, err := openTable(set, env)
	if err != nil {
		return nil, err
	}
	dead := func(code, reason string, row []byte) {
		if env.Dead != nil {
			env.Dead(code, reason, "", row)
		}
	}
	remove, stop := lister(env.HTTP, t)(), tellStalls(env, t)
	return newWriter(newEncoder(t, env.Schema, dead), func() error {
		stop()
		remove()
		t.close()
		return t.store.release()
	}), nil
}

// newEpochSink makes a table for a job with checkpoints.
func newEpochSink(set *spec.Values, env connector.SinkEnv) (connector.Sink, error) {
	t, err := openTable(set, env)
	if err != nil {
		return nil, err
	}
	return &epochSink{table: t, schema: env.Schema, sizes: defaultSizes, list: lister(env.HTTP, t), unwatch: tellStalls(env, t)}, nil
}

// place puts a refusal at the sink in the user's file.
func place(err error, set *spec.Values) error {
	var e *diag.Error
	if errors.As(err, &e) && e.Place == (diag.Place{}) {
		return e.At(set.Place())
	}
	return err
}

// checkSink reports what does not fit the columns, all of it at once.
func checkSink(set *spec.Values, schema *batch.Schema) error {
	var out diag.List
	at := set.PlaceOf("key")
	refuse := func(code diag.Code, hint, format string, args ...any) {
		out.Add(diag.New(code, format, args...).At(at).WithHint("%s", hint))
	}
	key := set.Strings("key")
	if len(key) == 0 {
		refuse("table/no-key", "name the columns that make a row unique, such as [device_id, window_start]", "a table needs a key")
	}
	clock := -1
	for i, name := range key {
		c := schema.Index(name)
		switch {
		case name == "" || c < 0:
			refuse("table/unknown-column", nearest(name, schema.Names()), "the key column %q does not exist", name)
		case slices.Contains(key[:i], name):
			refuse("table/repeated-column", "name each column once", "the key names %s twice", name)
		case !keyKind(schema.Fields[c].Kind):
			refuse("table/key-kind", "use bool, int32, int64, string, binary or timestamp; cast where needed: int64("+name+")",
				"the key column %s is %s, and floating point makes no key", name, schema.Fields[c].Kind)
		case schema.Fields[c].Kind == batch.Timestamp:
			clock = c
		}
	}
	if set.Duration("retain") > 0 && clock < 0 && len(out) == 0 {
		at = set.PlaceOf("retain")
		refuse("table/retain-without-time", timeHint(schema), "retain goes by time, and no column of the key [%s] is a timestamp", strings.Join(key, ", "))
	}
	if n := len(schema.Names()); n > maxColumns {
		refuse("table/too-many-columns", "select the columns that are needed", "%d columns are more than a table takes (%d)", n, maxColumns)
	}
	return out.Err()
}

// timeHint names the timestamps that could go into the key.
func timeHint(schema *batch.Schema) string {
	var names []string
	for _, f := range schema.Fields {
		if f.Name != "" && f.Kind == batch.Timestamp {
			names = append(names, f.Name)
		}
	}
	if len(names) == 0 {
		return "remove retain, or select a timestamp into the table"
	}
	return fmt.Sprintf("add %s to the key, or remove retain", strings.Join(names, " or "))
}
