package main

import (
	"context"

	"github.com/gorge-stream/gorge/bench/dataset"
)

// variants is J1 on inputs that leave the straight path: each is compared with
// DuckDB on the same file, the naive baseline and Polars are left out.
var variants = job{"variants", "J1 on other inputs: any field order, long keys, long numbers, escapes, nulls and booleans, 10,000 devices", runVariants}

func runVariants(ctx context.Context, e *env) ([]section, error) {
	events := max(e.events/4, 1)
	sets := []dataset.Set{
		{Style: dataset.Plain, Events: events, Devices: devices},
		{Style: dataset.Plain, Events: events, Devices: 10_000},
		{Style: dataset.AnyOrder, Events: events, Devices: devices},
		{Style: dataset.LongKeys, Events: events, Devices: devices},
		{Style: dataset.LongNums, Events: events, Devices: devices},
		{Style: dataset.Escapes, Events: events, Devices: devices},
		{Style: dataset.NullsBool, Events: events, Devices: devices},
	}
	var list []contender
	for _, c := range contenders(ctx, e) {
		if c.name == engineName || c.name == duckdb {
			list = append(list, c)
		}
	}
	s := section{Title: "J1 on other inputs", Reference: duckdb, Note: "any-order: every line has another order of fields. long-keys: 36 bytes. long-nums: 17 digits or an exponent. escapes: one in every key, UTF-8 text. nulls-bools: every 16th temperature is null, booleans and nulls between the fields."}
	for _, set := range sets {
		f, err := dataset.Make(e.data, set)
		if err != nil {
			return []section{s}, err
		}
		runs, err := compare(ctx, e, list, f, duckdb)
		if err != nil {
			return []section{s}, err
		}
		s.Runs = append(s.Runs, runs...)
	}
	return []section{s}, failures(s.Runs)
}
