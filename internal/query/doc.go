// Package query asks an engine for the rows of its tables and writes them for
// people and programs: the core of "gorge query".
//
// It knows the HTTP API and nothing of stores: tables without an engine are read
// through [Local], which puts the same API behind the same client. Pages follow
// each other by their cursors, so memory does not grow with the rows.
//
// The goroutines are those of net/http; Local's end in its Close.
package query
