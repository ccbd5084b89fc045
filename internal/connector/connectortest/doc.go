// Package connectortest holds the suites that every source and every sink must
// pass: [Source] and [Sink].
//
// It knows the contract of package connector and no external system: a
// [SourceCase] or [SinkCase] brings the system under test. What the suites hold:
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
package connectortest
