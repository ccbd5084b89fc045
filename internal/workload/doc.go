// Package workload makes the events of a city full of sensors: the input of the
// generate source, of gorge generate, of benchmarks and of tests.
//
// An event is a pure function of the settings and of its number, so that the
// same settings give the same events in every run, from any number on, and in
// blocks of any size. Values are fixed-point hundredths, which makes sums exact:
// see [Oracle], which counts what a windowed aggregation over the events must find.
//
// The package knows no clock, file, network or batch: [Offset] and [Due] are the
// arithmetic of an open-loop schedule, the caller sleeps.
//
// Invariants:
//
//	W1  Event i does not depend on where the caller began or how many it asked for.
//	W2  An event that is not late lies at most Config.Disorder behind the newest
//	    event before it, and never before Config.Start.
//	W3  A late event lies more than Config.Disorder and at most Config.Disorder +
//	    Config.LateBy behind its schedule.
//	W4  Values have two decimals: float64(hundredths)/100 is the float64 that
//	    parsing the written number gives.
//
// Zipf draws use floating point and are the same on machines of one
// architecture; everything else is integer arithmetic and the same everywhere.
package workload
