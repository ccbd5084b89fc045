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
//	F5  Standard input and pipes are read by one goroutine, the pump, into a
//	    bounded buffer, so that Poll never waits. When the input runs dry, the
//	    whole records that are there are handed over at once: the blocks of such
//	    a split depend on the pace of its sender, and it has no resume.
//
// # Writing
//
//	F6  Rows are written to PATH.partial, in the same folder. Only Close with a
//	    complete input makes that file durable (fsync), renames it to PATH and
//	    makes the name durable (fsync of the folder): whoever opens PATH sees the
//	    output of a whole run, of the last one until then.
//	F7  Flush brings rows to PATH.partial, where a person may follow them; it does
//	    not touch PATH. A stream that runs for long so has its output under its
//	    name when it is stopped in good order.
//	F8  After a failure PATH.partial stays for inspection, unless no row was
//	    written; the next run begins it anew. A lock on it keeps a second writer
//	    of the same path out.
//	F9  A target that is no regular file (a pipe, /dev/stdout) is written directly.
package file
