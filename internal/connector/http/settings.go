package httpio

import (
	"net/http"
	"time"

	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/delivery"
	"github.com/gorge-stream/gorge/internal/spec"
)

// Registration lists the connector.
var Registration = connector.Registration{
	Source:        sourceDecl,
	Sink:          sinkDecl,
	DefaultFormat: "json",
	Dead:          true,
	SourcePromise: func(set *spec.Values) delivery.Promise {
		if set.Bool("require_key") {
			return delivery.Promise{Guarantee: delivery.ExactlyOnce, Why: "a repetition beyond key_horizon or key_limit would count again"}
		}
		return delivery.Promise{Guarantee: delivery.AtLeastOnce, Why: "clients that repeat a request without Idempotency-Key are counted twice; require_key: true refuses such requests"}
	},
	SinkPromise: func(*spec.Values) delivery.Promise {
		return delivery.Promise{Guarantee: delivery.Idempotent, Why: "a request may be sent again with the same Idempotency-Key; a receiver that drops repetitions sees each row once"}
	},
	Unbounded:    func(*spec.Values) bool { return true },
	NewSource:    newSource,
	NewSink:      newSink,
	NewEpochSink: newEpochSink,
	CheckSink:    checkSink,
}

var sourceDecl = &spec.Decl{
	Name:    "http",
	Summary: "Takes rows by POST /ingest/NAME on the address of the engine.",
	Doc: `NAME is the name of the source; ` + "`POST /ingest`" + ` works too while there is one such source. The body is what the format
reads: for JSON one object, an array of objects or one object a line. ` + "`Content-Encoding: gzip`" + ` and ` + "`zstd`" + ` are understood.

A request is accepted whole or not at all. Answers: 202 ` + "`{\"accepted\": n}`" + `; 400 with the first bad line and the reason; 408 when
the body comes too slowly; 413 when it is too large; 415 for another ` + "`Content-Type`" + ` than that of the format, or another encoding;
422 for a key that was used with another body; 429 with ` + "`Retry-After`" + ` when the pipeline cannot keep up; 503 while the engine stops.

In a job with checkpoints 202 means that the request is on the disk, in the folder ` + "`journal/NAME`" + ` of the data directory, until a
checkpoint has taken it in: what was answered with 202 is not lost. Without checkpoints it means that the rows are queued in memory.

A client that is left without an answer does not know whether its request was accepted. It can repeat it safely when it names it, by an
` + "`Idempotency-Key`" + ` that differs by request, or by ` + "`Gorge-Producer-Id`" + ` and ` + "`Gorge-Sequence`" + `, the number of the request: with checkpoints a repetition is
answered 202 and not taken again, also after a crash, for ` + "`key_horizon`" + ` and the last ` + "`key_limit`" + ` keys.

curl names a type of its own unless it is told: ` + "`curl -H 'Content-Type: application/x-ndjson' --data-binary @rows.ndjson URL`" + `.`,
	Fields: []spec.Field{
		{Name: "max_body", Type: spec.Size, Default: int64(8 << 20), Min: 1, Max: 1 << 30, Doc: "The largest body, as sent and after decompression."},
		{Name: "queue", Type: spec.Size, Default: int64(64 << 20), Min: 64 << 10, Max: 64 << 30, Doc: "Memory for requests being read and rows waiting for the pipeline. With checkpoints half as much besides keeps the latest requests close at hand."},
		{Name: "max_requests", Type: spec.Int, Default: int64(1000), Min: 1, Max: 100_000, Doc: "Requests handled at the same time."},
		{Name: "body_timeout", Type: spec.Duration, Default: 30 * time.Second, Min: 1e6, Max: 3600e9, Doc: "How long a body may take to arrive."},
		{Name: "max_delay", Type: spec.Duration, Default: time.Millisecond, Min: 0, Max: 60e9, Doc: "How long rows of small requests wait to be taken together, without checkpoints."},
		{Name: "journal_limit", Type: spec.Size, Default: int64(1 << 30), Min: 1 << 20, Max: 1 << 40, Doc: "With checkpoints: bytes of requests on the disk that no checkpoint has taken in. Above it the answer is 429."},
		{Name: "require_key", Type: spec.Bool, Doc: "With checkpoints: refuse requests without a key with 400. Only then can a path from this source be `exactly_once`."},
		{Name: "key_horizon", Type: spec.Duration, Default: time.Hour, Min: 1e9, Max: 30 * 86400e9, Doc: "With checkpoints: for how long the key of a request is known."},
		{Name: "key_limit", Type: spec.Int, Default: int64(1_000_000), Min: 1, Max: 100_000_000, Doc: "With checkpoints: how many keys are known at the most; each takes about 100 bytes of memory."},
	},
	Example: "http: {max_body: 1MiB}",
}

