package json

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
)

// maxArena is the bytes of long strings of one column at which a batch counts as full.
const maxArena = 16 << 20

// maxBlock is the largest block in bytes: places within it are 32 bits wide.
const maxBlock = 1 << 31

// decoder turns blocks into batches: it finds the records, and moves the batches.
type decoder struct {
	parser
	predictor
	layout string
	padded []byte // copy of a block without room behind it

	// of the current Decode
	sink  codec.Sink
	batch *batch.Batch
	block []byte
	row   int   // next free row of batch
	at    int   // where line was counted up to
	line  int64 // number of the line that holds at, from 1

	longest int // bytes of a line from which on it is too long; 0: none of the block can be
}

var _ codec.Decoder = (*decoder)(nil)

func newDecoder(layout string, columns []codec.Column, limits codec.Limits) *decoder {
	return &decoder{parser: *newParser(columns, limits), predictor: predictor{price: minPrice, credit: minPrice}, layout: layout}
}

// Decode decodes a block; see codec.Decoder.
func (d *decoder) Decode(block []byte, sink codec.Sink) error {
	if len(block) > maxBlock {
		return fmt.Errorf("json: a block of %d bytes is over the limit of %d", len(block), maxBlock)
	}
	if cap(block)-len(block) < codec.Pad {
		d.padded = append(d.padded[:0], block...)
		block = slices.Grow(d.padded, codec.Pad)
	}
	d.sink, d.block, d.row, d.at, d.line = sink, block, 0, 0, 1
	d.batch = sink.Next()
	d.use(d.batch)
	err := d.records()
	b := d.batch
	d.sink, d.block, d.batch = nil, nil, nil
	if b == nil {
		return err // the sink had the batch when it failed
	}
	if err != nil {
		b.Release()
		return err
	}
	b.SetLen(d.row)
	return sink.Done(b)
}

func (d *decoder) records() error {
	layout := d.layout
	if layout == "auto" {
		layout = d.detect()
	}
	switch layout {
	case "array":
		return d.array()
	case "object":
		return d.sequence(space(d.block, 0))
	}
	return d.lines()
}

// detect chooses the layout of the block: see Format. It takes lines unless the
// block cannot be lines, so that damage to one line never costs another.
func (d *decoder) detect() string {
	from := space(d.block, 0)
	if from == len(d.block) {
		return "lines"
	}
	if d.block[from] == '[' {
		if trimmed := bytes.TrimRight(d.block, " \t\r\n"); trimmed[len(trimmed)-1] == ']' {
			return "array"
		}
	}
	first := d.block[from:]
	if end := bytes.IndexByte(first, '\n'); end >= 0 {
		first = first[:end]
	}
	if d.block[from] != '{' || d.extent(first, 0) >= 0 || d.fault.code != "truncated" {
		return "lines"
	}
	for i := from; i < len(d.block); i = space(d.block, i) {
		if i = d.extent(d.block, i); i < 0 {
			return "lines"
		}
	}
	return "object"
}

// extent returns where the value at i ends, with no limit but that of the bytes.
func (d *decoder) extent(b []byte, i int) int {
	kept := d.limits
	d.limits.Depth, d.limits.Elements = len(b)+2, len(b)+2
	d.elements = 0
	end := d.skip(b, i, 0)
	d.limits = kept
	return end
}

// room makes sure that there is a free row and returns how many there are.
func (d *decoder) room() (int, error) {
	full := d.row == d.batch.Cap()
	if !full {
		for _, c := range d.dst {
			full = full || len(c.Arena()) > maxArena
		}
	}
	if full {
		b := d.batch
		d.batch = nil
		b.SetLen(d.row)
		if err := d.sink.Done(b); err != nil {
			return 0, err
		}
		d.batch = d.sink.Next()
		d.use(d.batch)
		d.row = 0
	}
	return d.batch.Cap() - d.row, nil
}

// report hands the record [from, to) to the sink as bad, for the reason in d.fault.
func (d *decoder) report(from, to int) error {
	record := d.block[from:to]
	r := d.bad(record)
	d.line += int64(bytes.Count(d.block[d.at:from], []byte{'\n'}))
	d.at = from
	r.Offset, r.Line = int64(from), d.line
	r.Bytes = record[:min(len(record), d.limits.RecordBytes)]
	return d.sink.Bad(&r)
}

// one decodes the record [from, to) by the general parser.
func (d *decoder) one(from, to int) error {
	if _, err := d.room(); err != nil {
		return err
	}
	if !d.object(d.block[from:to], d.row) {
		return d.report(from, to)
	}
	d.row++
	return nil
}

// lines decodes one record a line.
func (d *decoder) lines() error {
	d.longest = 0
	if len(d.block) > d.limits.RecordBytes {
		d.longest = d.limits.RecordBytes
	}
	d.scan.start(d.block)
	for {
		room, err := d.room()
		if err != nil {
			return err
		}
		n := d.scan.gather(&d.group, d.ahead(room))
		if n == 0 {
			break
		}
		if err := d.decodeGroup(n); err != nil {
			return err
		}
	}
	if d.scan.pos == len(d.block) {
		return nil
	}
	return d.general(d.scan.pos, len(d.block), false) // the last line has no newline
}

// sequence decodes objects from i on that are separated by white space.
func (d *decoder) sequence(i int) error {
	for i < len(d.block) {
		end := d.extent(d.block, i)
		if end < 0 {
			return d.broken(i)
		}
		if err := d.one(i, end); err != nil {
			return err
		}
		i = space(d.block, end)
	}
	return nil
}

// array decodes the elements of one array.
func (d *decoder) array() error {
	i := space(d.block, 0)
	if i == len(d.block) {
		return nil
	}
	if d.block[i] != '[' {
		d.expected(d.block, i, "an array of objects")
		return d.broken(i)
	}
	i = space(d.block, i+1)
	if i < len(d.block) && d.block[i] == ']' {
		return d.end(i + 1)
	}
	for {
		end := d.extent(d.block, i)
		if end < 0 {
			return d.broken(i)
		}
		if err := d.one(i, end); err != nil {
			return err
		}
		i = space(d.block, end)
		switch {
		case i < len(d.block) && d.block[i] == ']':
			return d.end(i + 1)
		case i < len(d.block) && d.block[i] == ',':
			i = space(d.block, i+1)
		default:
			d.expected(d.block, i, "',' or ']'")
			return d.broken(i)
		}
	}
}

// end checks that nothing follows.
func (d *decoder) end(i int) error {
	if i = space(d.block, i); i == len(d.block) {
		return nil
	}
	d.expected(d.block, i, "the end of the input")
	return d.broken(i)
}

// broken reports all from i on as one bad record: behind a syntax error nobody
// knows where the next record begins. Positions in d.fault count from the block's start.
func (d *decoder) broken(i int) error {
	d.fault.pos -= i
	return d.report(i, len(d.block))
}
