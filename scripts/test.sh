#!/bin/sh
# test.sh [PACKAGE...]: runs the Go tests with the race detector, in shuffled order, and counts them; then the Python tests.
set -eu
cd "$(dirname "$0")/.."

# The race detector is cgo: the tests need a C compiler for it, the binary never does.
race=-race
cc=$(go env CC)
if ! command -v "${cc%% *}" >/dev/null 2>&1; then
	if [ -n "${CI:-}" ]; then
		echo "test.sh: no C compiler ($cc); CI must run the tests with the race detector" >&2
		exit 1
	fi
	race=
	cat >&2 <<-MESSAGE
		*** no C compiler ($cc) was found: the tests run WITHOUT the race detector ***
		hint: install gcc or clang and run make test again before you send a change
	MESSAGE
fi

[ $# -gt 0 ] || set -- ./...
export GORGE_PYTHON="${GORGE_PYTHON:-$PWD/.venv/bin/python}"
if [ -n "$race" ]; then export CGO_ENABLED=1; fi
.tools/bin/gotestsum --format standard-quiet --format-hide-empty-pkg -- $race -shuffle=on -timeout 10m "$@"
.venv/bin/python -m pytest python
