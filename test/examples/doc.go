// Package examples runs the pipelines of the folder examples with the real
// binary and compares what they give with an independent computation.
package examples
