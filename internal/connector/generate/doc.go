// Package generate is the source that makes its own input: the readings of a
// city full of sensors, deterministic by seed, at a rate or as fast as the
// pipeline takes them.
//
// What the events are is the business of package workload; this package decides
// when they are due and writes them into batches, or as bytes when the pipeline
// file names a format, so that a benchmark pays for decoding too.
//
// It knows no watermark and no plan. What it holds:
//
//	G1  Blocks are cut by the number of the event alone, whatever the clock says.
//	G2  The schedule is open loop: event i is due i/rate after the start and
//	    carries that time. A slow pipeline gets all that is due in a burst; the
//	    source never slows down to please it, and counts how late it was.
//	G3  A position is the number of the next event and the start, so that a
//	    resumed split goes on with exactly the events that were missing.
package generate
