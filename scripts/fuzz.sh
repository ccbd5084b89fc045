#!/bin/sh
# fuzz.sh: runs every fuzz target of the tree for FUZZTIME (default 10s), one after the other; PACKAGE=./internal/codec/... narrows it.
set -eu
cd "$(dirname "$0")/.."

found=0
for dir in $(go list -f '{{.Dir}}' "${PACKAGE:-./...}"); do
	for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go 2>/dev/null | cut -c6- | sort); do
		found=$((found + 1))
		echo "fuzz: ${dir#"$PWD"/} $target for ${FUZZTIME:-10s}"
		(cd "$dir" && go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-10s}" .)
	done
done
echo "fuzz: $found targets, no failure"
