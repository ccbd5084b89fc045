// Package api holds the public contract of Gorge as data: what other programs
// may rely on across releases. It has no logic.
package api

import _ "embed"

// OpenAPI describes the HTTP API of an engine (OpenAPI 3.1, JSON).
//
//go:embed openapi.json
var OpenAPI []byte
