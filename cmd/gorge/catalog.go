package main

import "github.com/gorge-stream/gorge/internal/plan"

// catalog tells the planner what the listed connectors and formats can do.
func catalog() *plan.Catalog {
	c := &plan.Catalog{Sources: map[string]plan.SourceInfo{}, Sinks: map[string]plan.SinkInfo{}, Formats: map[string]plan.FormatInfo{}}
	for name, r := range connectors {
		if r.Source != nil {
			c.Sources[name] = plan.SourceInfo{Decl: r.Source, DefaultFormat: r.DefaultFormat, Rows: r.Rows, Schema: r.SourceSchema, Promise: r.SourcePromise}
		}
		if r.Sink != nil {
			c.Sinks[name] = plan.SinkInfo{Decl: r.Sink, DefaultFormat: r.DefaultFormat, Bytes: r.Bytes, Parallel: r.Parallel, Promise: r.SinkPromise, Check: r.CheckSink}
		}
	}
	for name, f := range formats {
		c.Formats[name] = plan.FormatInfo{Decl: f.Decl, Reads: f.NewDecoder != nil, Writes: f.NewEncoder != nil, Schema: f.Schema}
	}
	return c
}
