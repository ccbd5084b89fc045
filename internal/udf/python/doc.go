// Package python runs user-defined functions in Python: it finds an interpreter,
// keeps a pool of worker processes per function, hands batches to them through
// package shm and answers for what happens when one of them dies or hangs.
//
// The package knows processes, slots and one function per pool. It does not know
// keys, windows, state, the plan, or what becomes of a row that failed.
//
// # Who does what
//
// A task calls [Pool.Start] and Wait of the call from its own goroutine. A call
// is cut into chunks of at most a slot's rows; each chunk belongs to one worker.
// Nobody pumps: whoever needs a result looks at the worker's counter, takes in
// what is there, also for others, and sleeps on the worker's socket only when
// there is nothing to take. One goroutine a worker, the keeper, starts the
// process, waits for its end and starts the next; two more read its output.
//
// # Rules
//
//	W1  A worker answers its chunks in order; the first one that is not answered
//	    is the one to blame when the worker dies or hangs.
//	W2  A chunk that was to blame is tried again alone. To blame twice, it is
//	    halved, down to the row; a row to blame fails with "worker_died" or
//	    "timeout". The later chunks are handed to the next worker unchanged.
//	W3  What a chunk may cost is bounded: in workers lost, then all its rows that
//	    have no result fail; a pool whose workers die without answering anything,
//	    or cannot start, is lost, and so is the job.
//	W4  Everything is bounded by a context or a deadline; Close leaves no
//	    process, goroutine or descriptor.
//
// Lock order: worker.mu before call.mu. No lock is held while sleeping.
package python
