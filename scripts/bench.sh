#!/bin/sh
# bench.sh: measures with N events (default 10000000), ROUNDS rounds (3) and the JOBS named (default all but j1-30m).
# DuckDB and Polars live in .bench-venv, apart from what the engine uses. Inputs stay in .bench-data for the next run.
set -eu
cd "$(dirname "$0")/.."

if [ ! -x .bench-venv/bin/python ] || ! cmp -s bench/peers/requirements.txt .bench-venv/.installed; then
	echo "installing bench/peers/requirements.txt into .bench-venv ..." >&2
	"$(scripts/python.sh)" -m venv --clear .bench-venv
	.bench-venv/bin/python -m pip install --quiet --disable-pip-version-check -r bench/peers/requirements.txt
	cp bench/peers/requirements.txt .bench-venv/.installed
fi
go build -trimpath -o bin/bench-naive ./bench/naive
go build -trimpath -o bin/bench ./bench
export GORGE_PYTHON="${GORGE_PYTHON:-$PWD/.venv/bin/python}"
set -- -python .bench-venv/bin/python -events "${N:-10000000}" -rounds "${ROUNDS:-3}"
if [ -n "${JOBS:-}" ]; then set -- "$@" -jobs "$JOBS"; fi
exec bin/bench "$@"
