// Package httpio speaks HTTP: a source that takes rows by POST on the engine's
// one address, and a sink that posts rows to somebody else.
//
// The source knows requests and answers; the format of the pipeline file decodes
// them. The sink knows requests, retries and refusals; the format encodes the
// rows. Neither knows watermarks, barriers or the plan. What the package holds:
//
//	H1  A request is accepted whole or not at all: it is decoded before any of
//	    its rows is queued or its body is kept, and the sender learns the first bad line.
//	H2  Without checkpoints 202 means queued in memory: a crash loses queued rows.
//	    With checkpoints it means that the body is durable in the journal, where it
//	    stays until Release: no crash loses it (J2 of package journal).
//	H3  All memory that senders can claim is counted in one budget (queue), from
//	    the first byte of a body to the rows that the pipeline has not taken yet, or
//	    until the body is durable. When it is used up the answer is 429 with Retry-After.
//	H4  After Drain no request is accepted (503), every row that was accepted is
//	    still handed out, and then the split ends. A source with a journal is not
//	    drained: what it has accepted is there at the next start.
//	H5  The sink repeats a request only with the same body and the same
//	    Idempotency-Key. With epochs both come from a file of the outbox (O1 to O4 of
//	    type outbox), else the key follows from the rows alone.
//	H6  A row that the other side refuses for good becomes a dead letter; no row
//	    is given up silently.
//	H7  Blocks from the journal are cut by what it holds alone: by its groups, the
//	    size of a block, and whether a body is made of lines. A position is the
//	    number of a request, with the id of the journal.
//	H8  A request under a key that is known is answered when the first one is
//	    durable, and not taken again. Keys outlive crashes and released requests.
//
// Goroutines: the source has none of its own but the writer of its journal; its
// handler runs in those of the server. The sink has one per request in flight, at
// most in_flight, and with epochs one that reads the outbox; they end in Flush, or
// in Close by cancellation.
package httpio
