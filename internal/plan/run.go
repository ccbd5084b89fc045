package plan

import (
	"fmt"
	"strings"
	"time"

	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

// checkpointOff is the word that switches checkpoints off.
const checkpointOff = "off"

var checkpointDecl = &spec.Decl{
	Name: "checkpoint", Short: "interval",
	Summary: "How the pipeline survives a crash: every so often state, positions and output are made durable together, and the next run goes on from there.",
	Fields: []spec.Field{
		{Name: "interval", Type: spec.Duration, Default: 5 * time.Second, Min: float64(50 * time.Millisecond), Max: float64(time.Hour), Values: []string{checkpointOff},
			Doc: "The time from one checkpoint to the next: how much work a crash repeats, and how long sinks that show whole checkpoints keep rows back. off: none, and after a crash the run starts from the beginning."},
		{Name: "timeout", Type: spec.Duration, Default: 10 * time.Minute, Min: float64(time.Second), Max: float64(24 * time.Hour),
			Doc: "A checkpoint that takes longer is abandoned; several in a row end the run."},
		{Name: "retain", Type: spec.Int, Default: int64(3), Min: 1, Max: 100, Doc: "How many checkpoints are kept."},
		{Name: "store", Type: spec.String, Doc: "Where they are kept: a folder, or a bucket written as s3://BUCKET/PREFIX?endpoint=HOST. Left out: the data directory."},
	},
	Example: "checkpoint: {interval: 1s, retain: 5}",
}

var stateBackends = []string{"memory", "disk"}

var stateDecl = &spec.Decl{
	Name: "state", Short: "backend",
	Summary: "Where the state of windows and running statistics lives while the pipeline runs.",
	Fields: []spec.Field{
		{Name: "backend", Type: spec.Enum, Values: stateBackends, Default: stateBackends[0], Doc: "memory: as large as memory allows, and fastest. disk: as large as the disk, in the data directory. Results are the same."},
		{Name: "memory_limit", Type: spec.Size, Default: int64(256 << 20), Min: 1 << 20, Max: 1 << 40, Doc: "How much of the state of each task the backend disk keeps in memory."},
	},
	Example: "state: {backend: disk, memory_limit: 1GiB}",
}

// runSettings reads the sections about how the pipeline runs.
func (c *compiler) runSettings(root *yamlValue) {
	set := c.runSection(root, checkpointDecl)
	c.plan.Checkpoint = Checkpoint{
		Off: set.String("interval") == checkpointOff, Interval: set.Duration("interval"), Timeout: set.Duration("timeout"),
		Retain: int(set.Int("retain")), Store: set.String("store"),
	}
	c.checkStore(set.String("store"), set.PlaceOf("store"))
	set = c.runSection(root, stateDecl)
	c.plan.State = State{Disk: set.String("backend") == stateBackends[1], MemoryLimit: set.Int("memory_limit")}
	if set.IsSet("memory_limit") && !c.plan.State.Disk {
		c.warnf(codeUnread, set.PlaceOf("memory_limit"), "memory_limit does nothing: the state is in memory, all of it").
			WithHint("add backend: disk, or remove it")
	}
}

// runSection reads a section that is the settings of one part; an absent one has the defaults.
func (c *compiler) runSection(root *yamlValue, decl *spec.Decl) *spec.Values {
	v := root.get(decl.Name)
	if v == nil || v.kind == yamlNull {
		return spec.NewValues(decl, diag.Place{}, nil)
	}
	return c.values(v, decl, "the section "+decl.Name)
}

// checkStore refuses addresses of stores that there are not.
func (c *compiler) checkStore(store string, place diag.Place) {
	scheme, rest, isURL := strings.Cut(store, "://")
	if !isURL {
		return
	}
	bucket, _, _ := strings.Cut(rest, "/")
	bucket, _, _ = strings.Cut(bucket, "?")
	if scheme == "s3" && bucket != "" {
		return
	}
	c.errorf(codeWord, place, "checkpoints cannot be kept in %q", clip(store)).
		WithHint("name a folder, or a bucket: s3://BUCKET/PREFIX?endpoint=HOST")
}

// filesThatNeverAppear warns of sinks that wait for the end of an input that
// never ends. A run without checkpoints ends its input when it is stopped; with
// them it goes on behind the stop.
func (c *compiler) filesThatNeverAppear() {
	for _, n := range c.plan.Nodes {
		s, ok := n.Op.(*Sink)
		if !ok || c.plan.Checkpoint.Off || IsDeadLetters(n) {
			continue
		}
		src := origin(n.Inputs[0])
		op := src.Op.(*Source)
		atEnd, unbounded := c.cat.Sinks[s.Connector].AtEnd, c.cat.Sources[op.Connector].Unbounded
		if atEnd != nil && atEnd(s.Set) && unbounded != nil && unbounded(op.Set) {
			c.warnf(codeNeverThere, n.Place, "the file of the sink %s appears when the input ends, which the source %s never does", n.Name, src.Name).
				WithHint("name a folder, with a / at the end: it gets a file with each checkpoint")
		}
	}
}

// replaceCheckpoint puts the interval of a flag, or off, in the place of the file's.
func replaceCheckpoint(root *yamlValue, text string) {
	place := diag.Place{File: checkpointFlag, Line: 1, Column: 1, Width: max(1, len(text)), Source: text}
	value := &yamlValue{kind: yamlScalar, text: text, place: place}
	v := root.get("checkpoint")
	switch {
	case v == nil:
		root.entries = append(root.entries, yamlEntry{key: "checkpoint", place: place, value: value})
	case v.kind != yamlMap:
		*v = *value
	case v.get("interval") != nil:
		*v.get("interval") = *value
	default:
		v.entries = append(v.entries, yamlEntry{key: "interval", place: place, value: value})
	}
}

// checkpointFlag is the place of what Options.Checkpoint says.
const checkpointFlag = "--checkpoint"

// checkpointWords says how the pipeline survives a crash. What stands behind the
// "?" of a store is left out: it may hold secrets.
func checkpointWords(c Checkpoint) string {
	if c.Off {
		return "checkpoints off"
	}
	store, _, _ := strings.Cut(c.Store, "?")
	if store == "" {
		store = "the data directory"
	}
	last := "the last one"
	if c.Retain > 1 {
		last = fmt.Sprintf("the last %d", c.Retain)
	}
	return fmt.Sprintf("checkpoints every %s, %s kept in %s", formatDuration(c.Interval), last, store)
}

// stateWords says where state lives.
func stateWords(s State) string {
	if s.Disk {
		return fmt.Sprintf("state on disk, up to %s of each task in memory", formatSize(float64(s.MemoryLimit)))
	}
	return "state in memory"
}