var sinkDecl = &spec.Decl{
	Name:    "http",
	Summary: "Sends rows by POST or PUT.",
	Doc: `Each row is a request of its own, or ` + "`batch`" + ` rows together. Up to ` + "`in_flight`" + ` requests run at the same time, so that
rows may arrive in another order than they were made in, also those of one key.

Connection errors, timeouts and the answers 408, 425, 429 and 5xx are tried again with growing pauses (` + "`Retry-After`" + ` is
respected) for ` + "`retry_for`" + `. Redirects are not followed. Any other answer than 2xx refuses the rows for good: they become dead
letters with the status and the beginning of the answer.

In a job with checkpoints rows wait in the folder ` + "`outbox/NAME`" + ` of the data directory and are sent when their checkpoint is decided; a receiver that
is down holds up nothing else until ` + "`outbox_limit`" + ` is reached. Each request has an ` + "`Idempotency-Key`" + ` of its own, which stays the same whenever the request
is sent again, also after a crash: a receiver that drops repetitions of a key sees each row once. Dead letters are of the checkpoint that notes the
answer; rows refused behind the last checkpoint of all, when the input has ended, go to ` + "`refused-*.ndjson`" + ` in that folder, and the log says so.

With ` + "`delivery: at_least_once`" + `, or without checkpoints, rows leave at once. Then the key is made of the name of the sink and the rows: equal rows have equal keys.`,
	Fields: []spec.Field{
		{Name: "url", Type: spec.String, Required: true, Doc: "Where to send to: http or https. Only scheme and host are ever printed."},
		{Name: "method", Type: spec.Enum, Values: []string{http.MethodPost, http.MethodPut}, Default: http.MethodPost, Doc: "The request method."},
		{Name: "headers", Type: spec.StringMap, Doc: "Headers of every request. Take secrets from the environment: `Authorization: \"Bearer ${TOKEN}\"`. They are never printed."},
		{Name: "batch", Type: spec.Int, Default: int64(1), Min: 1, Max: 100_000, Doc: "Rows of a request. Fewer are sent at the end of a checkpoint, and without one when the input runs dry."},
		{Name: "body", Type: spec.Enum, Values: []string{"object", "array", "lines"}, Doc: "How JSON rows make a body: one object, an array, or an object a line. The default is object, with `batch` over 1 array."},
		{Name: "timeout", Type: spec.Duration, Default: 10 * time.Second, Min: 1e6, Max: 3600e9, Doc: "How long one attempt may take."},
		{Name: "retry_for", Type: spec.Duration, Default: time.Minute, Min: 0, Max: 86400e9, Doc: "How long a request is tried again before it counts as failed."},
		{Name: "in_flight", Type: spec.Int, Default: int64(8), Min: 1, Max: 1000, Doc: "Requests at the same time."},
		{Name: "outbox_limit", Type: spec.Size, Default: int64(64 << 20), Min: 1 << 20, Max: 1 << 40, Doc: "With checkpoints: bytes of requests on the disk that the receiver has not answered. Above it the pipeline waits."},
		{Name: "on_failure", Type: spec.Enum, Values: []string{"fail", "dead_letter"}, Default: "fail", Doc: "What happens when retries run out: the job fails, or the rows become dead letters and the job goes on."},
	},
	Short:   "url",
	Example: `http: {url: "http://localhost:9000/alerts", headers: {Authorization: "Bearer ${TOKEN:-none}"}}`,
}
