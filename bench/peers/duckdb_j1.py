"""J1 as one DuckDB query over the whole file.

A batch query may see all input before it answers; a stream may not.
"""

import os

import duckdb

connection = duckdb.connect(
    config={"threads": int(os.environ["BENCH_THREADS"]), "preserve_insertion_order": False}
)
connection.execute(f"""
    COPY (
        SELECT
            device_id,
            ts // 10000 * 10000 AS window_start,
            avg(temperature) AS avg,
            count(*) AS count
        FROM read_json(
            '{os.environ["BENCH_IN"]}',
            format = 'newline_delimited',
            columns = {{device_id: 'VARCHAR', ts: 'BIGINT', temperature: 'DOUBLE'}}
        )
        GROUP BY device_id, window_start
    ) TO '{os.environ["BENCH_OUT"]}' (FORMAT csv, HEADER true)
""")
