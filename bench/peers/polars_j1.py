"""J1 as one lazy Polars query on its streaming engine."""

import os

os.environ["POLARS_MAX_THREADS"] = os.environ["BENCH_THREADS"]

import polars as pl

schema = {"device_id": pl.String, "ts": pl.Int64, "temperature": pl.Float64}
(
    pl.scan_ndjson(os.environ["BENCH_IN"], schema=schema)
    .group_by("device_id", window_start=pl.col("ts") // 10_000 * 10_000)
    .agg(avg=pl.col("temperature").mean(), count=pl.len())
    .collect(engine="streaming")
    .write_csv(os.environ["BENCH_OUT"])
)
