// Package faults kills the real engine again and again, and compares what it
// leaves with what an oracle finds in the input.
//
// A scenario is a pipeline with its input and its oracle. A round runs one
// scenario to the end of its input, through lives: each life of the engine ends
// by a fault, SIGKILL at a random moment or at a named failpoint, until the last
// one may finish. A campaign is many rounds, by a seed.
//
// What it holds (and what a wrong engine would break):
//
//	F1  Every row of the input has its result in every sink exactly once; requests
//	    of an http sink arrive at least once, under one Idempotency-Key per row.
//	F2  Counts and sums per window and key are those of the input; rows of a key
//	    keep their order.
//	F3  A request that was answered with 202 is found later; its repetitions are not.
//	F4  A reader beside the engine never sees a part of a row, nor a row twice, and
//	    what it has seen stays.
//	F5  The engine never refuses to start again, leaves no process behind, and its
//	    memory is bounded while a sink stalls.
//
// A seed decides which faults come at which life. When a random kill meets the
// engine is up to the machine, so that a replay tries the same faults, not the
// same instants. The oracles compute from the input alone and use no code of the
// engine; the package knows the engine's command line, its files and HTTP.
package faults
