// Package task runs operators: one goroutine per task, everything between two
// exchanges to completion in it.
//
// A task knows messages, blocks, clocks and errors, so that operators need not.
// It does not know the plan: package job builds it.
//
// # The life of a block
//
// A source task leases the next block of its source from the [Feed], which
// numbers it; decodes it; folds the largest event time of the block into the
// watermark, in the order of the numbers; pushes the rows through its chain; and
// ends the block with a mark on every edge. A later task takes messages from its
// inbox in the same order and does the same with them.
//
// Lateness is judged against the watermark before the row's block
// (batch.Batch.Before). Blocks are cut by the input alone, so whether a row is
// late does not depend on parallelism, batch size or scheduling.
package task
