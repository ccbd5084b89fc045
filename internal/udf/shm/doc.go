// Package shm is the shared memory between the engine and one UDF worker: two
// sealed memfds, each with one writer, cut into slots that hold one batch each.
// The wire contract is api/udf-protocol.md.
//
// The package knows layouts, columns and bytes. It does not know processes,
// sockets, functions or what a failed row means.
//
// Invariants
//
//	M1  The engine alone writes the input memory, the worker alone the output
//	    memory; the kernel holds it (seals), not good manners.
//	M2  Nothing that lies in the output memory is believed: words are read once
//	    and bounded, columns are copied out and the copy is validated, because a
//	    thread that the function left behind can write at any time.
//	M3  Sizes never change: a memory is made for a layout and lives with it.
package shm
