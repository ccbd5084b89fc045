package main

import (
	"context"
	"fmt"

	"github.com/gorge-stream/gorge/bench/dataset"
)

// j1 is the main job: file to file, beside DuckDB, Polars and the naive baseline.
var j1 = job{"j1", "10 M events of 120-byte JSON, 500,000 devices, 10 s tumbling count and average, file to file", func(ctx context.Context, e *env) ([]section, error) {
	return mainJob(ctx, e, e.events)
}}

// j1Long is j1 with three times the events: growth, several windows, start-up no longer counts.
var j1Long = job{"j1-30m", "the same with three times the events", func(ctx context.Context, e *env) ([]section, error) {
	return mainJob(ctx, e, 3*e.events)
}}

const devices = 500_000

func mainJob(ctx context.Context, e *env, events int64) ([]section, error) {
	f, err := dataset.Make(e.data, dataset.Set{Style: dataset.Plain, Events: events, Devices: devices})
	if err != nil {
		return nil, err
	}
	runs, err := compare(ctx, e, contenders(ctx, e), f, duckdb)
	if err != nil {
		return nil, err
	}
	return []section{{
		Title:     fmt.Sprintf("J1: %d events, %d devices, 10 s tumbling count and average, file to file", events, devices),
		Note:      fmt.Sprintf("Input %.0f MB, in the page cache. Contenders alternate; wall time is exec to exit, start-up included; every device's count and sum is compared with the oracle in every round.", float64(f.Bytes)/1e6),
		Reference: duckdb, Runs: runs,
	}}, failures(runs)
}
