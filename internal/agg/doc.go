// Package agg is the aggregate functions: count, sum, avg, min, max, first,
// last, variance, stddev and the running ones.
//
// A [Function] is the declaration: name, arguments, type of the result. It is
// made of parts ([Part]): accumulators of a few words in a record, with kernels
// that update them column at a time. Functions of one [Set] share equal parts:
// avg(x) and count() of a column without nulls keep one count.
//
// The package knows columns and records. It does not know keys, windows or where
// records live. It has no state, no clock, no goroutine.
//
// # Rules
//
//	A1  Nulls are skipped. count() counts rows, count(x) counts values.
//	A2  The result over no values is null; count is 0.
//	A3  Float sums are compensated (Neumaier, ZAMM 54, 1974): the error does not
//	    grow with the number of rows. Integer sums are exact in 128 bits; a
//	    result beyond int64 is null.
//	A4  NaN is a value: it makes sum, avg, variance and stddev NaN; min and max
//	    order it above all other numbers, so max is NaN and min is not unless all are.
//	A5  variance and stddev are of the population, by Welford's recurrence, and merge by
//	    Chan, Golub and LeVeque (Stanford STAN-CS-79-773). One value has variance 0.
//	A6  first and last go by event time; of equal times first takes the earlier
//	    row of the input and last the later one.
//	A7  Rows come in the order of the input, so every result is the same in every
//	    run, at every parallelism and batch size.
package agg
