// Package csv is the CSV codec: RFC 4180, with a header line or without.
//
// It knows comma-separated text and batches. It does not know where bytes come
// from, event time, or what happens to a bad record.
//
// # What a record means
//
//	V1  A record ends at a newline outside quotes; a carriage return before it
//	    belongs to the end. Empty lines are no records. The delimiter is one
//	    character; blanks are data.
//	V2  A quote opens a field only as its first character, and closes it only
//	    before a delimiter or the end of the record; inside, "" is a quote. Every
//	    other quote is an error.
//	V3  With a header, names lead to columns, in any order; columns that nobody
//	    asked for are skipped. A column that is not in the header is null where it
//	    may be null, otherwise nothing can be read and Begin fails. Without a
//	    header the fields are the columns of the schema in order. Every record has
//	    as many fields as the header or the schema.
//	V4  An unquoted field that holds exactly the null text (default: nothing) is
//	    null. In a column that takes no null it is missing, except in a string
//	    column, where it is that text. A quoted field is never null.
//	V5  Integers take every number whose value is whole (7, 007, 7.0, 7e0), floats
//	    every number, and NaN and Inf in any case. Booleans are true and false in
//	    any case. Binary is base64 with padding (RFC 4648).
//	V6  Timestamps are RFC 3339 text or, by the column's type, numbers of seconds,
//	    milliseconds, microseconds or nanoseconds. Text without a zone is UTC, the
//	    seconds or the whole time of day may be left out, a blank may stand for the
//	    T: so databases and tables write them. What is finer than a microsecond is
//	    cut off towards the past; years reach from 0 to 9999.
//	V7  All of a record must be UTF-8, also in skipped fields. A byte order mark at
//	    the start of a split is dropped.
//
// # What a bad record costs
//
// A record with a wrong number of fields or a wrong value costs itself. When the
// quotes of a record are wrong (V2), when a quote is never closed, or when no
// end is found within Limits.RecordBytes, nobody knows where the record was
// meant to end: then its first line alone is the bad record and the next line
// begins a new one. So a stray quote costs a line, not the rest of the file; the
// price is that the inner lines of a broken field of several lines are read as
// records, and mostly refused one by one.
//
// Where a record ends is decided by one function, extent, for the cut of blocks
// and for decoding alike: how a file is cut into blocks changes nothing.
package csv
