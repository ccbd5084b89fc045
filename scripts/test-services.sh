#!/bin/sh
# test-services.sh: the whole program at size, and against real servers, which it builds and starts itself.
# The receivers and clients of the other tests are our own, over real HTTP and files.
set -eu
cd "$(dirname "$0")/.."
scripts/tools.sh versitygw

work=$(mktemp -d)
server=
stop() {
	if [ -n "$server" ]; then kill "$server" && wait "$server" || :; fi
	rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT TERM

# An S3 server with its objects as files below $work.
port=$(.venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export AWS_ACCESS_KEY_ID=gorge AWS_SECRET_ACCESS_KEY=only-for-tests AWS_EC2_METADATA_DISABLED=true
mkdir -p "$work/s3/gorge-test"
ROOT_ACCESS_KEY=$AWS_ACCESS_KEY_ID ROOT_SECRET_KEY=$AWS_SECRET_ACCESS_KEY \
	.tools/bin/versitygw --quiet --port "127.0.0.1:$port" --health /health posix "$work/s3" >"$work/s3.log" 2>&1 &
server=$!
tries=0
until .venv/bin/python -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:$port/health', timeout=5)" 2>/dev/null; do
	tries=$((tries + 1))
	if [ $tries -gt 100 ] || ! kill -0 $server 2>/dev/null; then
		echo "test-services: versitygw does not answer:" >&2
		cat "$work/s3.log" >&2
		exit 1
	fi
	sleep 0.2
done
export GORGE_TEST_SERVICES=1 GORGE_TEST_S3="s3://gorge-test/tests?endpoint=http://127.0.0.1:$port&region=us-east-1&path_style=true"

echo "test-services: make demo, without a terminal"
scripts/demo.sh </dev/null
echo "test-services: end-to-end tests with 2,000,000 events, stores on a real S3 server"
GORGE_BINARY=$PWD/bin/gorge GORGE_PYTHON=$PWD/.venv/bin/python GORGE_E2E_EVENTS=2000000 \
	.tools/bin/gotestsum --format standard-quiet -- -count 1 -timeout 20m ./test/...
echo "test-services: ran the demo, the end-to-end, example and documentation tests, and checkpoints in a bucket of versitygw"
