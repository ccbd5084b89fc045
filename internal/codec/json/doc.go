// Package json is the JSON codec: newline-delimited objects, arrays of objects
// and single objects in, newline-delimited objects out.
//
// It knows RFC 8259 and batches. It does not know where bytes come from, event
// time, or what happens to a bad record.
//
// # What a record means
//
//	J1  Reading is strict: every byte of a record is checked against RFC 8259,
//	    UTF-8 included, also in members that nobody asked for. A record that
//	    fails is handed to the sink as bad; its neighbours are not touched.
//	J2  Names match exactly, case included. Of several members with one name the
//	    last one wins; all of them must have the type of the column.
//	J3  A missing member is the same as null: null where the column is nullable,
//	    otherwise the record is bad.
//	J4  Integer columns take every number whose value is whole and in range, however
//	    it is written: 7, 7.0 and 0.7e1 are equal in JSON. 7.5 is of the wrong type.
//	J5  Float columns take every number; one too large for the type is out of range.
//	J6  Timestamps are RFC 3339 text or, by the column's type, numbers of seconds,
//	    milliseconds, microseconds or nanoseconds, with a fraction if need be. What
//	    is finer than a microsecond is cut off towards the past. Years reach from 0
//	    to 9999, so that a wrong unit does not pass for a time far away.
//	J7  Binary columns take base64 with padding (RFC 4648).
//	J8  Half of a surrogate pair in an escape becomes U+FFFD, as in encoding/json.
//	J9  Lines of white space alone are no records.
//
// # How lines are decoded
//
// The general parser (parser.go) is the definition: it decodes one record of any
// order and spelling. In front of it stands a prediction: a line that it accepted
// is remembered as a shape, the exact bytes between its values, and groups of
// lines are then decoded column by column by small kernels, one for each kind of
// value (group.go, kernel.go). A line counts as decoded only when every step
// matched and the last one ended on the line's end, which proves the whole line;
// every other line goes through the general parser. Values that a kernel does not
// know (escapes, nulls, long numbers) are given to the value reader of the
// general parser, one by one. So both ways accept the same lines with the same
// values, and the tests hold that over millions of damaged lines.
package json
