// Package journal keeps input whose sender cannot send it again: records are
// appended, made durable in groups, read back in order, and let go of when nobody
// can ask for them any more.
//
// It knows bytes, sequence numbers and files. It does not know requests, rows,
// epochs, or who decides what may go. docs/formats/journal.md describes the files.
// What the package holds:
//
//	J1  Records are numbered from 1 in the order in which they were placed; the
//	    numbers in a journal have no gap above what was let go of.
//	J2  Wait returns nil for a record only when it is durable: its group was
//	    written by one write and synced, in a file whose name was durable before.
//	J3  A group is written only after the one before it was synced. So after a
//	    crash at most the last group is damaged, and nobody was told that it is durable.
//	J4  A record that is missing between two others, or before the place where a
//	    reader starts, is damage: it is named and nothing is served in its place.
//	    Bytes at the end that make no group are a torn tail and are cut off.
//	J5  Nothing is ever written behind a torn tail, nor to a file that an earlier
//	    process wrote: the good part of the last file is copied to a new one first.
//	J6  After a failed write or sync the journal takes nothing and says why, to
//	    everybody who waits. It is never tried again: the kernel may have dropped the
//	    bytes and report success the next time. The next start looks anew.
//	J7  Files are deleted whole, oldest first. A deletion may come back after a
//	    power cut: files from before a gap are accepted and not served.
//	J8  The keys of records stay known for as long as Trim is told, in a small
//	    file that takes the place of the deleted one.
//
// Goroutines: one per journal, the writer, started by Open; it ends in Close, or
// with the first error of the disk.
package journal
