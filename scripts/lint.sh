#!/bin/sh
# lint.sh: every static check, cheapest first. Each prints its name, so that a failure has an address.
set -eu
cd "$(dirname "$0")/.."

step() {
	echo "lint: $*"
	"$@"
}

step go vet ./...
step .tools/bin/golangci-lint run --timeout 10m ./...
step .venv/bin/ruff check python examples bench
step .venv/bin/ruff format --check python examples bench
step .venv/bin/mypy --config-file python/pyproject.toml
