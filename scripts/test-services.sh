#!/bin/sh
# test-services.sh: the whole program at size. No part of this version talks to a server of somebody else's (Kafka, Postgres, ...),
# so there is none to start: the receivers and clients are our own, over real HTTP and files.
set -eu
cd "$(dirname "$0")/.."

echo "test-services: make demo, without a terminal"
scripts/demo.sh </dev/null
echo "test-services: end-to-end tests with 2,000,000 events"
GORGE_BINARY=$PWD/bin/gorge GORGE_PYTHON=$PWD/.venv/bin/python GORGE_E2E_EVENTS=2000000 \
	.tools/bin/gotestsum --format standard-quiet -- -count 1 -timeout 20m ./test/...
echo "test-services: ran the demo and the end-to-end, example and documentation tests; no external server is needed by this version"
