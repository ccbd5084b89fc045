#!/bin/sh
# demo.sh: what the engine does, in under a minute. It needs bin/gorge and .venv, which make builds.
set -eu
cd "$(dirname "$0")/.."

gorge=$PWD/bin/gorge
python=$PWD/.venv/bin/python
export GORGE_PYTHON="$python"
dir=$PWD/.demo
rm -rf "$dir"
mkdir -p "$dir"

engine=
receiver=
cleanup() {
	for pid in $engine $receiver; do kill "$pid" 2>/dev/null || true; done
	wait 2>/dev/null || true
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '\n== %s\n\n' "$*"; }
free_port() { "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

say "1. Real data: a year of weather at three airports, scored row by row by a Python function. Which reading cannot be true?"
"$gorge" run examples/3-python/pipeline.yaml --http off --data "$dir/weather" --log-level warn | tee "$dir/broken.ndjson"
echo
echo "An anemometer in Newark claims 1,048 miles an hour: that row alone lies more than ten deviations off."

rate=${RATE:-50000}
seconds=${SECONDS_TO_RUN:-25}
say "2. A city of 500 sensors, $rate readings a second for $seconds seconds: half-second averages, Python scores, alerts, a table"
alerts=127.0.0.1:$(free_port)
http=127.0.0.1:$(free_port)
"$gorge" receive --listen "$alerts" >"$dir/alerts.ndjson" 2>"$dir/receiver.log" &
receiver=$!
export RATE="$rate" EVENTS=$((rate * seconds)) WINDOW=500ms ALERTS="http://$alerts/" OUT="$dir/scored.ndjson" LATE="$dir/late.ndjson"
start() {
	"$gorge" run examples/5-city-sensors/pipeline.yaml --http "$http" --data "$dir/city" --log-level warn 2>>"$dir/engine.log" &
	engine=$!
}
start

# alerts, from JSON to a line for people
readable() {
	"$python" -c '
import json, sys
for row in map(json.loads, sys.stdin):
    print("  ALERT {device_id}: {avg_temp:.1f} degrees at {window_start}, usually {mean:.1f}, score {score:.1f}".format(**row))
'
}

# rows of a file that may not be there yet
count() { if [ -e "$1" ]; then wc -l <"$1" | tr -d ' '; else echo 0; fi; }

shown=0
second=0
half=$((seconds / 2))
while kill -0 "$engine" 2>/dev/null; do
	sleep 1
	second=$((second + 1))
	have=$(count "$dir/alerts.ndjson")
	if [ "$have" -gt "$shown" ]; then
		sed -n "$((shown + 1)),${have}p" "$dir/alerts.ndjson" | head -n 3 | readable
		shown=$have
	fi
	if [ "$second" -eq 6 ]; then
		echo "  a query while it runs: gorge query by_device --key device_id=dev-0000007 --order desc --limit 4"
		"$gorge" query by_device --key device_id=dev-0000007 --order desc --limit 4 --format table --addr "http://$http"
	fi
	if [ "$second" -eq "$half" ]; then
		echo "  kill -9 $engine, half-way and without a warning. The same command again:"
		kill -9 "$engine"
		wait "$engine" 2>/dev/null || true
		start
	fi
	if [ $((second % 5)) -eq 0 ]; then
		echo "  after $second s: $have alerts, $(($(count "$dir/late.ndjson.partial") + $(count "$dir/late.ndjson"))) late rows set aside"
	fi
done
status=0
wait "$engine" || status=$?
engine=
if [ "$status" -ne 0 ]; then
	cat "$dir/engine.log" >&2
	exit "$status"
fi

say "3. What came out"
echo "scored windows (of $(count "$dir/scored.ndjson")):"
tail -n 3 "$dir/scored.ndjson"
echo
echo "the same from the table, now that the engine is gone: gorge query by_device --data .demo/city ..."
"$gorge" query by_device --data "$dir/city" --key device_id.prefix=dev-000000 --order desc --limit 3 --format table
echo
echo "late rows, which no window could take any more: $(count "$dir/late.ndjson")"
echo "alerts, windows more than four deviations off: $(count "$dir/alerts.ndjson")"
printf 'after the kill, '
grep '^done:' "$dir/engine.log" || cat "$dir/engine.log"
in_windows=$("$python" -c 'import json, sys; print(sum(json.loads(line)["n"] for line in sys.stdin))' <"$dir/scored.ndjson")
echo
echo "and after the kill -9 nothing is lost or doubled: $in_windows readings in windows + $(count "$dir/late.ndjson") late = $EVENTS that were made"
if [ $((in_windows + $(count "$dir/late.ndjson"))) -ne "$EVENTS" ]; then
	echo "demo.sh: the counts differ" >&2
	exit 1
fi
if [ "$(count "$dir/broken.ndjson")" -ne 1 ] || [ "$(count "$dir/alerts.ndjson")" -eq 0 ]; then
	echo "demo.sh: expected one broken reading and some alerts" >&2
	exit 1
fi
say "Next: examples/README.md, docs/tutorial/first-pipeline.md, gorge --help"
