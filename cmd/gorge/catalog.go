package main

import (
	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/plan"
	"github.com/gorge-stream/gorge/internal/spec"
)

// catalog tells the planner what the listed connectors and formats can do.
func catalog() *plan.Catalog {
	c := &plan.Catalog{Sources: map[string]plan.SourceInfo{}, Sinks: map[string]plan.SinkInfo{}, Formats: map[string]plan.FormatInfo{}, DeadLetters: deadLetters}
	for name, r := range connectors {
		if r.Source != nil {
			c.Sources[name] = plan.SourceInfo{Decl: r.Source, DefaultFormat: r.DefaultFormat, Rows: r.Rows, Schema: r.SourceSchema, Promise: r.SourcePromise, Unbounded: r.Unbounded}
		}
		if r.Sink != nil {
			c.Sinks[name] = plan.SinkInfo{
				Decl: r.Sink, DefaultFormat: r.DefaultFormat, Bytes: r.Bytes, Parallel: r.Parallel, Dead: r.Dead, AtEnd: r.AtEnd,
				Promise: r.SinkPromise, Check: r.CheckSink, Internal: name == deadLetters,
			}
		}
	}
	for name, f := range formats {
		c.Formats[name] = formatInfo(f)
	}
	return c
}

// formatInfo tells the planner about a format. Settings and columns fit when a
// decoder or encoder can be made of them.
func formatInfo(f codec.Format) plan.FormatInfo {
	info := plan.FormatInfo{Decl: f.Decl, Reads: f.NewDecoder != nil, Writes: f.NewEncoder != nil, Schema: f.Schema}
	if info.Reads {
		info.CheckRead = func(set *spec.Values, columns []spec.Column) error {
			_, err := f.NewDecoder(set, columns, columns, codec.Limits{}.WithDefaults())
			return err
		}
	}
	if info.Writes {
		info.CheckWrite = func(set *spec.Values, schema *batch.Schema) error {
			_, err := f.NewEncoder(set, schema)
			return err
		}
	}
	return info
}
