// Package e2e tests the real binary from outside: files in, files out, signals,
// exit codes, killed Python workers, HTTP.
//
// What it holds everywhere: the result of a pipeline is a function of its input,
// whatever the parallelism, the size of batches and the fate of Python workers.
package e2e
