package main

import (
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/codec/csv"
	"github.com/gorge-stream/gorge/internal/codec/json"
	"github.com/gorge-stream/gorge/internal/codec/raw"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/file"
	"github.com/gorge-stream/gorge/internal/connector/generate"
	httpconn "github.com/gorge-stream/gorge/internal/connector/http"
	"github.com/gorge-stream/gorge/internal/connector/null"
	"github.com/gorge-stream/gorge/internal/connector/stdio"
	"github.com/gorge-stream/gorge/internal/connector/table"
)

// connectors are all connectors, by their words in the pipeline file.
var connectors = map[string]connector.Registration{
	deadLetters: file.DeadLetters,

	"file":     file.Registration,
	"generate": generate.Registration,
	"http":     httpconn.Registration,
	"null":     null.Registration,
	"stdout":   stdio.Registration,
	"table":    table.Registration,
}

// formats are all formats, by their words in the pipeline file.
var formats = map[string]codec.Format{
	"csv":  csv.Format,
	"json": json.Format,
	"raw":  raw.Format,
}
