// Package table is the sink "table": rows kept in the engine by key, readable
// over HTTP while the pipeline writes them. The store is one Pebble database per
// data directory, shared by all tables of the engine; its formats are described
// in docs/formats/table.md.
//
// The package knows Pebble, net/http and batches. It does not know the plan, the
// runtime, or who asks. Invariants:
//
//	T1  A key holds at most one row: the last one written. Rows of equal keys
//	    keep the order in which one writer got them.
//	T2  What Flush or Commit returned for is seen by every read that starts
//	    later. A read sees one state of the store and never waits for a writer,
//	    nor a writer for it.
//	T3  With retain, a bucket of time is dropped whole and only when every row in
//	    it is older than retain, judged by the latest event time in the table and
//	    never by a time ahead of the machine's clock.
//	T4  Conditions, cursors and definitions are foreign bytes: nothing in them
//	    can make a read leave its table.
//	T5  A file of a store that cannot be written ends the process (exit code
//	    ExitStore): what it holds after a failed sync is unknown. Only a full disk is
//	    waited for.
//	T6  In a job with checkpoints reads see whole epochs, and only decided ones
//	    (epochSink tells how). A store that does not fit the checkpoint is refused.
//
// Goroutines are those of Pebble, from the first acquire of a store to its last
// release, and one for each write that somebody waits for. A store and a table may be
// used by any goroutine; a writer belongs to the one of its task.
package table
