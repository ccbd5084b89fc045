package shm

import (
	"fmt"

	"github.com/gorge-stream/gorge/internal/batch"
)

// The bounds of a layout.
const (
	MaxColumns = 64      // arguments or results; a header has one bit for each
	MaxRows    = 1 << 16 // rows of a slot

	page      = 4096 // the control page, and what strides are rounded to
	lineBytes = 64   // columns begin on cache lines
	header    = 64   // the header of a slot

	minTextBytes = 4 << 20 // room for the texts of one column in a slot, at least
	textPerRow   = 64
	errorBytes   = 64 << 10
)

// Layout is the geometry of both memories. The engine makes it and sends it to
// the worker as JSON; nobody else computes it.
type Layout struct {
	Slots     int  `json:"slots"`
	Rows      int  `json:"rows"` // of a slot
	Input     Area `json:"input"`
	Output    Area `json:"output"`
	RowErrors int  `json:"row_errors"` // in a result slot: one uint16 a row
	Errors    int  `json:"errors"`     // in a result slot: JSON
	ErrorsCap int  `json:"errors_cap"`
}

// Area is the slots of one memory.
type Area struct {
	Size    int      `json:"size"`   // of the whole memory
	Stride  int      `json:"stride"` // from slot to slot; the first begins behind the control page
	Columns []Column `json:"columns"`
}

// Column tells where one column lies, counted from the start of its slot.
type Column struct {
	Kind     batch.Kind `json:"-"`
	Name     string     `json:"kind"`
	Validity int        `json:"validity"`            // bitmap, 1 = present
	Values   int        `json:"values"`              // fixed-width values, or 32-bit offsets of texts
	Bytes    int        `json:"bytes,omitempty"`     // the texts
	BytesCap int        `json:"bytes_cap,omitempty"` // room for them
}

// NewLayout makes the layout for functions of the given arguments and results.
// Memory is taken page by page when it is first written: room costs nothing.
func NewLayout(args, results []batch.Kind, rows, slots int) (*Layout, error) {
	if max(len(args), len(results)) > MaxColumns || min(len(args), len(results)) < 1 {
		return nil, fmt.Errorf("%d arguments and %d results, from 1 to %d are possible", len(args), len(results), MaxColumns)
	}
	if rows < 1 || rows > MaxRows || slots < 1 || slots > 64 {
		return nil, fmt.Errorf("%d slots of %d rows are out of range", slots, rows)
	}
	text := max(minTextBytes, rows*textPerRow)
	return layout(args, results, rows, slots, text, errorBytes)
}

func layout(args, results []batch.Kind, rows, slots, text, errs int) (*Layout, error) {
	l := &Layout{Slots: slots, Rows: rows, ErrorsCap: errs}
	end, err := l.Input.place(header, args, rows, text)
	if err != nil {
		return nil, err
	}
	l.Input.finish(end, slots)
	l.RowErrors = header
	l.Errors = align(l.RowErrors+2*rows, lineBytes)
	end, err = l.Output.place(align(l.Errors+errs, lineBytes), results, rows, text)
	if err != nil {
		return nil, err
	}
	l.Output.finish(end, slots)
	return l, nil
}

func (a *Area) place(at int, kinds []batch.Kind, rows, text int) (int, error) {
	a.Columns = make([]Column, len(kinds))
	for i, k := range kinds {
		c := Column{Kind: k, Name: k.String(), Validity: at}
		c.Values = align(at+(rows+7)/8, lineBytes)
		switch {
		case k == batch.Bool:
			at = c.Values + rows
		case k.Views():
			c.Bytes = align(c.Values+4*(rows+1), lineBytes)
			c.BytesCap = text
			at = c.Bytes + text
		case k.Width() > 0:
			at = c.Values + rows*k.Width()
		default:
			return 0, fmt.Errorf("columns of kind %s cannot be handed to a function", k)
		}
		a.Columns[i] = c
		at = align(at, lineBytes)
	}
	return at, nil
}

func (a *Area) finish(end, slots int) {
	a.Stride = align(end, page)
	a.Size = page + slots*a.Stride
}

func align(n, to int) int { return (n + to - 1) &^ (to - 1) }
