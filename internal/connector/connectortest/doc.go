// Package connectortest holds the suites that every source and every sink must
// pass: [Source], [Sink], and for sinks that take part in epochs [Epochs].
//
// It knows the contract of package connector and no external system: a
// [SourceCase], [SinkCase] or [EpochCase] brings the system under test. What the suites hold:
//
//	S1  Splits come in the same order each time, with unique ids.
//	S2  Two readings give the same blocks: payload, preamble, rows, place, line.
//	S3  Opened at the position behind block k, a split goes on with block k+1.
//	S4  The end of a bounded split stays its end, also behind a resume.
//	S5  A block ends with codec.Pad bytes to spare, and the reader does not need
//	    its memory again.
//	S6  A cancelled context ends Poll and Wait.
//	S7  Readers and sources may be closed twice, and before they were read to the end.
//	S8  No batch and no goroutine leaks.
//
//	K1  The output depends on the rows alone, not on batches and flushes.
//	K2  Write takes the batch over, also when it fails, and changes nothing in a
//	    batch that has other holders.
//	K3  A writer may be closed twice, and without a row.
//	K4  A cancelled context ends Write with an error, or Write takes the rows at once.
//	K5  No batch and no goroutine leaks, however the writer is closed.
//
//	E1  Before Commit nothing of an epoch is visible, behind it all of it is, or
//	    for sinks that give out everything AtEnd, behind the commit of the final epoch.
//	E2  Commit and Recover may be repeated; Recover(0, nil) leaves alone what was committed.
//	E3  Killed behind any step, the next start shows exactly what was decided, and goes on from there.
//	E4  What an abandoned epoch wrote belongs to the next decided one.
//	E5  Persist runs beside the writer's next epoch, and behind its Close.
//	E6  Close makes nothing visible and loses nothing that was decided.
//	E7  A checkpoint without committables is one without rows.
//	E8  A second Recover, (0, nil), begins a new run.
//
// [PowerLoss] and [DiskErrors] bring a sink over vfs.FS through a power cut before
// each operation, with several fates of what was not synced, and through EIO and
// ENOSPC at each operation.
package connectortest
