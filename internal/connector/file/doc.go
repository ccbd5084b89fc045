// Package file reads files, named pipes and standard input, and writes files.
//
// It knows paths and bytes. It does not know formats beyond the cuts of
// codec.Frame, nor rows.
//
// # Reading
//
//	F1  Each file is a bounded split; its id is its path. Splits come in the
//	    order of the patterns, and within one pattern sorted by name.
//	F2  A block of a regular file is what codec.Frame.Cut leaves of the next
//	    SourceEnv.BlockBytes bytes, however the system hands them out: the same
//	    file gives the same blocks in every run. Reads are loops until the block
//	    is full; nothing is mapped into memory.
//	F3  When no record ends in a block it grows up to codec.Limits.RecordBytes+2
//	    bytes. A record that is longer still is handed over with its first
//	    RecordBytes+2 bytes alone, for the decoder to refuse, and skipped up to
//	    the next newline. Memory stays bounded and nothing hangs.
//	F4  A position is the byte behind the last block, counted in the inflated
//	    stream. A plain file is resumed by seeking, a compressed one by inflating
//	    again up to there; the preamble is read from the head of the file again.
//	    With the position goes a fingerprint of up to 4 KiB at the start of what was
//	    read and at its end. A file that does not fit it, was truncated, or is gone,
//	    is refused; one that has grown, or is a copy, is read on.
//	F5  Standard input and pipes are read by one goroutine, the pump, into a
//	    bounded buffer, so that Poll never waits. When the input runs dry, the
//	    whole records that are there are handed over at once: the blocks of such
//	    a split depend on the pace of its sender. Resumed, it takes what comes then.
//
// # Writing one file
//
//	F6  Rows are written to PATH.partial, in the same folder. Prepare notes how long
//	    it is, behind whole frames when it is compressed; Persist makes it durable
//	    so far, name included. The commit of the final epoch renames it to PATH and
//	    makes that durable: whoever opens PATH sees the output of a whole run, of
//	    the last one until then.
//	F7  Recover cuts PATH.partial to what is decided, by a CRC of the bytes before
//	    it: a file that was changed or removed since is refused.
//	F8  Flush brings rows to PATH.partial, where a person may follow them.
//
// # Writing parts
//
//	F9  Each epoch with rows is a file of its own, written in the folder .pending
//	    and renamed out of it by the commit, to a name that follows from its epoch and
//	    task. The folder of the parts is synced before the one of the pending ones
//	    is again: else a power cut could leave a part in neither.
//	F10 A name that is taken is never replaced. Every part that is pending when a job
//	    starts, and not in its checkpoint, is removed.
//
// # Writing in any way
//
//	F11 Without checkpoints a run is one epoch, which ends when the writer is closed
//	    with a complete input. After a failure what was written stays for
//	    inspection until the next run.
//	F12 A lock keeps a second writer of the same path out.
//	F13 The first error of the disk is the last: nothing is tried again.
//	F14 A target that is no regular file (a pipe, /dev/stdout) is written directly.
package file
