package csv

import (
	"encoding/base64"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/spec"
)

// scales are the powers of ten that turn numbers of a wire kind into microseconds.
var scales = [...]int{spec.WireSeconds: 6, spec.WireMillis: 3, spec.WireMicros: 0, spec.WireNanos: -3}

var units = [...]string{spec.WireSeconds: "seconds", spec.WireMillis: "milliseconds", spec.WireMicros: "microseconds", spec.WireNanos: "nanoseconds"}

// store writes a field into row d.row of a column and reports whether it has a meaning there.
func (d *decoder) store(column int, c cell) bool {
	want, col := &d.columns[column], d.batch.Col(column)
	s := d.full[c.start:c.end]
	if !c.quoted && len(s) == len(d.null) && string(s) == string(d.null) {
		switch {
		case want.Nullable:
			col.SetNull(d.row)
			return true
		case want.Kind != batch.String:
			d.fault("missing", column, "the field is empty or null, but the column takes no null")
			return false
		}
	}
	if col.HasNulls() {
		col.Validity()[d.row>>6] |= 1 << (uint(d.row) & 63) // a bad record may have left a null in this row
	}
	if c.escaped {
		s = d.value(d.full, c)
	}
	switch want.Kind {
	case batch.String:
		col.SetBytes(d.row, s)
		return true
	case batch.Int64, batch.Int32:
		return d.storeInt(column, want.Kind, col, s)
	case batch.Float64, batch.Float32:
		return d.storeFloat(column, want.Kind, col, s)
	case batch.Timestamp:
		return d.storeTime(column, want, col, s)
	case batch.Bool:
		return d.storeBool(column, col, s)
	}
	return d.storeBinary(column, col, s)
}

func (d *decoder) storeInt(column int, kind batch.Kind, col *batch.Column, s []byte) bool {
	v, ok := shortInt(s)
	if !ok {
		n, isNumber := parseNumber(s)
		if !isNumber {
			return d.refuse("type", column, s, "is no number")
		}
		var w wholeness
		switch v, w = n.scaled(0); w {
		case isBroken:
			return d.refuse("type", column, s, "is not a whole number, as "+kind.String()+" needs")
		case isHuge:
			return d.refuse("range", column, s, "is out of range for "+kind.String())
		}
	}
	if kind == batch.Int64 {
		col.Int64s()[d.row] = v
		return true
	}
	if v != int64(int32(v)) {
		return d.refuse("range", column, s, "is out of range for int32")
	}
	col.Int32s()[d.row] = int32(v)
	return true
}

func (d *decoder) storeFloat(column int, kind batch.Kind, col *batch.Column, s []byte) bool {
	size := 64
	if kind == batch.Float32 {
		size = 32
	}
	n, isNumber := parseNumber(s)
	var v float64
	switch {
	case !isNumber:
		var special bool
		if v, special = notFinite(s); !special {
			return d.refuse("type", column, s, "is no number")
		}
	default:
		var ok bool
		if v, ok = n.float(s, size); !ok {
			return d.refuse("range", column, s, "is out of range for "+kind.String())
		}
	}
	if size == 64 {
		col.Float64s()[d.row] = v
	} else {
		col.Float32s()[d.row] = float32(v)
	}
	return true
}

func (d *decoder) storeTime(column int, c *codec.Column, col *batch.Column, s []byte) bool {
	var v int64
	if c.Wire == spec.WireDefault {
		var ok bool
		if v, ok = d.days.parseTime(s); !ok {
			return d.refuse("type", column, s, "is not a timestamp such as 2026-01-31T09:30:00Z")
		}
	} else {
		n, ok := parseNumber(s)
		if !ok {
			return d.refuse("type", column, s, "is not a number of "+units[c.Wire]+" since 1970")
		}
		var w wholeness
		if v, w = n.scaled(scales[c.Wire]); w == isHuge {
			v = math.MaxInt64
		}
	}
	if v < minTime || v > maxTime {
		return d.refuse("range", column, s, "is outside the years 0 to 9999")
	}
	col.Int64s()[d.row] = v
	return true
}

func (d *decoder) storeBool(column int, col *batch.Column, s []byte) bool {
	switch {
	case fold(s, "true"):
		col.SetBool(d.row, true)
	case fold(s, "false"):
		col.SetBool(d.row, false)
	default:
		return d.refuse("type", column, s, "is neither true nor false")
	}
	return true
}

func (d *decoder) storeBinary(column int, col *batch.Column, s []byte) bool {
	n := base64.StdEncoding.DecodedLen(len(s))
	if cap(d.binary) < n {
		d.binary = make([]byte, n)
	}
	n, err := base64.StdEncoding.Decode(d.binary[:n], s)
	for _, c := range s {
		if c == '\n' || c == '\r' { // the package skips them
			err = base64.CorruptInputError(0)
		}
	}
	if err != nil {
		return d.refuse("type", column, s, "is not base64")
	}
	col.SetBytes(d.row, d.binary[:n])
	return true
}

// fold reports whether s is the word, which is lower-case, in any case.
func fold(s []byte, word string) bool {
	if len(s) != len(word) {
		return false
	}
	for i := range s {
		if s[i]|0x20 != word[i] {
			return false
		}
	}
	return true
}

// refuse notes a value that the column does not take, and returns false.
func (d *decoder) refuse(code string, column int, s []byte, what string) bool {
	const most = 40
	dots := ""
	if len(s) > most {
		s, dots = s[:most], "..."
		for len(s) > 0 && !utf8.Valid(s) {
			s = s[:len(s)-1]
		}
	}
	d.fault(code, column, fmt.Sprintf("%q%s %s", s, dots, what))
	return false
}
